namespace OrleansMq.Replication;

/// <summary>Decides on a handover: the leader drains until the successor and the high watermark reach the log end, or a deadline passes.
/// Then it resigns by a write that names the successor. Pure.</summary>
internal static class HandoverDecision
{
    /// <summary>Chooses the successor that a resigning leader names: the requested broker if it is in sync and alive, else the first such
    /// replica in the order of preference.</summary>
    /// <param name="committed">The stored state.</param>
    /// <param name="self">The leader.</param>
    /// <param name="wanted">The requested broker; null for any.</param>
    /// <param name="membership">The live brokers.</param>
    /// <returns><see cref="PartitionState.NoLeader"/> if there is none.</returns>
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

    /// <summary>Whether draining is complete: everything appended is acknowledged, and the successor holds it.</summary>
    /// <param name="logEnd">The leader's log end; nothing is appended any more.</param>
    /// <param name="highWatermark">The leader's high watermark.</param>
    /// <param name="successorEnd">The successor's counted end; null if not known.</param>
    public static bool IsDrained(long logEnd, long highWatermark, long? successorEnd) => highWatermark >= logEnd && successorEnd >= logEnd;

    /// <summary>Returns the state after a resignation: no leader, and no token, so that a leader whose write was unclear learns from it
    /// that it resigned.</summary>
    public static PartitionState Resigned(PartitionState committed, int successor) =>
        committed with { Leader = PartitionState.NoLeader, LeaderToken = Guid.Empty, Successor = successor };
}
