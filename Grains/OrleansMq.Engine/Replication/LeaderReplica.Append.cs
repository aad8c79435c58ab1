namespace OrleansMq.Replication;

// A leader's part in the AppendCore: RefuseAppend for each append, OnAppended for each that waits, AfterAppends once.
internal sealed partial class LeaderReplica
{
    // In the order of the log; a duplicate stands where it came. How many there may be is bounded by what the partition's append queue
    // admits.
    private readonly Queue<(long End, long Waiter, long BaseOffset, bool IsDuplicate, long Deadline)> _waiters = [];

    /// <summary>Whether an append must be refused now; asked before it is written.</summary>
    /// <param name="waitForAll"><c>acks=all</c>: needs enough replicas. Otherwise it needs the lease.</param>
    /// <param name="now">The time, milliseconds.</param>
    /// <returns><see cref="ErrorCode.None"/>: append it.</returns>
    public ErrorCode RefuseAppend(bool waitForAll, long now)
    {
        if (!LeadsAt(now) || IsResigning || (!waitForAll && now > _leaseUntil))
            return ErrorCode.NotLeaderOrFollower;
        return waitForAll && !HasEnoughReplicas() ? ErrorCode.NotEnoughReplicas : ErrorCode.None;
    }

    /// <summary>A batch with <c>acks=all</c> is in the log: <see cref="CompleteAppend"/> follows when the high watermark has passed it, or
    /// it cannot.</summary>
    /// <param name="end">Where the batch ends; of a duplicate: the original.</param>
    /// <param name="baseOffset">Where it begins.</param>
    /// <param name="isDuplicate">The original was written before.</param>
    /// <param name="waiter">Comes back with the answer.</param>
    public void OnAppended(long end, long baseOffset, bool isDuplicate, long waiter)
    {
        if (Status == LeaderStatus.Leading)
            _waiters.Enqueue((end, waiter, baseOffset, isDuplicate, _now + _options.AppendTimeoutMs));
        else
            Complete(waiter, ErrorCode.RequestTimedOut);
    }

    /// <summary>A group of appends is in the log: followers get it.</summary>
    public void AfterAppends(long now)
    {
        if (!LeadsAt(now))
            return;
        FillAll();
        Advance();
    }

    private void CompleteReplicated()
    {
        while (_waiters.TryPeek(out var first) && (first.IsDuplicate
            ? _rules.IsDuplicateReplicated(first.End, _log.HighWatermark)
            : _rules.IsReplicated(first.End, _log.HighWatermark)))
        {
            _waiters.Dequeue();
            Complete(first.Waiter, HasEnoughReplicas() ? ErrorCode.None : ErrorCode.NotEnoughReplicasAfterAppend, first.BaseOffset);
        }
    }

    private void FailOverdue()
    {
        while (_waiters.TryPeek(out var first) && first.Deadline < _now)
        {
            _waiters.Dequeue();
            Complete(first.Waiter, ErrorCode.RequestTimedOut);
        }
    }

    private void FailWaiters(ErrorCode error)
    {
        while (_waiters.TryDequeue(out var waiter))
            Complete(waiter.Waiter, error);
    }

    private void Complete(long waiter, ErrorCode error, long baseOffset = -1) =>
        _effects.Add(new CompleteAppend(waiter, error, error == ErrorCode.None ? baseOffset : -1));
}
