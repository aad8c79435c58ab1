using OrleansMq.Api;

namespace OrleansMq.Partitions;

/// <summary>The replication of a partition with one replica. It always leads, and written records are visible at once.</summary>
internal sealed class SoleReplication(Partition partition) : IPartitionReplication
{
    /// <inheritdoc/>
    public bool KnowsLatest => true;

    /// <inheritdoc/>
    public ErrorCode RefuseEarly(Acks acks, out string message) => RefuseAppend(acks, out message);

    /// <inheritdoc/>
    public ErrorCode RefuseAppend(Acks acks, out string message)
    {
        if (acks != Acks.All || partition.Config.MinInsyncReplicas <= 1)
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
        if (records > 0)
        {
            partition.Flusher.AfterWrite(records, now);
            partition.AdvanceHighWatermark();
        }
        return bytes;
    }

    /// <inheritdoc/>
    public void AfterRound(AppendRound round)
    {
        // No other replica waits for the round.
    }

    /// <inheritdoc/>
    public Task<ErrorCode> ReplicateLogStartAsync(long logStart) => Task.FromResult(ErrorCode.None);

    /// <inheritdoc/>
    public ErrorCode RefuseRead(out string message)
    {
        message = "";
        return ErrorCode.None;
    }

    /// <inheritdoc/>
    public void OnOffline(string reason)
    {
        // There is no other replica to tell.
    }
}
