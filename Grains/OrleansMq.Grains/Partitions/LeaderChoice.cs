using OrleansMq.Replication;

namespace OrleansMq.Grains.Partitions;

/// <summary>A live broker's answer to the question for its replica of a partition.</summary>
/// <param name="Answered">Whether it answered in time.</param>
/// <param name="Report">Its replica; null if it has none or did not answer.</param>
internal readonly record struct ReplicaAnswer(bool Answered, ReplicaReport? Report)
{
    /// <summary>No answer in time: nothing is known.</summary>
    public static readonly ReplicaAnswer Silent = default;

    /// <summary>The broker has no such replica.</summary>
    public static readonly ReplicaAnswer None = new(true, null);

    /// <summary>The broker described its replica.</summary>
    public static ReplicaAnswer Of(ReplicaReport report) => new(true, report);
}

/// <summary>
/// The choice of a partition's leader, from its stored state, the live brokers, and their reports of their replicas. A wrong choice costs
/// time, never records: the claim checks again. Pure.
/// </summary>
/// <param name="Broker">The chosen broker; -1 for none.</param>
/// <param name="Leads">Whether it leads already.</param>
/// <param name="Lost">Members that answered but cannot lead any more: their broker has another incarnation, no replica, or an offline
/// one.</param>
/// <param name="Unclean">Whether it may lack acknowledged records, which are then lost. The topic allows that, or an operator asked for
/// it.</param>
/// <param name="Why">If no broker may lead: the candidates, and why each of them cannot lead now.</param>
internal sealed record LeaderChoice(int Broker, bool Leads, IReadOnlyCollection<ReplicaIdentity> Lost, bool Unclean = false,
    string? Why = null)
{
    /// <summary>No broker.</summary>
    public const int Nobody = -1;

    /// <summary>No broker can lead, for that reason.</summary>
    public static LeaderChoice None(string why) => new(Nobody, Leads: false, [], Why: why);

    /// <summary>Chooses a leader.</summary>
    /// <param name="state">The stored state.</param>
    /// <param name="isAlive">Whether a broker is not declared dead.</param>
    /// <param name="isActive">Whether a broker is alive and not stopping.</param>
    /// <param name="answerOf">A live broker's answer.</param>
    public static LeaderChoice Decide(PartitionState state, Func<int, bool> isAlive, Func<int, bool> isActive,
        Func<int, ReplicaAnswer> answerOf)
    {
        var (lost, able) = Sort(state, isAlive, isActive, answerOf);
        if (LedAlready(state, isAlive, answerOf) is { } leader)
            return new LeaderChoice(leader, Leads: true, lost);
        // The stored leader stays the choice while membership lists it as alive and it may still lead.
        if (state.Isr.Any(m => m.Broker == state.Leader) && isAlive(state.Leader) && MayLead(answerOf(state.Leader), able))
            return new LeaderChoice(state.Leader, Leads: false, lost);
        var candidates = state.LeaderEpoch == 0 && state.Isr.IsEmpty
            ? [.. state.Replicas.Where(broker => isActive(broker) && MayBegin(answerOf(broker)))]
            : EligibleOf(state, isAlive, lost, able);
        if (candidates.Count > 0)
            return new LeaderChoice(candidates[0], Leads: false, lost);
        return new LeaderChoice(Nobody, Leads: false, lost, Why: Explain(state, isAlive, isActive, answerOf));
    }

    /// <summary>Chooses a leader although acknowledged records may be lost. If no other broker can lead, and all in-sync replicas have
    /// answered, it is the replica that loses least.</summary>
    /// <param name="clean">The choice of <see cref="Decide"/>.</param>
    /// <param name="state">The stored state.</param>
    /// <param name="isActive">Whether a broker is alive and not stopping.</param>
    /// <param name="answerOf">A live broker's answer.</param>
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

    /// <summary>Finds the leader by the replicas' reports alone, without the stored state: the one with the highest epoch. Null if none
    /// leads.</summary>
    public static int? LedBy(IEnumerable<ReplicaReport> reports) =>
        reports.Where(r => r.Role == ReplicaRole.Leader).OrderByDescending(r => r.LeaderEpoch).FirstOrDefault()?.Identity.Broker;

    private static int? LedAlready(PartitionState state, Func<int, bool> isAlive, Func<int, ReplicaAnswer> answerOf) => state.Replicas
        .Append(state.Leader).Distinct().Where(isAlive)
        .Select(broker => answerOf(broker).Report)
        .OfType<ReplicaReport>()
        .Where(report => report.Role == ReplicaRole.Leader && report.LeaderEpoch >= state.LeaderEpoch)
        .MaxBy(report => report.LeaderEpoch)?.Identity.Broker;

    // Preference order: the successor that the last leader named, then the order of the replica set. ELR members only if no ISR member is
    // left to wait for.
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
        Func<int, bool> isActive, Func<int, ReplicaAnswer> answerOf)
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

    // A silent leader may still lead but be busy; a claiming one is about to learn that its claim is stored.
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
