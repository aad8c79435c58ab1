using OrleansMq.Queues;

namespace OrleansMq.Tests.Simulation.Queues;

/// <summary>The parameters of a run, drawn from its seed.</summary>
internal sealed class QueueScenario
{
    public QueueScenario(int seed, Random random, Guid target)
    {
        Consumers = random.Next(1, 5);
        Records = random.Next(40, 160);
        ProduceEveryMs = random.Next(5, 40);
        Keys = random.Next(1, 8);
        GapPercent = random.Next(2) == 0 ? 0 : random.Next(1, 20);
        Credit = random.Next(1, 8);
        IsWindow = random.Next(3) != 0;
        LockMs = random.Next(3) == 0 ? 0 : random.Next(150, 600);
        DropPercent = random.Next(3) == 0 ? 0 : random.Next(1, 10);
        DoublePercent = random.Next(0, 10);
        MaxDelayMs = random.Next(2, 60);
        RefusePercent = random.Next(3) == 0 ? random.Next(1, 20) : 0;
        UnansweredPercent = random.Next(3) == 0 ? random.Next(1, 20) : 0;
        FaultEveryMs = random.Next(300, 2_000);
        OperateEveryMs = random.Next(500, 3_000);
        ReplicateEveryMs = random.Next(2, 30);
        LateNaturalsPercent = random.Next(0, 50);
        LatencyOfTargetMs = random.Next(2, 80);
        TargetFailsPercent = random.Next(2) == 0 ? 0 : random.Next(1, 40);
        LosesTarget = random.Next(12) == 0;
        Resets = random.Next(4) == 0;
        Purges = random.Next(6) == 0;
        Expires = random.Next(5) == 0;
        Schedules = random.Next(5) == 0;
        Levels = random.Next(4) == 0 ? random.Next(2, 6) : 0;
        Configures = random.Next(4) == 0;
        Removes = !Resets && random.Next(6) == 0;
        HasTransactions = random.Next(4) == 0;
        RejectPercent = random.Next(2, 10);
        ReleasePercent = random.Next(0, 25);
        MaxLength = random.Next(6) == 0 ? random.Next(3, 40) : null;
        MostPartBytes = random.Next(4) == 0 ? random.Next(20, 200) : 100_000;
        var limit = random.Next(3) == 0 ? 0 : random.Next(2, 6);
        Configuration = new CursorConfiguration
        {
            Name = "q",
            MaxDeliveries = limit,
            LimitedCount = random.Next(2) == 0 ? LimitedCount.Deliveries : LimitedCount.Failures,
            Backoff = random.Next(3) switch
            {
                0 => BackoffSchedule.None,
                1 => new BackoffSchedule(random.Next(1, 200)),
                _ => new BackoffSchedule(random.Next(1, 100), 2, 1_000, 50),
            },
            DeadLetterTarget = random.Next(3) == 0 ? null : new DeadLetterTarget(target, 0),
            IsSingleActiveConsumer = random.Next(5) == 0,
            IsOrderedByKey = random.Next(3) == 0,
            LookAhead = random.Next(2, 40),
            RecordsPerTurn = random.Next(1, 4),
            HasTimeToLive = Expires,
            HasSchedules = Schedules,
            PriorityLevels = Levels,
            MaxLength = MaxLength,
            Overflow = random.Next(3) == 0 ? OverflowAction.RefusePublish : OverflowAction.DropHead,
            MaxExceptions = random.Next(3) switch { 0 => random.Next(2) == 0 ? 1 : random.Next(2, 20), _ => 1_000_000 },
        };
        IsBuffered = random.Next(3) == 0;
        Filters = random.Next(5) == 0;
        if (Filters)
            Configuration = Configuration with { Filter = "a = 1", MaxLength = null };
        KeyRun = random.Next(2) == 0 ? 1 : random.Next(2, 6);
        Joins = IsBuffered && IsWindow && random.Next(2) == 0;
        // Of a generator of their own: the runs of the other seeds stay as they are.
        var limits = new Random(~seed);
        if (!Filters && limits.Next(6) == 0)
            Configuration = Configuration with { MaxBytes = limits.Next(8) == 0 ? 0 : limits.Next(30, 1_500) };
        if (!Filters && limits.Next(20) == 0)
            Configuration = Configuration with { MaxLength = 0, Overflow = OverflowAction.DropHead };
        // Nothing would be appended, and the run would have no end.
        if (Configuration is { MaxBytes: 0, Overflow: OverflowAction.RefusePublish })
            Configuration = Configuration with { MaxBytes = 1 };
        MaxLength = Configuration.MaxLength;
    }

