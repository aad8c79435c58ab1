namespace OrleansMq.Tests.Simulation.Groups;

/// <summary>The protocols of a run's members.</summary>
internal enum GroupMix
{
    /// <summary>Join, sync, heartbeat, leave; the members assign.</summary>
    Classic,
    /// <summary>KIP-848.</summary>
    Consumer,
    /// <summary>Both: the group migrates from one to the other and back.</summary>
    Mixed,
}

/// <summary>A combination of faults that few scenarios have by chance.</summary>
internal enum GroupFocus
{
    /// <summary>The scenario as it is drawn.</summary>
    None,
    /// <summary>Static members of the classic protocol that hand over partitions one by one, and restart meanwhile.</summary>
    StaticHandover,
    /// <summary>Members of both protocols, and topics that are created again, seen by each at another time.</summary>
    RecreatedTopics,
    /// <summary>Producers that commit offsets in transactions.</summary>
    Transactions,
    /// <summary>Static members of the classic protocol that restart while topics grow and the coordinator is replaced, all with other views
    /// of the topics.</summary>
    RestartedLeader,
}

/// <summary>The parameters of a run, drawn from its seed.</summary>
internal sealed class GroupScenario
{
    // The choices of protocols for a new member: all choices of a row have one in common.
    private static readonly string[][][] ProtocolSets =
    [
        [["range"]],
        [["roundrobin"]],
        [["sticky"]],
        [["cooperative-sticky"]],
        [["cooperative-sticky"]],
        [["range", "roundrobin"], ["roundrobin", "range"], ["sticky", "range"]],
        // The upgrade to incremental rebalances, member by member.
        [["range", "cooperative-sticky"], ["cooperative-sticky", "range"], ["cooperative-sticky"]],
    ];

    /// <summary>Draws the parameters.</summary>
    /// <param name="random">Random numbers from the seed.</param>
    /// <param name="focus">The combination of faults to make likely.</param>
    public GroupScenario(Random random, GroupFocus focus)
    {
        Focus = focus;
        Mix = random.Next(10) switch { < 4 => GroupMix.Classic, < 7 => GroupMix.Consumer, _ => GroupMix.Mixed };
        Protocols = ProtocolSets[random.Next(Mix == GroupMix.Mixed ? 5 : ProtocolSets.Length)];
        Members = random.Next(2, 6);
        Topics = random.Next(1, 4);
        SessionMs = random.Next(4_000, 9_000);
        HeartbeatMs = SessionMs / random.Next(4, 7);
        RebalanceMs = random.Next(3_000, 12_000);
        InitialDelayMs = random.Next(4) == 0 ? random.Next(100, 1_500) : 0;
        StaticPercent = random.Next(3) == 0 ? random.Next(20, 101) : 0;
        RegexPercent = random.Next(2) == 0 ? 0 : random.Next(20, 101);
        LongPollPercent = random.Next(2) == 0 ? 0 : 100;
        DropPercent = random.Next(3) == 0 ? 0 : random.Next(1, 8);
        DoublePercent = random.Next(0, 10);
        MaxDelayMs = random.Next(2, 15);
        IsOrdered = random.Next(2) != 0;
        StoreFailsPercent = random.Next(2) == 0 ? 0 : random.Next(1, 25);
        StoreDelayMs = random.Next(4) == 0 ? random.Next(20, 60) : random.Next(2, 9);
        FaultEveryMs = random.Next(800, 4_000);
        ChangeEveryMs = random.Next(1_000, 8_000);
        CommitEveryMs = random.Next(150, 1_200);
        ViewsSpreadMs = random.Next(4) switch { 0 or 1 => 50, 2 => 3_000, _ => 10_000 };
        MisroutedPercent = random.Next(3) == 0 ? random.Next(1, 30) : 0;
        RecreatesTopics = random.Next(4) == 0;
        DeletesGroup = random.Next(8) == 0;
        Server = random.Next(2) == 0 ? "uniform" : "range";
        switch (focus)
        {
            case GroupFocus.RecreatedTopics:
                Mix = GroupMix.Mixed;
                Protocols = ProtocolSets[random.Next(5)];
                (RecreatesTopics, Topics, ViewsSpreadMs) = (true, random.Next(2, 4), 10_000);
                ChangeEveryMs = random.Next(500, 2_500);
                break;
            case GroupFocus.Transactions:
                Producers = random.Next(1, 4);
                (Members, CommitEveryMs) = (random.Next(1, 3), random.Next(50, 600));
                break;
            case GroupFocus.RestartedLeader:
                Mix = GroupMix.Classic;
                Protocols = ProtocolSets[random.Next(5)];
                (StaticPercent, RegexPercent, RecreatesTopics, Members, ViewsSpreadMs) = (100, 0, false, random.Next(1, 3), 10_000);
                // Few later rounds repair what a restart left.
                (FaultEveryMs, ChangeEveryMs) = (random.Next(8_000, 16_000), random.Next(8_000, 16_000));
                break;
            case GroupFocus.StaticHandover:
                Mix = GroupMix.Classic;
                Protocols = [["cooperative-sticky"]];
                (StaticPercent, RecreatesTopics) = (100, false);
                // A round ends without an absent static member long before its session does, and few later rounds repair what it left.
                (SessionMs, RebalanceMs) = (random.Next(7_000, 9_000), random.Next(1_500, 3_000));
                HeartbeatMs = SessionMs / random.Next(4, 7);
                (FaultEveryMs, ChangeEveryMs) = (random.Next(3_000, 8_000), random.Next(3_000, 8_000));
                break;
        }
    }

