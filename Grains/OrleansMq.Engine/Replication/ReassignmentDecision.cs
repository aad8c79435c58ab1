using System.Collections.Immutable;

namespace OrleansMq.Replication;

/// <summary>The next step of a reassignment.</summary>
internal enum ReassignmentOutcome
{
    /// <summary>Never returned.</summary>
    Unknown = 0,
    /// <summary>There is no reassignment, or a replica still has to catch up.</summary>
    Wait = 1,
    /// <summary>All target replicas are in sync: write <see cref="ReassignmentDecision.Next"/>.</summary>
    Complete = 2,
    /// <summary>All target replicas are in sync, but the leader is not one of them. It resigns in favour of
    /// <see cref="ReassignmentDecision.Successor"/>, which completes the reassignment.</summary>
    HandOver = 3,
}

/// <summary>
/// A change of the replica set. It only adds replicas until all targets are in sync; then the others leave by one committed write. So at
/// every moment the counted members are in the ISR by the usual rules. The high watermark, <c>min.insync.replicas</c> and elections need no
/// special rule. Pure.
/// </summary>
/// <param name="Outcome">What to do.</param>
/// <param name="Next">With <see cref="ReassignmentOutcome.Complete"/> the state to write; else null.</param>
/// <param name="Successor">With <see cref="ReassignmentOutcome.HandOver"/> the next leader; else
/// <see cref="PartitionState.NoLeader"/>.</param>
internal readonly record struct ReassignmentDecision(ReassignmentOutcome Outcome, PartitionState? Next = null,
    int Successor = PartitionState.NoLeader)
{
    /// <summary>Returns the state that begins, replaces or (by going back) cancels a reassignment; null if it is already stored.</summary>
    public static PartitionState? Begin(PartitionState committed, ImmutableArray<int> target)
    {
        // The same brokers in another order: only the preference changes.
        var reassignment = committed.Replicas.Length == target.Length && target.All(committed.Replicas.Contains) ? [] : target;
        ImmutableArray<int> replicas = [.. target, .. committed.Replicas.Except(target)];
        return replicas.SequenceEqual(committed.Replicas) && reassignment.SequenceEqual(committed.Reassignment)
            ? null
            : committed with { Replicas = replicas, Reassignment = reassignment };
    }

    /// <summary>Decides on the next step.</summary>
    /// <param name="committed">The stored state.</param>
    /// <param name="self">The leader.</param>
    public static ReassignmentDecision Decide(PartitionState committed, int self)
    {
        var target = committed.Reassignment;
        if (target.IsEmpty || !target.All(broker => committed.Isr.Any(m => m.Broker == broker)))
            return new ReassignmentDecision(ReassignmentOutcome.Wait);
        if (!target.Contains(self))
            return new ReassignmentDecision(ReassignmentOutcome.HandOver, null, target[0]);
        return new ReassignmentDecision(ReassignmentOutcome.Complete, committed with
        {
            Replicas = target,
            Reassignment = [],
            Isr = [.. committed.Isr.Where(m => target.Contains(m.Broker))],
            Elr = [.. committed.Elr.Where(m => target.Contains(m.Broker))],
        });
    }
}