    public int Consumers { get; }
    public int Records { get; }
    public int ProduceEveryMs { get; }
    public int Keys { get; }
    /// <summary>The percentage of offsets without a record.</summary>
    public int GapPercent { get; }
    public int Credit { get; }
    public bool IsWindow { get; }
    public int LockMs { get; }
    public int DropPercent { get; }
    public int DoublePercent { get; }
    public int MaxDelayMs { get; }
    public int RefusePercent { get; }
    public int UnansweredPercent { get; }
    public int FaultEveryMs { get; }
    public int OperateEveryMs { get; }
    public int ReplicateEveryMs { get; }
    /// <summary>The percentage of control batches that the leader learns of only when it reads them.</summary>
    public int LateNaturalsPercent { get; }
    public int LatencyOfTargetMs { get; }
    public int TargetFailsPercent { get; }
    public bool LosesTarget { get; }
    public bool Resets { get; }
    public bool Purges { get; }
    public bool Expires { get; }
    /// <summary>Whether the filter matches some records only.</summary>
    public bool Filters { get; }
    /// <summary>Whether some records come at a time of their own.</summary>
    public bool Schedules { get; }
    /// <summary>The priority levels; 0 for none.</summary>
    public int Levels { get; }
    /// <summary>Whether the highest level comes first.</summary>
    public bool IsByLevel => Levels > 1 && !Configuration.IsOrderedByKey;
    public bool Configures { get; }
    public bool Removes { get; }
    /// <summary>Whether the readable end may stay below the high watermark.</summary>
    public bool HasTransactions { get; }
    public int RejectPercent { get; }
    public int ReleasePercent { get; }
    public long? MaxLength { get; }
    /// <summary>Whether records leave, or are refused, for their number or bytes.</summary>
    public bool IsLimited => Configuration is { MaxLength: not null } or { MaxBytes: not null };
    /// <summary>The size at which changes are divided.</summary>
    public int MostPartBytes { get; }
    public bool DividesChanges => MostPartBytes < 1_000;
    public CursorConfiguration Configuration { get; }
    /// <summary>Whether deliveries wait at the leader until their consumers take them.</summary>
    public bool IsBuffered { get; }
    /// <summary>Whether a consumer takes all that waits for it at once.</summary>
    public bool Joins { get; }
    /// <summary>The most records of one key that a consumer holds at once.</summary>
    public int KeyRun { get; }

    /// <summary>Returns another configuration. What the checks rely on stays.</summary>
    public CursorConfiguration OtherConfiguration(Random random) => Configuration with
    {
        MaxDeliveries = random.Next(3) == 0 ? 0 : random.Next(2, 6),
        Backoff = new BackoffSchedule(random.Next(0, 200)),
        RecordsPerTurn = random.Next(1, 4),
        // Its bytes are counted, or not, from then on.
        MaxBytes = Configuration.MaxBytes is not null && random.Next(3) == 0 ? null : Configuration.MaxBytes,
        // Fixed at creation.
        IsOrderedByKey = random.Next(2) == 0,
        IsSingleActiveConsumer = random.Next(2) == 0,
        PriorityLevels = random.Next(4),
    };

    public override string ToString() =>
        $"{Consumers} consumers with {(IsWindow ? "a window" : "credit")} of {Credit}"
        + $"{(Joins ? ", joined" : IsBuffered ? ", buffered" : "")}, {Records} records every {ProduceEveryMs} ms, "
        + $"{Keys} keys, runs of {KeyRun}, gaps {GapPercent}%, lock {LockMs} ms, drops {DropPercent}%, doubles {DoublePercent}%, "
        + $"delay up to {MaxDelayMs} ms, refused {RefusePercent}%, unanswered {UnansweredPercent}%, a fault every {FaultEveryMs} ms, "
        + $"replication every {ReplicateEveryMs} ms, late naturals {LateNaturalsPercent}%, target {LatencyOfTargetMs} ms and fails "
        + $"{TargetFailsPercent}%{(LosesTarget ? ", target deleted" : "")}{(Resets ? ", resets" : "")}{(Purges ? ", purges" : "")}"
        + $"{(Expires ? ", expiry" : "")}{(Schedules ? ", schedules" : "")}{(Filters ? ", a filter" : "")}"
        + $"{(Configures ? ", other configurations" : "")}{(Removes ? ", removals" : "")}{(HasTransactions ? ", transactions" : "")}, "
        + $"parts of {MostPartBytes} bytes, {Configuration}";
}
