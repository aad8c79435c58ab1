using OrleansMq.Brokers;
using OrleansMq.Topics;

namespace OrleansMq.Partitions;

/// <summary>
/// One partition on this broker: its log, its offsets, its append loop and those who wait for records. Whoever leads it (a grain, or the
/// standalone host) calls this object. Thread safe.
/// <para>Online it serves; a fault of its storage takes it offline, with the file and the fix in <see cref="OfflineReason"/>, until the
/// broker is started again. Nothing acknowledged is lost by that, and other partitions go on.</para>
/// </summary>
public sealed class Partition
{
    /// <summary>Topic and number.</summary>
    public TopicPartition TopicPartition => throw new NotImplementedException();
    /// <summary>The topic's id, also kept in the partition's directory.</summary>
    public Guid TopicId => throw new NotImplementedException();
    /// <summary>The topic's configuration in force.</summary>
    public TopicConfig Config => throw new NotImplementedException();
    /// <summary>Null while it serves; otherwise what failed, which file, and the fix.</summary>
    public string? OfflineReason => throw new NotImplementedException();
    /// <summary>The first offset that can be read.</summary>
    public long LogStartOffset => throw new NotImplementedException();
    /// <summary>The first offset that cannot be read yet.</summary>
    public long HighWatermark => throw new NotImplementedException();
    /// <summary>The first offset that a committed reader cannot read yet. Without transactions, the high watermark.</summary>
    public long LastStableOffset => throw new NotImplementedException();
    /// <summary>The offset the next record gets.</summary>
    public long LogEndOffset => throw new NotImplementedException();
    /// <summary>The epoch appends are stamped with.</summary>
    public int LeaderEpoch => throw new NotImplementedException();
    /// <summary>Bytes of all segments' logs.</summary>
    public long SizeInBytes => throw new NotImplementedException();

    /// <summary>Appends one batch. See <see cref="IBroker.ProduceAsync"/>.</summary>
    public ValueTask<ProduceResult> AppendAsync(Memory<byte> batch, Acks acks, CancellationToken cancellationToken = default) => throw new NotImplementedException();

    /// <summary>Reads batches. See <see cref="IBroker.FetchAsync"/>.</summary>
    public ValueTask<FetchResult> ReadAsync(FetchRequest request, CancellationToken cancellationToken = default) => throw new NotImplementedException();

    /// <summary>Finds an offset.</summary>
    public OffsetResult FindOffset(OffsetSpec spec) => throw new NotImplementedException();

    /// <summary>Moves the log start offset; durable when it returns.</summary>
    public ValueTask<long> DeleteRecordsAsync(long beforeOffset, CancellationToken cancellationToken = default) => throw new NotImplementedException();

    /// <summary>Takes over a changed topic configuration.</summary>
    public void UpdateConfig(TopicConfig config) => throw new NotImplementedException();
}
