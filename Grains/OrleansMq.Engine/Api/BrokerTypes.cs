using OrleansMq.Records;

namespace OrleansMq.Api;

/// <summary>A topic to create.</summary>
/// <param name="Name">1 to 249 characters of <c>a-z A-Z 0-9 . _ -</c>, neither <c>.</c> nor <c>..</c>.</param>
/// <param name="Partitions">1 to 10,000; -1 for the broker's default.</param>
/// <param name="ReplicationFactor">Copies of each partition; -1 for the broker's default.</param>
/// <param name="Configs">Kafka's topic configuration keys and values; null or empty for the defaults.</param>
public sealed record NewTopic(string Name, int Partitions = -1, short ReplicationFactor = -1,
    IReadOnlyDictionary<string, string>? Configs = null);

/// <summary>A topic in a list.</summary>
/// <param name="Name">The topic's name.</param>
/// <param name="TopicId">Never reused: a topic deleted and created again has another.</param>
/// <param name="Partitions">How many partitions it has.</param>
public sealed record TopicListing(string Name, Guid TopicId, int Partitions);

/// <summary>A topic in full.</summary>
/// <param name="Name">The topic's name.</param>
/// <param name="TopicId">Never reused: a topic deleted and created again has another.</param>
/// <param name="Partitions">Each partition, by number.</param>
/// <param name="Configs">Every configuration key with its effective value and where that comes from.</param>
public sealed record TopicDescription(string Name, Guid TopicId, IReadOnlyList<PartitionDescription> Partitions,
    IReadOnlyList<ConfigEntry> Configs);

/// <summary>One configuration key of a topic.</summary>
/// <param name="Name">Kafka's name of the key.</param>
/// <param name="Value">The effective value.</param>
/// <param name="IsDefault">Whether the value is the default rather than set on this topic.</param>
public sealed record ConfigEntry(string Name, string Value, bool IsDefault);

/// <summary>One partition of a topic, as its leader sees it.</summary>
/// <param name="Partition">The partition's number, from 0.</param>
/// <param name="Leader">The broker that leads it; -1 where none does.</param>
/// <param name="LeaderEpoch">How often leadership was claimed.</param>
/// <param name="Replicas">The brokers that hold it, the preferred leader first.</param>
/// <param name="InSyncReplicas">Those of them that hold all that was acknowledged.</param>
/// <param name="LogStartOffset">The first offset that can be read.</param>
/// <param name="HighWatermark">The first offset that cannot be read yet.</param>
/// <param name="LogEndOffset">The offset the next record gets.</param>
/// <param name="SizeBytes">The bytes of its segments' logs on the leader.</param>
/// <param name="OfflineReason">Null while it serves; otherwise what failed, where, and what to do.</param>
/// <param name="EligibleLeaderReplicas">Brokers that left the in-sync replicas while those were too few, and may lead where no in-sync
/// replica is alive (KIP-966). Null where there are none.</param>
public sealed record PartitionDescription(int Partition, int Leader, int LeaderEpoch, IReadOnlyList<int> Replicas,
    IReadOnlyList<int> InSyncReplicas,
    long LogStartOffset, long HighWatermark, long LogEndOffset, long SizeBytes, string? OfflineReason = null,
    IReadOnlyList<int>? EligibleLeaderReplicas = null);

/// <summary>The answer to a produce request.</summary>
/// <param name="Error"><see cref="ErrorCode.None"/>, or why the batch was not (or perhaps not) appended.</param>
/// <param name="BaseOffset">The offset of the batch's first record; of the original, where the batch is a duplicate. -1 on error.</param>
/// <param name="LogAppendTime">Milliseconds since 1970 where the topic stamps LogAppendTime, else -1.</param>
/// <param name="LogStartOffset">The partition's log start offset; -1 if not known.</param>
/// <param name="Message">On error: the field or path, and the fix.</param>
/// <param name="BadRecords">Where the batch was refused for the sake of some of its records: their numbers in it, from 0, ascending
/// (KIP-467); the others could be sent again without them. Null where the batch as a whole is at fault, or nothing is.</param>
public readonly record struct ProduceResult(ErrorCode Error, long BaseOffset, long LogAppendTime = -1, long LogStartOffset = -1,
    string? Message = null,
    IReadOnlyList<int>? BadRecords = null)
{
    /// <summary>An answer that only says why not.</summary>
    public static ProduceResult Failed(ErrorCode error, string message) => new(error, -1, -1, -1, message);
}

/// <summary>Which records a reader sees.</summary>
public enum IsolationLevel : sbyte
{
    /// <summary>All up to the high watermark.</summary>
    ReadUncommitted = 0,
    /// <summary>Only those of committed transactions, up to the last stable offset.</summary>
    ReadCommitted = 1,
}

