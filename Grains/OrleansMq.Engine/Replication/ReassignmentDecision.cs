using System.Collections.Immutable;

namespace OrleansMq.Replication;

/// <summary>What a reassignment needs next.</summary>
public enum ReassignmentOutcome
{
    /// <summary>Never returned.</summary>
    Unknown = 0,
    /// <summary>There is none, or somebody still has to catch up.</summary>
    Wait = 1,
    /// <summary>All that shall hold the partition do: write <see cref="ReassignmentDecision.Next"/>.</summary>
    Complete = 2,
    /// <summary>The same, but the leader does not belong to them: it resigns in favour of <see cref="ReassignmentDecision.Successor"/>, who
    /// completes it.</summary>
    HandOver = 3,
}

/// <summary>
/// A change of the replica set. It only ever adds until all that are wanted are in sync; then those that are not wanted leave by one
/// committed write. So at every moment each member that counts is in the ISR by the usual rules: the high watermark,
/// <c>min.insync.replicas</c> and who may lead need no rule of their own. Pure.
/// </summary>
/// <param name="Outcome">What to do.</param>
/// <param name="Next">With <see cref="ReassignmentOutcome.Complete"/>: the state to write; else null.</param>
/// <param name="Successor">With <see cref="ReassignmentOutcome.HandOver"/>: who leads next; else
/// <see cref="PartitionState.NoLeader"/>.</param>
public readonly record struct ReassignmentDecision(ReassignmentOutcome Outcome, PartitionState? Next = null,
    int Successor = PartitionState.NoLeader)
{
    /// <summary>The state that begins a reassignment, replaces one, or cancels one by going back; null where that is stored
    /// already.</summary>
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
    /// <param name="committed">As stored.</param>
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
