namespace OrleansMq.Replication;

/// <summary>"Drain until target and high watermark reach the log end or a deadline passes, resign by a write that names the target."
/// Pure.</summary>
internal static class HandoverDecision
{
    /// <summary>Whom a resigning leader names: who was asked for if it is in sync and alive, else the first such replica in the order of
    /// preference.</summary>
    /// <param name="committed">As stored.</param>
    /// <param name="self">The leader.</param>
    /// <param name="wanted">Who was asked for; null for anybody.</param>
    /// <param name="membership">Who lives.</param>
    /// <returns><see cref="PartitionState.NoLeader"/> where there is nobody.</returns>
    public static int ChooseSuccessor(PartitionState committed, int self, int? wanted, IMembership membership)
    {
        bool MayLead(int broker) => broker != self && committed.Isr.Any(m => m.Broker == broker && membership.IsAlive(m));
        if (wanted is { } broker && MayLead(broker))
            return broker;
        foreach (var replica in committed.Replicas)
        {
            if (MayLead(replica))
                return replica;
        }
        return PartitionState.NoLeader;
    }

    /// <summary>Whether nothing is left to wait for: all that was appended is acknowledged, and the successor holds it.</summary>
    /// <param name="logEnd">The leader's, to which nothing is appended any more.</param>
    /// <param name="highWatermark">The leader's.</param>
    /// <param name="successorEnd">The successor's end that counts; null where it is not known.</param>
    public static bool IsDrained(long logEnd, long highWatermark, long? successorEnd) => highWatermark >= logEnd && successorEnd >= logEnd;

    /// <summary>The state a leader leaves behind: nobody leads, and its own token is gone, so that its own unclear write tells it that it
    /// resigned.</summary>
    public static PartitionState Resigned(PartitionState committed, int successor) =>
        committed with { Leader = PartitionState.NoLeader, LeaderToken = Guid.Empty, Successor = successor };
}
