using OrleansMq.Api;

namespace OrleansMq.Partitions;

/// <summary>The replication of a partition with one replica. It always leads, and written records are visible at once; under <c>sync</c>,
/// once they are flushed.</summary>
/// <remarks>
/// Under <c>sync</c> the round includes its flush, until a sender appends that waits for none (<see cref="Acks.Replicated"/>). From then on
/// the partition is flushed beside the turn: a round answers those senders once it is written, and the others wait for the flush.
/// </remarks>
internal sealed class SoleReplication(Partition partition) : IPartitionReplication
{
    private Leadership? _leadership;
    // Why the round under way could not be flushed, and whether it is flushed beside the turn. Used by the thread that has the turn.
    private Exception? _unflushed;
    private bool _flushesBeside;
    // What waits for a flush beside the turn, in the order of the log; it has a lock of its own.
    private readonly Queue<(AppendOperation Operation, long End)> _waiting = new();
    private readonly List<AppendOperation> _answered = [];
    // The rounds that no reader sees yet. Under the append lock.
    private readonly Queue<(long End, long Bytes)> _rounds = new();

    /// <inheritdoc/>
    public bool KnowsLatest => true;

    /// <inheritdoc/>
    public ErrorCode RefuseEarly(Acks acks, out string message) => RefuseAppend(acks, out message);

    /// <inheritdoc/>
    public ErrorCode RefuseAppend(Acks acks, out string message)
    {
        if (!acks.WaitsForReplicas() || partition.Config.MinInsyncReplicas <= 1)
        {
            message = "";
            return ErrorCode.None;
        }
        message = $"Partition {partition.TopicPartition} has 1 replica, its topic's 'min.insync.replicas' is "
            + $"{partition.Config.MinInsyncReplicas}: set that to 1, or send with acks=1.";
        return ErrorCode.NotEnoughReplicas;
    }

    /// <inheritdoc/>
    public void Await(AppendOperation operation)
    {
        // It completes with its round.
    }

    /// <inheritdoc/>
    public long OnRoundWritten(long records, long bytes, long now)
    {
        // Also records of earlier rounds that could not be flushed: a duplicate of one counts no earlier than its original.
        var unseen = partition.LogEndOffset - partition.HighWatermark;
        if (unseen == 0)
            return 0;
        _flushesBeside = partition.Appends.FlushesBeside;
        if (_flushesBeside)
        {
            _rounds.Enqueue((partition.LogEndOffset, bytes));
            return 0;
        }
        _unflushed = partition.Flusher.AfterWrite(unseen, now);
        if (_unflushed is not null)
            return 0;
        partition.AdvanceHighWatermark(partition.LogEndOffset);
        return unseen > records ? Math.Max(bytes, 1) : bytes;
    }

    /// <inheritdoc/>
    public void AfterRound(AppendRound round)
    {
        if (_flushesBeside)
        {
            _flushesBeside = false;
            WaitForFlush(round.Operations);
            partition.FlushWork.Schedule();
            return;
        }
        if (_unflushed is not { } fault)
            return;
        _unflushed = null;
        partition.Flusher.FailUnflushed(round.Operations, fault);
    }

    // The others are answered with the round: refused, or written and in need of no flush. One that waits may be answered, and used again,
    // as soon as the lock is released: by then the round has forgotten it.
    private void WaitForFlush(List<AppendOperation> operations)
    {
        lock (_waiting)
        {
            foreach (var operation in operations)
            {
                if (!operation.IsWritten || operation.Acks == Acks.Replicated)
                    continue;
                operation.IsWaiting = true;
                _waiting.Enqueue((operation, partition.LogEndOffset));
            }
            operations.RemoveAll(static operation => operation.IsWaiting);
        }
    }

    /// <inheritdoc/>
    public void FlushAndAnswer()
    {
        var end = long.MaxValue;
        var passing = partition.OfflineReason is null ? partition.Flusher.FlushBeside(out end) : null;
        var offline = partition.OfflineReason;
        TakeWaiting(offline is null ? end : long.MaxValue);
        if (offline is not null)
            _answered.ForEach(operation => operation.Decide(ProduceResult.Failed(ErrorCode.KafkaStorageError, offline)));
        else if (passing is not null)
            partition.Flusher.FailUnflushed(_answered, passing);
        else
            Show(end);
        AppendLoop.Complete(_answered, sender: null);
        _answered.Clear();
    }

    private void TakeWaiting(long end)
    {
        lock (_waiting)
        {
            while (_waiting.TryPeek(out var first) && first.End <= end)
                _answered.Add(_waiting.Dequeue().Operation);
        }
    }

    // Waiting readers ask for a number of bytes.
    private void Show(long end)
    {
        var bytes = 0L;
        lock (partition.Log!.AppendLock)
        {
            while (_rounds.TryPeek(out var round) && round.End <= end)
                bytes += _rounds.Dequeue().Bytes;
            if (end <= partition.HighWatermark)
                return;
            partition.AdvanceHighWatermark(end);
        }
        partition.Waiters.Advance(Math.Max(bytes, 1));
    }

    /// <inheritdoc/>
    /// <remarks>A round that could not be flushed counts now. No later round may come: its cursor waits for it.</remarks>
    public void OnFlushed()
    {
        var log = partition.Log!;
        lock (log.AppendLock)
        {
            if (partition.HighWatermark == log.LogEndOffset || log.SecuredOffset < log.LogEndOffset)
                return;
            partition.AdvanceHighWatermark(log.LogEndOffset);
        }
        partition.Waiters.Advance(1);
    }

    /// <inheritdoc/>
    public Task<string?> ReplicateLogStartAsync(long logStart) => Task.FromResult<string?>(null);

    /// <inheritdoc/>
    public long EraseLimit => long.MaxValue;

    /// <inheritdoc/>
    public void BeforeErasing()
    {
        // There is no other replica to tell.
    }

    /// <inheritdoc/>
    public ErrorCode RefuseRead(out string message)
    {
        message = "";
        return ErrorCode.None;
    }

    /// <inheritdoc/>
    /// <remarks>It begins anew with each epoch.</remarks>
    public Leadership? Leadership
    {
        get
        {
            var (known, epoch) = (_leadership, partition.LeaderEpoch);
            if (known?.Epoch == epoch)
                return known;
            var begun = new Leadership(epoch);
            return Interlocked.CompareExchange(ref _leadership, begun, known) == known ? begun : _leadership;
        }
    }

    /// <inheritdoc/>
    public long LeaseLeftMs => long.MaxValue;

    /// <inheritdoc/>
    public long HandOutWaitMs => 0;

    /// <inheritdoc/>
    public bool IsSoleLeader => true;

    /// <inheritdoc/>
    public void OnOffline(string reason)
    {
        // There is no other replica to tell.
    }
}
