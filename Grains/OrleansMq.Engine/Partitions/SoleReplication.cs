namespace OrleansMq.Partitions;

/// <summary>The replication of a partition with one replica. It always leads, and written records are visible at once.</summary>
internal sealed class SoleReplication(Partition partition) : IPartitionReplication
{
    private Leadership? _leadership;
    // Why the round under way could not be flushed. Used by the thread that has the turn.
    private Exception? _unflushed;

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
        _unflushed = partition.Flusher.AfterWrite(unseen, now);
        if (_unflushed is not null)
            return 0;
        partition.AdvanceHighWatermark();
        return unseen > records ? Math.Max(bytes, 1) : bytes;
    }

    /// <inheritdoc/>
    public void AfterRound(AppendRound round)
    {
        if (_unflushed is not { } fault)
            return;
        _unflushed = null;
        partition.Flusher.FailUnflushed(round, fault);
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
            partition.AdvanceHighWatermark();
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
