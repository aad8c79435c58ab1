namespace OrleansMq.Replication;

/// <summary>What a replica holds, as it answers before an unclean election.</summary>
/// <param name="Broker">Who answers.</param>
/// <param name="LastEpoch">The epoch of its last batch; -1 for an empty log.</param>
/// <param name="LogEndOffset">Its log end.</param>
internal readonly record struct ReplicaHoldings(int Broker, int LastEpoch, long LogEndOffset);

/// <summary>The choice when no eligible member is left and losing records is allowed. Pure.</summary>
internal static class UncleanElection
{
    /// <summary>
    /// The broker that loses least: the highest last epoch, then the highest log end, then the earlier replica. Null until every broker of
    /// <paramref name="isr"/> has answered.
    /// </summary>
    public static int? Choose(IReadOnlyCollection<int> isr, IReadOnlyCollection<ReplicaHoldings> answers)
    {
        if (answers.Count == 0 || isr.Any(member => answers.All(a => a.Broker != member)))
            return null;
        return answers.OrderByDescending(a => a.LastEpoch).ThenByDescending(a => a.LogEndOffset).First().Broker;
    }
}
