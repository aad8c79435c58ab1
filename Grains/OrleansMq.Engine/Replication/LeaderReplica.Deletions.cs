namespace OrleansMq.Replication;

// Deletions of records: done once every replica that may lead has moved its log start. Else the records would return with the next leader.
internal sealed partial class LeaderReplica
{
    private readonly Queue<(long LogStart, long Waiter, long Deadline)> _deletions = [];

    /// <summary>Takes a deletion of all records below an offset, which this log has done. <see cref="CompleteDeletion"/> follows.</summary>
    /// <param name="logStart">The offset.</param>
    /// <param name="waiter">Returned with the answer.</param>
    /// <param name="now">The time, in milliseconds.</param>
    public void OnDeleted(long logStart, long waiter, long now)
    {
        if (!LeadsAt(now))
        {
            _effects.Add(new CompleteDeletion(waiter, ErrorCode.RequestTimedOut));
            return;
        }
        _deletions.Enqueue((logStart, waiter, _now + _options.AppendTimeoutMs));
        foreach (var follower in _followers)
            Send(follower, 0, [], 0, now);
        CompleteDeletions();
    }

    /// <summary>Returns the brokers that may lead, and are not known to have deleted all records below an offset.</summary>
    /// <param name="logStart">The offset.</param>
    public IReadOnlyList<int> BrokersWithRecordsBelow(long logStart) => Status != LeaderStatus.Leading ? []
        : [.. _unsettled.Append(_committed!).SelectMany(state => state.Isr.Concat(state.Elr))
            .Where(member => !IsDeletedAt(member, logStart)).Select(member => member.Broker).Distinct().Order()];

    private void CompleteDeletions()
    {
        while (_deletions.TryPeek(out var first) && IsDeletedWhereverItMayLead(first.LogStart))
            _effects.Add(new CompleteDeletion(_deletions.Dequeue().Waiter, ErrorCode.None));
    }

    private void FailOverdueDeletions()
    {
        while (_deletions.TryPeek(out var first) && first.Deadline < _now)
            _effects.Add(new CompleteDeletion(_deletions.Dequeue().Waiter, ErrorCode.RequestTimedOut));
    }

    private void FailDeletions()
    {
        while (_deletions.TryDequeue(out var deletion))
            _effects.Add(new CompleteDeletion(deletion.Waiter, ErrorCode.RequestTimedOut));
    }

    private bool IsDeletedWhereverItMayLead(long logStart)
    {
        if (!IsDeletedIn(_committed!, logStart))
            return false;
        foreach (var proposed in _unsettled)
        {
            if (!IsDeletedIn(proposed, logStart))
                return false;
        }
        return true;
    }

    private bool IsDeletedIn(PartitionState state, long logStart)
    {
        foreach (var member in state.Isr)
        {
            if (!IsDeletedAt(member, logStart))
                return false;
        }
        foreach (var member in state.Elr)
        {
            if (!IsDeletedAt(member, logStart))
                return false;
        }
        return true;
    }

    private bool IsDeletedAt(ReplicaIdentity member, long logStart) => member.Broker == _self.Broker
        || (ProgressOf(member.Broker) is { Identity: { } identity } progress && _rules.SameMember(member, identity)
            && progress.LogStart >= logStart);
}
