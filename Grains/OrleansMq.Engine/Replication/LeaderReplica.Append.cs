namespace OrleansMq.Replication;

// The leader's part in the AppendCore: RefuseAppend for each append, OnAppended for each that waits, AfterAppends once.
internal sealed partial class LeaderReplica
{
    // In the order of the log; a duplicate keeps its place of arrival. The partition's append queue bounds their number.
    private readonly Queue<(long End, long Waiter, long BaseOffset, bool IsDuplicate, long Deadline)> _waiters = [];

    /// <summary>Returns the refusal of an append right before it is written.</summary>
    /// <param name="waitForAll">Whether it has <c>acks=all</c>, which needs enough replicas. Otherwise it needs the lease.</param>
    /// <param name="now">The time, in milliseconds.</param>
    /// <returns><see cref="ErrorCode.None"/> to append it.</returns>
    public ErrorCode RefuseAppend(bool waitForAll, long now)
    {
        if (!LeadsAt(now) || IsResigning || (!waitForAll && now > _leaseUntil))
            return ErrorCode.NotLeaderOrFollower;
        return waitForAll && !HasEnoughReplicas() ? ErrorCode.NotEnoughReplicas : ErrorCode.None;
    }

    /// <summary>Takes a batch with <c>acks=all</c> that is in the log. <see cref="CompleteAppend"/> follows when the high watermark has
    /// passed it, or when it fails.</summary>
    /// <param name="end">The end of the batch; for a duplicate, that of the original.</param>
    /// <param name="baseOffset">Its base offset.</param>
    /// <param name="isDuplicate">Whether it is a duplicate of an earlier batch.</param>
    /// <param name="waiter">Returned with the answer.</param>
    public void OnAppended(long end, long baseOffset, bool isDuplicate, long waiter)
    {
        if (Status == LeaderStatus.Leading)
            _waiters.Enqueue((end, waiter, baseOffset, isDuplicate, _now + _options.AppendTimeoutMs));
        else
            Complete(waiter, ErrorCode.RequestTimedOut);
    }

    /// <summary>Pushes a group of appends that is in the log to the followers.</summary>
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