    public GroupFocus Focus { get; }

    public GroupMix Mix { get; }
    /// <summary>The lists of assignors from which each member draws one.</summary>
    public string[][] Protocols { get; }
    public int Members { get; }
    public int Topics { get; }
    public int SessionMs { get; }
    public int HeartbeatMs { get; }
    public int RebalanceMs { get; }
    public int InitialDelayMs { get; }
    /// <summary>The percentage of members with an instance id.</summary>
    public int StaticPercent { get; }
    public int RegexPercent { get; }
    public int LongPollPercent { get; }
    public int DropPercent { get; }
    public int DoublePercent { get; }
    public int MaxDelayMs { get; }
    /// <summary>Whether a member's requests keep their order. If so, as over one connection, none overtakes another. If not, all but the
    /// joins of a classic group may, and heartbeats of the consumer protocol are numbered.</summary>
    public bool IsOrdered { get; }
    public int StoreFailsPercent { get; }
    public int StoreDelayMs { get; }
    public int FaultEveryMs { get; }
    public int ChangeEveryMs { get; }
    public int CommitEveryMs { get; }
    /// <summary>The spread of the times at which brokers and members learn of a topic.</summary>
    public int ViewsSpreadMs { get; }
    /// <summary>The percentage of requests sent to another than the current coordinator, if there is one.</summary>
    public int MisroutedPercent { get; }
    /// <summary>The number of producers of transactions.</summary>
    public int Producers { get; }
    public bool RecreatesTopics { get; }
    public bool DeletesGroup { get; }
    public string Server { get; }

    public override string ToString() =>
        $"{(Focus == GroupFocus.None ? "" : $"{Focus}: ")}{Members} {Mix.ToString().ToLowerInvariant()} members, "
        + $"{string.Join(" or ", Protocols.Select(set => string.Join('+', set)))}, "
        + $"server {Server}, {Topics} topics, session {SessionMs} ms, "
        + $"heartbeat {HeartbeatMs} ms, rebalance {RebalanceMs} ms, initial delay {InitialDelayMs} ms, static {StaticPercent}%, regex "
        + $"{RegexPercent}%, long polls {LongPollPercent}%, "
        + $"drops {DropPercent}%, doubles {DoublePercent}%, delay up to {MaxDelayMs} ms{(IsOrdered ? "" : ", unordered")}, store fails "
        + $"{StoreFailsPercent}% and takes {StoreDelayMs} ms, "
        + $"a fault every {FaultEveryMs} ms, a change every {ChangeEveryMs} ms, a commit every {CommitEveryMs} ms, views differ by "
        + $"{ViewsSpreadMs} ms, misrouted {MisroutedPercent}%"
        + $"{(Producers == 0 ? "" : $", {Producers} producers")}"
        + $"{(RecreatesTopics ? ", topics created again" : "")}{(DeletesGroup ? ", the group deleted" : "")}";
}
