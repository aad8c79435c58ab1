using OrleansMq.Replication;

namespace OrleansMq.Tests.Simulation;

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

    public int Brokers { get; }
    public int ReplicationFactor { get; }
    public int MinInsync { get; init; }
    public bool Sync { get; }
    public int DropPercent { get; init; }
    public int DuplicatePercent { get; }
    public int MaxDelayMs { get; init; }
    public int FaultEveryMs { get; }
    public int OperateEveryMs { get; }
    public int StoreFailsPercent { get; }
    /// <summary>The interval of records. A long one leaves epochs without records, which only the fence remembers.</summary>
    public int ProduceEveryMs { get; init; }
    /// <summary>The spread of the times at which brokers learn of a death or a return.</summary>
    public int ViewsSpreadMs { get; }
    public int BatchesPerPush { get; init; }
    public int UnansweredPushes { get; init; }
    public int Keys { get; }
    public bool MayCompact { get; }
    public bool MayDelete { get; }
    public bool MayReassign { get; }
    /// <summary>Whether min.insync.replicas and the flush policy change.</summary>
    public bool MayChangeConfig { get; }
    /// <summary>Whether disks may lose more than the protocol promises to survive; the operator then chooses the leader.</summary>
    public bool MayElectUnclean { get; }
    public bool RecreatesTopic { get; }
    /// <summary>Whether the database is restored from a backup, after which no broker may lead.</summary>
    public bool RestoresStore { get; }

    /// <summary>The percentage of a broker's time for replicas that catch up, as there are always clients that append.</summary>
    public int CatchUpShare { get; init; }

    public override string ToString() =>
        $"{Brokers} brokers, {ReplicationFactor} replicas, min.insync {MinInsync}, {(Sync ? "sync" : "none")}, drops {DropPercent}%, "
        + $"doubles {DuplicatePercent}%, "
        + $"delay up to {MaxDelayMs} ms, a fault every {FaultEveryMs} ms, an operation every {OperateEveryMs} ms, store fails "
        + $"{StoreFailsPercent}%, "
        + $"a batch every {ProduceEveryMs} ms, views differ by {ViewsSpreadMs} "
        + $"ms{(MayCompact ? ", compacts" : "")}{(MayDelete ? ", deletes" : "")}"
        + $"{(MayReassign ? ", reassigns" : "")}{(MayChangeConfig ? ", reconfigures" : "")}{(MayElectUnclean ? ", unclean elections" : "")}"
        + $"{(RecreatesTopic ? ", deleted and created again" : "")}"
        + $"{(RestoresStore ? ", store restored" : "")}, {CatchUpShare}% for catch-up";
}
