using OrleansMq.Replication;

namespace OrleansMq.Tests.Simulation;

/// <summary>A rare combination of faults that a run makes likely.</summary>
internal enum ReplicationFocus
{
    /// <summary>Every fault now and then.</summary>
    None = 0,
    /// <summary>Replicas are away while others compact, and return to the same leader.</summary>
    AwayWhileErasing = 1,
    /// <summary>Replicas join the ISR while records are deleted.</summary>
    JoinWhileDeleting = 2,
    /// <summary>Producers repeat publishes by their message ids alone, through failovers and deletions.</summary>
    MessageIds = 3,
    /// <summary>Messages are late, and come twice, while leaders change.</summary>
    LateMessages = 4,
}

/// <summary>The parameters of a run, drawn from its seed unless a test sets them.</summary>
internal sealed class Scenario
{
    public Scenario(Random random)
    {
        Brokers = random.Next(10) switch { < 6 => 3, < 8 => 4, < 9 => 5, _ => 7 };
        ReplicationFactor = random.Next(3) == 0 ? random.Next(2, Brokers + 1) : Math.Min(Brokers, 3);
        MinInsync = random.Next(4) == 0 ? 1 : 2;
        Sync = random.Next(3) == 0;
        DropPercent = random.Next(3) == 0 ? 0 : random.Next(1, 8);
        DuplicatePercent = random.Next(0, 8);
        MaxDelayMs = random.Next(2, 15);
        FaultEveryMs = random.Next(100, 400);
        OperateEveryMs = random.Next(100, 600);
        StoreFailsPercent = random.Next(0, 30);
        ProduceEveryMs = random.Next(4) == 0 ? 400 : 25;
        ViewsSpreadMs = random.Next(3) == 0 ? 300 : 30;
        BatchesPerPush = random.Next(1, 9);
        UnansweredPushes = random.Next(1, 5);
        Keys = random.Next(3) switch { 0 => 2, 1 => 8, _ => 40 };
        MayCompact = random.Next(3) == 0;
        MayDelete = random.Next(3) == 0;
        MayReassign = random.Next(2) == 0;
        MayElectUnclean = random.Next(6) == 0;
        RecreatesTopic = random.Next(6) == 0;
        RestoresStore = random.Next(40) == 0;
        MayChangeConfig = random.Next(3) == 0;
        CatchUpShare = random.Next(4) switch { 0 => 25, 1 => 5, _ => CatchUpPace.WholeTime };
    }

    public int Brokers { get; init; }
    public int ReplicationFactor { get; init; }
    public int MinInsync { get; init; }
    public bool Sync { get; init; }
    public int DropPercent { get; init; }
    public int DuplicatePercent { get; init; }
    public int MaxDelayMs { get; init; }
    public int FaultEveryMs { get; init; }
    public int OperateEveryMs { get; init; }
    public int StoreFailsPercent { get; init; }
    /// <summary>The interval of records. A long one leaves epochs without records, which only the fence remembers.</summary>
    public int ProduceEveryMs { get; init; }
    /// <summary>The spread of the times at which brokers learn of a death or a return.</summary>
    public int ViewsSpreadMs { get; }
    public int BatchesPerPush { get; init; }
    public int UnansweredPushes { get; init; }
    public int Keys { get; init; }
    public bool MayCompact { get; init; }
    public bool MayDelete { get; init; }
    public bool MayReassign { get; init; }
    /// <summary>Whether min.insync.replicas and the flush policy change.</summary>
    public bool MayChangeConfig { get; init; }
    /// <summary>Whether disks may lose more than the protocol promises to survive; the operator then chooses the leader.</summary>
    public bool MayElectUnclean { get; init; }
    public bool RecreatesTopic { get; init; }
    /// <summary>Whether the database is restored from a backup, after which no broker may lead.</summary>
    public bool RestoresStore { get; init; }

    /// <summary>The percentage of a broker's time for replicas that catch up, as there are always clients that append.</summary>
    public int CatchUpShare { get; init; }

    /// <summary>How often a broker compacts, in percent of its ticks.</summary>
    public int CompactPercent { get; init; } = 4;
    /// <summary>Whether isolation is the only fault.</summary>
    public bool IsolatesOnly { get; init; }
    /// <summary>Whether the operator does nothing but delete records.</summary>
    public bool DeletesOnly { get; init; }

    /// <summary>Whether producers have message ids instead of sequences.</summary>
    public bool HasMessageIds { get; init; }

    /// <summary>Draws the parameters of a run with a focus.</summary>
    public static Scenario Of(ReplicationFocus focus, Random random) => focus switch
    {
        ReplicationFocus.AwayWhileErasing => new Scenario(random)
        {
            Brokers = 3,
            ReplicationFactor = 3,
            MinInsync = 2,
            Sync = false,
            Keys = 2,
            FaultEveryMs = 300,
            OperateEveryMs = 500,
            MayCompact = true,
            CompactPercent = 30,
            MayDelete = false,
            MayReassign = false,
            MayChangeConfig = false,
            MayElectUnclean = false,
            RecreatesTopic = false,
            RestoresStore = false,
            IsolatesOnly = true,
        },
        ReplicationFocus.JoinWhileDeleting => new Scenario(random)
        {
            Brokers = 3,
            ReplicationFactor = 3,
            MinInsync = 2,
            DropPercent = 25,
            FaultEveryMs = 200,
            OperateEveryMs = 20,
            StoreFailsPercent = 0,
            MayCompact = false,
            MayDelete = true,
            MayReassign = false,
            MayChangeConfig = false,
            MayElectUnclean = false,
            RecreatesTopic = false,
            RestoresStore = false,
            IsolatesOnly = true,
            DeletesOnly = true,
        },
        ReplicationFocus.MessageIds => new Scenario(random)
        {
            HasMessageIds = true,
            ProduceEveryMs = 25,
            MayCompact = false,
            MayDelete = true,
            MayElectUnclean = false,
            RestoresStore = false,
        },
        ReplicationFocus.LateMessages => new Scenario(random)
        {
            Brokers = 3,
            ReplicationFactor = 3,
            DuplicatePercent = 20,
            MaxDelayMs = 80,
            FaultEveryMs = 100,
            ProduceEveryMs = 25,
            MayElectUnclean = false,
            RecreatesTopic = false,
            RestoresStore = false,
        },
        _ => new Scenario(random),
    };

    public override string ToString() =>
        $"{Brokers} brokers, {ReplicationFactor} replicas, min.insync {MinInsync}, {(Sync ? "sync" : "none")}, drops {DropPercent}%, "
        + $"doubles {DuplicatePercent}%, "
        + $"delay up to {MaxDelayMs} ms, a fault every {FaultEveryMs} ms, an operation every {OperateEveryMs} ms, store fails "
        + $"{StoreFailsPercent}%, "
        + $"a batch every {ProduceEveryMs} ms, views differ by {ViewsSpreadMs} "
        + $"ms{(MayCompact ? ", compacts" : "")}{(MayDelete ? ", deletes" : "")}"
        + $"{(MayReassign ? ", reassigns" : "")}{(MayChangeConfig ? ", reconfigures" : "")}{(MayElectUnclean ? ", unclean elections" : "")}"
        + $"{(RecreatesTopic ? ", deleted and created again" : "")}"
        + $"{(RestoresStore ? ", store restored" : "")}{(HasMessageIds ? ", message ids" : "")}, {CatchUpShare}% for catch-up";
}
