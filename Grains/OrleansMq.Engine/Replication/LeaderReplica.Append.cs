namespace OrleansMq.Replication;

// The leader's part in the AppendCore: RefuseAppend for each append, OnAppended for each that waits, AfterAppends once.
internal sealed partial class LeaderReplica
{
    // In the order of the log; a duplicate keeps its place of arrival. The partition's append queue bounds their number.
    private readonly Queue<Waiter> _waiters = [];
    // Those with acks=replicated, which wait for no flush and overtake the others.
    private readonly Queue<Waiter> _unflushed = [];

    private readonly record struct Waiter(long End, long Number, long BaseOffset, bool IsDuplicate, long Deadline);

    /// <summary>Returns the refusal of an append right before it is written.</summary>
    /// <param name="waitForAll">Whether it waits for the in-sync replicas, and needs enough of them. Otherwise it needs the lease.</param>
    /// <param name="now">The time, in milliseconds.</param>
    /// <returns><see cref="ErrorCode.None"/> to append it.</returns>
    public ErrorCode RefuseAppend(bool waitForAll, long now)
    {
        if (!LeadsAt(now) || IsResigning || (!waitForAll && now > _leaseUntil))
            return ErrorCode.NotLeaderOrFollower;
        return waitForAll && !HasEnoughReplicas() ? ErrorCode.NotEnoughReplicas : ErrorCode.None;
    }

    /// <summary>Takes a batch that is in the log and waits for the in-sync replicas. <see cref="CompleteAppend"/> follows when they hold
    /// it, or when it fails.</summary>
    /// <param name="end">The end of the batch; for a duplicate, that of the original.</param>
    /// <param name="baseOffset">Its base offset.</param>
    /// <param name="isDuplicate">Whether it is a duplicate of an earlier batch.</param>
    /// <param name="waiter">Returned with the answer.</param>
    /// <param name="acks"><see cref="Acks.All"/>: it waits for the high watermark. <see cref="Acks.Replicated"/>: for the replicas' log
    /// ends, flushed or not. A duplicate waits as its own level says, not as its original's.</param>
    public void OnAppended(long end, long baseOffset, bool isDuplicate, long waiter, Acks acks = Acks.All)
    {
        var level = acks == Acks.Replicated ? Acks.Replicated : Acks.All;
        if (Status == LeaderStatus.Leading)
            QueueOf(level).Enqueue(new Waiter(end, waiter, baseOffset, isDuplicate, _now + _options.AppendTimeoutMs));
        else
            Complete(waiter, level, ErrorCode.RequestTimedOut);
    }

    /// <summary>Pushes a group of appends that is in the log to the followers.</summary>
    public void AfterAppends(long now)
    {
        if (!LeadsAt(now))
            return;
        FillAll();
        Advance();
    }

    private Queue<Waiter> QueueOf(Acks level) => level == Acks.Replicated ? _unflushed : _waiters;

    // Those that wait for no flush are answered first.
    private void CompleteReplicated()
    {
        CompleteUpTo(Acks.Replicated, Math.Max(_replicated, _log.HighWatermark));
        CompleteUpTo(Acks.All, _log.HighWatermark);
    }

    private void CompleteUpTo(Acks level, long end)
    {
        var waiters = QueueOf(level);
        while (waiters.TryPeek(out var first) && (first.IsDuplicate
            ? _rules.IsDuplicateReplicated(first.End, end)
            : _rules.IsReplicated(first.End, end)))
        {
            waiters.Dequeue();
            Complete(first.Number, level, HasEnoughReplicas() ? ErrorCode.None : ErrorCode.NotEnoughReplicasAfterAppend, first.BaseOffset);
        }
    }

    private void FailOverdue()
    {
        FailOverdue(Acks.Replicated);
        FailOverdue(Acks.All);
    }

    private void FailOverdue(Acks level)
    {
        var waiters = QueueOf(level);
        while (waiters.TryPeek(out var first) && first.Deadline < _now)
        {
            waiters.Dequeue();
            Complete(first.Number, level, ErrorCode.RequestTimedOut);
        }
    }

    private void FailWaiters(ErrorCode error)
    {
        while (_unflushed.TryDequeue(out var waiter))
            Complete(waiter.Number, Acks.Replicated, error);
        while (_waiters.TryDequeue(out var waiter))
            Complete(waiter.Number, Acks.All, error);
    }

    private void Complete(long waiter, Acks level, ErrorCode error, long baseOffset = -1) =>
        _effects.Add(new CompleteAppend(waiter, error, error == ErrorCode.None ? baseOffset : -1) { Level = level });
}
