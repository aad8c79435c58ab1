using OrleansMq.Replication;

namespace OrleansMq.Grains.Partitions;

/// <summary>What a live broker said when it was asked for its replica of a partition.</summary>
/// <param name="Answered">Whether it answered in time.</param>
/// <param name="Report">Its replica; null where it holds none, or did not answer.</param>
internal readonly record struct ReplicaAnswer(bool Answered, ReplicaReport? Report)
{
    /// <summary>No answer came in time: nothing is known.</summary>
    public static readonly ReplicaAnswer Silent = default;

    /// <summary>It holds no such replica.</summary>
    public static readonly ReplicaAnswer None = new(true, null);

    /// <summary>It described its replica.</summary>
    public static ReplicaAnswer Of(ReplicaReport report) => new(true, report);
}

/// <summary>
/// Who is to lead a partition, by its stored state, by who is alive, and by what the live brokers say of their replicas. A wrong choice
/// costs time, never records: the claim checks again. Pure.
/// </summary>
/// <param name="Broker">Who; -1 for nobody.</param>
/// <param name="Leads">Whether it leads already.</param>
/// <param name="Lost">Members that answered, and that lead no more: their broker holds another incarnation, none, or one that is
/// offline.</param>
/// <param name="Unclean">Whether it may lack acknowledged records, which are then lost: the topic allows it, or an operator asked for
/// it.</param>
/// <param name="Why">Where nobody may lead: who could, and why each of them cannot now.</param>
internal sealed record LeaderChoice(int Broker, bool Leads, IReadOnlyCollection<ReplicaIdentity> Lost, bool Unclean = false,
    string? Why = null)
{
    /// <summary>Nobody.</summary>
    public const int Nobody = -1;

    /// <summary>Nobody can, for that reason.</summary>
    public static LeaderChoice None(string why) => new(Nobody, Leads: false, [], Why: why);

    /// <summary>Chooses.</summary>
    /// <param name="state">As stored.</param>
    /// <param name="isAlive">Who is not declared dead.</param>
    /// <param name="isActive">Who is alive and does not stop.</param>
    /// <param name="answerOf">What a live broker answered.</param>
    public static LeaderChoice Decide(PartitionState state, Func<int, bool> isAlive, Func<int, bool> isActive,
        Func<int, ReplicaAnswer> answerOf)
    {
        var (lost, able) = Sort(state, isAlive, isActive, answerOf);
        if (LedAlready(state, isAlive, answerOf) is { } leader)
            return new LeaderChoice(leader, Leads: true, lost);
        // While membership keeps it, leadership is not taken from one that may have it.
        if (state.Isr.Any(m => m.Broker == state.Leader) && isAlive(state.Leader) && MayLead(answerOf(state.Leader), able))
            return new LeaderChoice(state.Leader, Leads: false, lost);
        var candidates = state.LeaderEpoch == 0 && state.Isr.IsEmpty
            ? [.. state.Replicas.Where(broker => isActive(broker) && MayBegin(answerOf(broker)))]
            : EligibleOf(state, isAlive, lost, able);
        if (candidates.Count > 0)
            return new LeaderChoice(candidates[0], Leads: false, lost);
        return new LeaderChoice(Nobody, Leads: false, lost, Why: Explain(state, isAlive, isActive, answerOf));
    }

    /// <summary>Chooses although acknowledged records may be lost by it: where nobody else can lead, and all in-sync replicas have
    /// answered, the replica that loses least.</summary>
    /// <param name="clean">What <see cref="Decide"/> chose.</param>
    /// <param name="state">As stored.</param>
    /// <param name="isActive">Who is alive and does not stop.</param>
    /// <param name="answerOf">What a live broker answered.</param>
    public static LeaderChoice DecideUnclean(LeaderChoice clean, PartitionState state, Func<int, bool> isActive,
        Func<int, ReplicaAnswer> answerOf)
    {
        if (clean.Broker != Nobody)
            return clean;
        var answered = state.Replicas.Concat(state.Isr.Select(m => m.Broker)).Distinct()
            .Where(broker => isActive(broker) && answerOf(broker).Answered).ToArray();
        if (state.Isr.Any(member => !answered.Contains(member.Broker)))
            return clean;
        var holdings = answered.Select(broker => answerOf(broker).Report).OfType<ReplicaReport>().Where(Works)
            .Select(report => new ReplicaHoldings(report.Identity.Broker, report.LastEpoch, report.LogEndOffset)).ToArray();
        return UncleanElection.Choose([], holdings) is { } broker ? clean with { Broker = broker, Unclean = true, Why = null } : clean;
    }

    /// <summary>Who leads it by its own word, without the stored state: the highest epoch; null where nobody says so.</summary>
    public static int? LedBy(IEnumerable<ReplicaReport> reports) =>
        reports.Where(r => r.Role == ReplicaRole.Leader).OrderByDescending(r => r.LeaderEpoch).FirstOrDefault()?.Identity.Broker;

    private static int? LedAlready(PartitionState state, Func<int, bool> isAlive, Func<int, ReplicaAnswer> answerOf) => state.Replicas
        .Append(state.Leader).Distinct().Where(isAlive)
        .Select(broker => answerOf(broker).Report)
        .OfType<ReplicaReport>()
        .Where(report => report.Role == ReplicaRole.Leader && report.LeaderEpoch >= state.LeaderEpoch)
        .MaxBy(report => report.LeaderEpoch)?.Identity.Broker;

    // In the order in which they are to lead: whom the last leader named, then as the replicas are listed. The ELR only where no member of
    // the ISR is left to wait for.
    private static List<int> EligibleOf(PartitionState state, Func<int, bool> isAlive, List<ReplicaIdentity> lost,
        HashSet<ReplicaIdentity> able)
    {
        var members = state.Isr.Any(m => isAlive(m.Broker) && !lost.Contains(m)) ? state.Isr : [.. state.Isr, .. state.Elr];
        return [.. members.Where(able.Contains).Select(m => m.Broker).OrderBy(broker => RankOf(state, broker))];
    }

    private static int RankOf(PartitionState state, int broker)
    {
        if (broker == state.Successor)
            return -1;
        var index = state.Replicas.IndexOf(broker);
        return index < 0 ? int.MaxValue : index;
    }

    private static (List<ReplicaIdentity> Lost, HashSet<ReplicaIdentity> Able) Sort(PartitionState state, Func<int, bool> isAlive,
        Func<int, bool> isActive,
        Func<int, ReplicaAnswer> answerOf)
    {
        var (lost, able) = (new List<ReplicaIdentity>(), new HashSet<ReplicaIdentity>());
        foreach (var member in state.Isr.Concat(state.Elr).Distinct())
        {
            if (!isAlive(member.Broker) || answerOf(member.Broker) is not { Answered: true } answer)
                continue;
            if (answer.Report is not { } report || report.Identity != member || !Works(report))
                lost.Add(member);
            else if (isActive(member.Broker))
                able.Add(member);
        }
        return (lost, able);
    }

    // One that is silent may be the leader still, and busy; one that claims is about to hear that its claim is stored.
    private static bool MayLead(ReplicaAnswer answer, HashSet<ReplicaIdentity> able) =>
        !answer.Answered || (answer.Report is { Role: ReplicaRole.Claiming } report && able.Contains(report.Identity));

    private static bool MayBegin(ReplicaAnswer answer) => answer.Answered && (answer.Report is not { } report || Works(report));

    private static bool Works(ReplicaReport report) => report.OfflineReason is null && report.Role != ReplicaRole.Offline;

    private static string Explain(PartitionState state, Func<int, bool> isAlive, Func<int, bool> isActive,
        Func<int, ReplicaAnswer> answerOf)
    {
        var who = state.LeaderEpoch == 0 && state.Isr.IsEmpty
            ? state.Replicas.Select(broker => Describe(broker, null))
            : state.Isr.Concat(state.Elr).Distinct().Select(member => Describe(member.Broker, member));
        return $"No broker can lead it now: {string.Join("; ", who)}. Bring one of them back.";

        string Describe(int broker, ReplicaIdentity? member) => !isAlive(broker) ? $"broker {broker} is down"
            : !isActive(broker) ? $"broker {broker} is stopping"
            : answerOf(broker) is not { Answered: true } answer ? $"broker {broker} does not answer"
            : answer.Report is not { } report ? $"broker {broker} lost its data directory"
            : !Works(report) ? $"broker {broker}: {report.OfflineReason ?? "its replica is offline"}"
            : member is { } identity && report.Identity != identity ? $"broker {broker} lost the end of its log and must catch up"
            : $"broker {broker} waits for the others";
    }
}
