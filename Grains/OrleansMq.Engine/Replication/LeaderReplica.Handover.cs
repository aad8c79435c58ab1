using System.Collections.Immutable;

namespace OrleansMq.Replication;

// Resignation, and changes of the replica set.
internal sealed partial class LeaderReplica
{
    private (int? Successor, long Deadline)? _handover;
    private (ImmutableArray<int> Target, long Waiter)? _reassignment;

    /// <summary>Whether it is resigning, on request or because a reassignment removes it: appends are refused.</summary>
    public bool IsResigning => _handover is not null;

    /// <summary>Until when it waits for its successor, in milliseconds; null while it is not resigning.</summary>
    internal long? HandoverDeadline => _handover?.Deadline;

    /// <summary>
    /// Hands leadership over. Appends are refused from now on. Once the successor and the high watermark have reached the log end, or the
    /// deadline passes, it stores its resignation and stops. If the store does not answer, it retries for one lease after the deadline.
    /// </summary>
    /// <param name="successor">The next leader; null for any in-sync replica.</param>
    /// <param name="deadline">Until when to drain, in milliseconds.</param>
    /// <param name="now">The time, in milliseconds.</param>
    public void Resign(int? successor, long deadline, long now)
    {
        if (Status is LeaderStatus.Reading or LeaderStatus.Claiming)
            Stop("it was asked to resign before it led");
        if (!LeadsAt(now))
            return;
        _handover = (successor, deadline);
        ContinueHandover();
    }

    /// <summary>Changes the replica set. <see cref="CompleteReassignment"/> answers once the write that begins it is stored. To cancel a
    /// reassignment, reassign back.</summary>
    /// <param name="target">The brokers of the new replica set, the preferred leader first; not empty, none twice.</param>
    /// <param name="waiter">Returned with the answer.</param>
    /// <param name="now">The time, in milliseconds.</param>
    public void Reassign(IReadOnlyList<int> target, long waiter, long now)
    {
        var error = !LeadsAt(now) || IsResigning ? ErrorCode.NotLeaderOrFollower
            : target.Count == 0 || target.Any(b => b < 0) || target.Distinct().Count() < target.Count ? ErrorCode.InvalidReplicaAssignment
            : _reassignment is not null ? ErrorCode.ReassignmentInProgress
            : ErrorCode.None;
        if (error != ErrorCode.None)
        {
            _effects.Add(new CompleteReassignment(waiter, error));
            return;
        }
        _reassignment = ([.. target], waiter);
        Propose(now);
    }

    private PartitionState? ProposeReplicas(long now)
    {
        if (_reassignment is { } wanted)
        {
            if (_rules.BeginReassignment(_committed!, wanted.Target) is { } begun)
                return begun;
            EndReassignment(ErrorCode.None);
        }
        var step = _rules.Reassign(_committed!, _self.Broker);
        if (step.Outcome == ReassignmentOutcome.HandOver && !IsResigning)
            Resign(step.Successor, now + _options.HandoverMs, now);
        return step.Next;
    }

    private void EndReassignment(ErrorCode error)
    {
        if (_reassignment is { } wanted)
            _effects.Add(new CompleteReassignment(wanted.Waiter, error));
        _reassignment = null;
    }

    private void ContinueHandover()
    {
        if (_handover is not { } handover || Status != LeaderStatus.Leading)
            return;
        if (_now > handover.Deadline + _options.LeaseMs)
        {
            Stop("it was asked to resign, and the store did not answer in time");
            return;
        }
        if (_inFlight || _mustRead)
            return;
        var successor = _rules.ChooseSuccessor(_committed!, _self.Broker, handover.Successor, _membership);
        var successorEnd = successor < 0 ? long.MaxValue : _committed!.Isr.Where(m => m.Broker == successor).Select(CountedEnd).First();
        if (_now < handover.Deadline && !_rules.IsDrained(_log.LogEndOffset, _log.HighWatermark, successorEnd))
            return;
        Write(_rules.Resigned(_committed!, successor));
        _unsettled.Add(_writing!);
    }

    // Begins the exchange with replicas that joined the set, and ends it with those that left.
    private void FollowReplicas(long now)
    {
        var brokers = _committed!.Replicas.Where(b => b != _self.Broker).ToArray();
        if (_followers.Select(f => f.Broker).SequenceEqual(brokers))
            return;
        var before = _followers;
        _followers = [.. brokers.Select(b => Array.Find(before, f => f.Broker == b) ?? new FollowerProgress(b, ++_sessions, now))];
        foreach (var follower in _followers.Except(before))
            Send(follower, 0, [], 0, now);
    }
}
