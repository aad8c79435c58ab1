namespace OrleansMq.Replication;

/// <summary>A replica's answer before an unclean election: what it holds.</summary>
/// <param name="Broker">The answering broker.</param>
/// <param name="LastEpoch">The epoch of its last batch; -1 for an empty log.</param>
/// <param name="LogEndOffset">Its log end.</param>
internal readonly record struct ReplicaHoldings(int Broker, int LastEpoch, long LogEndOffset);

/// <summary>Chooses a leader when no eligible member is left and losing records is allowed. Pure.</summary>
internal static class UncleanElection
{
    /// <summary>
    /// Returns the broker that loses least: the highest last epoch, then the highest log end, then the earlier replica. Null until every
    /// broker of <paramref name="isr"/> has answered.
    /// </summary>
    public static int? Choose(IReadOnlyCollection<int> isr, IReadOnlyCollection<ReplicaHoldings> answers)
    {
        if (answers.Count == 0 || isr.Any(member => answers.All(a => a.Broker != member)))
            return null;
        return answers.OrderByDescending(a => a.LastEpoch).ThenByDescending(a => a.LogEndOffset).First().Broker;
    }
}