/// <summary>A read of one partition.</summary>
/// <param name="Partition">Where from.</param>
/// <param name="Offset">The first offset wanted. The first batch returned may begin below it.</param>
/// <param name="MaxBytes">At most so many bytes, but always at least one batch.</param>
/// <param name="MaxWait">How long to wait for <paramref name="MinBytes"/>; zero answers at once.</param>
/// <param name="MinBytes">Answer when so many bytes can be read.</param>
/// <param name="Isolation">Which records to see.</param>
/// <param name="AllowsSlice">Whether the records may come as a <see cref="FetchResult.Slice"/>, to be read when they are sent. Only within
/// the process.</param>
public readonly record struct FetchRequest(TopicPartition Partition, long Offset, int MaxBytes = 1 << 20, TimeSpan MaxWait = default,
    int MinBytes = 1,
    IsolationLevel Isolation = IsolationLevel.ReadUncommitted, bool AllowsSlice = false);

/// <summary>What a read returned. Dispose it when the records are no longer needed: the memory goes back to a pool.</summary>
public sealed class FetchResult : IDisposable
{
    private IDisposable? _owner;

    /// <summary>A result over memory that <paramref name="owner"/> gives back on dispose.</summary>
    public FetchResult(ErrorCode error, long highWatermark, long lastStableOffset, long logStartOffset, ReadOnlyMemory<byte> records,
        System.Buffers.IMemoryOwner<byte>? owner = null, string? message = null)
    {
        Error = error;
        HighWatermark = highWatermark;
        LastStableOffset = lastStableOffset;
        LogStartOffset = logStartOffset;
        Records = records;
        Message = message;
        _owner = owner;
    }

    /// <summary>A result over a place in a file, which is given back on dispose.</summary>
    internal FetchResult(long highWatermark, long lastStableOffset, long logStartOffset, RecordSlice slice)
        : this(ErrorCode.None, highWatermark, lastStableOffset, logStartOffset, default)
    {
        Slice = slice;
        _owner = slice;
    }

    /// <summary><see cref="ErrorCode.None"/>, or why nothing was read.</summary>
    public ErrorCode Error { get; }

    /// <summary>On error: the field or path, and the fix.</summary>
    public string? Message { get; }

    /// <summary>The first offset that cannot be read yet; -1 if not known.</summary>
    public long HighWatermark { get; }

    /// <summary>The first offset that a <see cref="IsolationLevel.ReadCommitted"/> reader cannot read yet; -1 if not known.</summary>
    public long LastStableOffset { get; }

    /// <summary>The first offset that can be read; -1 if not known.</summary>
    public long LogStartOffset { get; }

    /// <summary>Whole record batches, one after the other; empty when there was nothing to read.</summary>
    public ReadOnlyMemory<byte> Records { get; private set; }

    /// <summary>The record batches where they are, instead of <see cref="Records"/>, for who asked with
    /// <see cref="FetchRequest.AllowsSlice"/>.</summary>
    public RecordSlice? Slice { get; private set; }

    /// <summary>Bytes of the record batches, wherever they are.</summary>
    public int Length => Slice?.Length ?? Records.Length;

    /// <summary>An answer that only says why not.</summary>
    public static FetchResult Failed(ErrorCode error, string message, long highWatermark = -1, long lastStableOffset = -1,
        long logStartOffset = -1) =>
        new(error, highWatermark, lastStableOffset, logStartOffset, default, null, message);

    /// <summary>Gives the memory back; <see cref="Records"/> is empty from then on. A second call does nothing.</summary>
    public void Dispose()
    {
        Records = default;
        Slice = null;
        Interlocked.Exchange(ref _owner, null)?.Dispose();
    }
}

/// <summary>Which offset to find.</summary>
/// <param name="Value">A timestamp in milliseconds since 1970, or one of the negative values Kafka's ListOffsets defines.</param>
public readonly record struct OffsetSpec(long Value)
{
    /// <summary>The log start offset.</summary>
    public static readonly OffsetSpec Earliest = new(-2);
    /// <summary>The high watermark (last stable offset for a committed reader).</summary>
    public static readonly OffsetSpec Latest = new(-1);
    /// <summary>The record with the largest timestamp (KIP-734).</summary>
    public static readonly OffsetSpec MaxTimestamp = new(-3);
    /// <summary>The first record with a timestamp at or after <paramref name="timestamp"/>, in milliseconds since 1970.</summary>
    public static OffsetSpec AtOrAfter(long timestamp) => new(timestamp);
}

/// <summary>An offset that was looked for.</summary>
/// <param name="Error"><see cref="ErrorCode.None"/>, or why not.</param>
/// <param name="Offset">The offset; -1 where no record is that late.</param>
/// <param name="Timestamp">The record's timestamp; -1 for earliest and latest.</param>
/// <param name="LeaderEpoch">The epoch the record was written in; -1 if not known.</param>
/// <param name="Message">On error: the field or path, and the fix.</param>
public readonly record struct OffsetResult(ErrorCode Error, long Offset, long Timestamp = -1, int LeaderEpoch = -1, string? Message = null);

/// <summary>An idempotent producer's id and epoch, stamped into its batches.</summary>
/// <param name="ProducerId">0 or above.</param>
/// <param name="ProducerEpoch">0 to 32,767.</param>
public readonly record struct ProducerIdentity(long ProducerId, short ProducerEpoch);
