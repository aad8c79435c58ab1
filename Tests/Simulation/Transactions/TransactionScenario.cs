namespace OrleansMq.Tests.Simulation.Transactions;

/// <summary>How the clients of a run raise their epochs.</summary>
internal enum TransactionVersions
{
    /// <summary>One epoch for many transactions.</summary>
    One,
    /// <summary>An epoch for each transaction (KIP-890).</summary>
    Two,
    /// <summary>Clients of both kinds in turn under one transactional id.</summary>
    Mixed,
}

/// <summary>The parameters of a run, drawn from its seed.</summary>
internal sealed class TransactionScenario
{
    /// <summary>Draws the parameters.</summary>
    /// <param name="random">Random numbers from the seed.</param>
    public TransactionScenario(Random random)
    {
        Ids = random.Next(4) == 0 ? 2 : 1;
        Partitions = random.Next(2, 5);
        Groups = random.Next(5) < 3 ? 1 : 0;
        Versions = random.Next(10) switch
        {
            < 3 => TransactionVersions.One,
            < 5 => TransactionVersions.Two,
            _ => TransactionVersions.Mixed,
        };
        RecoverPercent = random.Next(3) == 0 ? 0 : random.Next(30, 101);
        FirstEpoch = (short)(random.Next(3) == 0 ? random.Next(32_757, 32_767) : 0);
        TimeoutMs = random.Next(3) == 0 ? random.Next(250, 600) : random.Next(600, 2_500);
        MaxWaitMs = random.Next(50, 500);
        RequestTimeoutMs = random.Next(100, 400);
        DropPercent = random.Next(3) == 0 ? 0 : random.Next(1, 8);
        DoublePercent = random.Next(0, 15);
        MaxDelayMs = random.Next(2, 15);
        LatePercent = random.Next(3) == 0 ? 0 : random.Next(1, 6);
        StoreFailsPercent = random.Next(2) == 0 ? 0 : random.Next(1, 20);
        StoreDelayMs = random.Next(4) == 0 ? random.Next(20, 60) : random.Next(2, 9);
        FaultEveryMs = random.Next(150, 900);
        CrashPerMille = random.Next(2) == 0 ? 0 : random.Next(1, 15);
        MisroutedPercent = random.Next(3) == 0 ? random.Next(1, 30) : 0;
        ReplicationMs = random.Next(3) == 0 ? random.Next(20, 80) : random.Next(2, 10);
        ElectionPerMille = random.Next(2) == 0 ? 0 : random.Next(1, 60);
        RivalPercent = random.Next(2) == 0 ? 0 : random.Next(5, 40);
        ThinkMs = random.Next(10, 250);
        SkewMs = random.Next(2) == 0 ? 0 : random.Next(1, 400);
        IdExpirationMs = random.Next(5) == 0 ? random.Next(700, 2_500) : 0;
        ProducersExpire = random.Next(4) == 0;
        MostLateMs = ProducersExpire ? 150 : random.Next(200, 2_000);
        MostPauseMs = ProducersExpire ? 200 : 1_500;
        RecreatesTopics = random.Next(4) == 0;
        RestoresClaims = random.Next(8) == 0;
    }

    public int Ids { get; }
    public int Partitions { get; }
    public int Groups { get; }
    public TransactionVersions Versions { get; }
    /// <summary>The percentage of clients of the first version that ask for the next epoch after a failure (KIP-360). Others give
    /// up.</summary>
    public int RecoverPercent { get; }
    /// <summary>The epoch that the stored ids begin with; 0: none is stored.</summary>
    public short FirstEpoch { get; }
    public int TimeoutMs { get; }
    public int MaxWaitMs { get; }
    public int RequestTimeoutMs { get; }
    public int DropPercent { get; }
    public int DoublePercent { get; }
    public int MaxDelayMs { get; }
    /// <summary>The percentage of messages that arrive long after their sender has given up.</summary>
    public int LatePercent { get; }
    public int StoreFailsPercent { get; }
    public int StoreDelayMs { get; }
    public int FaultEveryMs { get; }
    /// <summary>How often a coordinator dies before one of its effects, in a thousand.</summary>
    public int CrashPerMille { get; }
    /// <summary>The percentage of requests sent to another than the current coordinator, if there is one.</summary>
    public int MisroutedPercent { get; }
    public int ReplicationMs { get; }
    /// <summary>How often a leader is lost when it has just appended, in a thousand.</summary>
    public int ElectionPerMille { get; }
    /// <summary>How likely another instance begins beside a client when that begins a transaction.</summary>
    public int RivalPercent { get; }
    public int ThinkMs { get; }
    /// <summary>How far the coordinators' clocks differ from the true time at most.</summary>
    public int SkewMs { get; }
    /// <summary>After what time without use an id is forgotten; 0: never within the run.</summary>
    public int IdExpirationMs { get; }
    /// <summary>Whether partitions forget producers that were idle for longer than any message is under way, and any coordinator is
    /// paused.</summary>
    public bool ProducersExpire { get; }
    /// <summary>How late the late messages are at most.</summary>
    public int MostLateMs { get; }
    /// <summary>How long a coordinator is paused at most, and how long one that was replaced lives on.</summary>
    public int MostPauseMs { get; }
    public bool RecreatesTopics { get; }
    /// <summary>Whether the claim in a document may be set back, as by the restore of a database.</summary>
    public bool RestoresClaims { get; }

    public override string ToString() =>
        $"{Ids} ids, {Partitions} partitions, {Groups} groups, versions {Versions}, recover {RecoverPercent}%, first epoch {FirstEpoch}, "
        + $"timeout {TimeoutMs} ms, wait {MaxWaitMs} ms, request timeout {RequestTimeoutMs} ms, drops {DropPercent}%, doubles "
        + $"{DoublePercent}%, delay up to {MaxDelayMs} ms, late {LatePercent}% by up to {MostLateMs} ms, store fails "
        + $"{StoreFailsPercent}% and takes {StoreDelayMs} ms, a fault every {FaultEveryMs} ms, crashes {CrashPerMille} in a thousand "
        + $"effects, misrouted {MisroutedPercent}%, replication {ReplicationMs} ms, leaders lost after {ElectionPerMille} in a thousand "
        + $"appends, rivals {RivalPercent}%, think {ThinkMs} ms, skew {SkewMs} ms, ids expire after {IdExpirationMs} ms"
        + $"{(ProducersExpire ? ", producers expire" : "")}{(RecreatesTopics ? ", topics created again" : "")}"
        + $"{(RestoresClaims ? ", claims restored" : "")}";
}
