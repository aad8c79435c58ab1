using System.Text.Json.Serialization;
using OrleansMq.Records;

namespace OrleansMq.Api;

/// <summary>A topic to create.</summary>
/// <param name="Name">1 to 249 characters of <c>a-z A-Z 0-9 . _ -</c>, neither <c>.</c> nor <c>..</c>.</param>
/// <param name="Partitions">1 to 10,000; -1 for the broker's default.</param>
/// <param name="ReplicationFactor">Copies of each partition; -1 for the broker's default.</param>
/// <param name="Configs">Kafka's topic configuration keys and values; null or empty for the defaults.</param>
public sealed record NewTopic(string Name, int Partitions = -1, short ReplicationFactor = -1,
    IReadOnlyDictionary<string, string>? Configs = null)
{
    /// <summary>Whether the topic is also created while fewer brokers than <see cref="ReplicationFactor"/> are alive: with a replica on
    /// each of them. The cluster adds the other replicas when brokers join. Default false: such a request is refused. The broker's default
    /// replication factor is always reached in this way.</summary>
    public bool AllowFewerReplicas { get; init; }
}

/// <summary>A topic in a list.</summary>
/// <param name="Name">The topic's name.</param>
/// <param name="TopicId">Never reused: a topic that is deleted and created again gets a new id.</param>
/// <param name="Partitions">Number of partitions.</param>
public sealed record TopicListing(string Name, Guid TopicId, int Partitions);

/// <summary>A topic with its partitions and configuration.</summary>
/// <param name="Name">The topic's name.</param>
/// <param name="TopicId">Never reused: a topic that is deleted and created again gets a new id.</param>
/// <param name="Partitions">The partitions, ordered by number.</param>
/// <param name="Configs">Every configuration key with its effective value and whether that is the default.</param>
public sealed record TopicDescription(string Name, Guid TopicId, IReadOnlyList<PartitionDescription> Partitions,
    IReadOnlyList<ConfigEntry> Configs)
{
    /// <summary>The number of replicas that each partition is to have, as far as brokers join: there were fewer when the topic was created,
    /// and the cluster has not added all of them yet. Null if the partitions have the replicas that they are to have.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public int? IntendedReplicationFactor { get; init; }
}

/// <summary>One configuration key of a topic.</summary>
/// <param name="Name">Kafka's name of the key.</param>
/// <param name="Value">The effective value.</param>
/// <param name="IsDefault">Whether the value is the default rather than set on this topic.</param>
public sealed record ConfigEntry(string Name, string Value, bool IsDefault);

/// <summary>One partition of a topic, as its leader reports it.</summary>
/// <param name="Partition">The partition's number, from 0.</param>
/// <param name="Leader">The broker that leads it; -1 without a leader.</param>
/// <param name="LeaderEpoch">How many times leadership was claimed.</param>
/// <param name="Replicas">The brokers that hold a replica, the preferred leader first.</param>
/// <param name="InSyncReplicas">The replicas that hold every acknowledged record.</param>
/// <param name="LogStartOffset">The first readable offset.</param>
/// <param name="HighWatermark">The first offset that is not readable yet.</param>
/// <param name="LogEndOffset">The offset of the next record to be appended.</param>
/// <param name="SizeBytes">Bytes in the log segments on the leader.</param>
/// <param name="OfflineReason">Null while the partition is online; otherwise what failed, where, and what to do.</param>
/// <param name="EligibleLeaderReplicas">Brokers that left the in-sync replicas while too few remained. One of them may lead when no in-sync
/// replica is alive (KIP-966). Null for none.</param>
public sealed record PartitionDescription(int Partition, int Leader, int LeaderEpoch, IReadOnlyList<int> Replicas,
    IReadOnlyList<int> InSyncReplicas, long LogStartOffset, long HighWatermark, long LogEndOffset, long SizeBytes,
    string? OfflineReason = null, IReadOnlyList<int>? EligibleLeaderReplicas = null);

/// <summary>The response to a produce request.</summary>
/// <param name="Error"><see cref="ErrorCode.None"/>, or why the batch was not appended. Some codes leave the outcome unknown.</param>
/// <param name="BaseOffset">The offset of the batch's first record. For a duplicate, that of the original batch. -1 on error.</param>
/// <param name="LogAppendTime">Milliseconds since 1970 if the topic stamps LogAppendTime, else -1.</param>
/// <param name="LogStartOffset">The partition's log start offset; -1 if unknown.</param>
/// <param name="Message">On error, the field or path at fault and how to fix it.</param>
/// <param name="BadRecords">The records that caused the batch to be rejected, as ascending indexes from 0 (KIP-467). The others can be sent
/// again without them. Null if the whole batch is at fault, or on success.</param>
public readonly record struct ProduceResult(ErrorCode Error, long BaseOffset, long LogAppendTime = -1, long LogStartOffset = -1,
    string? Message = null, IReadOnlyList<int>? BadRecords = null)
{
    /// <summary>Creates a failed result.</summary>
    public static ProduceResult Failed(ErrorCode error, string message) => new(error, -1, -1, -1, message);
}

/// <summary>A read of one partition.</summary>
/// <param name="Partition">The partition to read.</param>
/// <param name="Offset">The first offset wanted. The first batch returned may begin below it.</param>
/// <param name="MaxBytes">The most bytes to return. At least one batch is returned even if it is larger.</param>
/// <param name="MaxWait">How long to wait for <paramref name="MinBytes"/>; zero returns at once.</param>
/// <param name="MinBytes">How many bytes must be readable for the request to return before <paramref name="MaxWait"/>.</param>
/// <param name="Isolation">Which records to return.</param>
public readonly record struct FetchRequest(TopicPartition Partition, long Offset, int MaxBytes = 1 << 20, TimeSpan MaxWait = default,
    int MinBytes = 1, IsolationLevel Isolation = IsolationLevel.ReadUncommitted)
{
    /// <summary>Whether the records may be returned as a <see cref="FetchResult.Slice"/>, which is read when it is sent. Only for callers
    /// in the same process.</summary>
    internal bool AllowsSlice { get; init; }

    /// <summary>Whether the reader leaves the records of aborted transactions out by <see cref="FetchResult.Aborted"/>, as Kafka's clients
    /// do. Otherwise they are left out of the result; of their batches the headers stay.</summary>
    internal bool NamesAborted { get; init; }
}

/// <summary>The result of a read. Dispose it when the records are no longer needed, to return the memory to its pool.</summary>
public sealed class FetchResult : IDisposable
{
    private IDisposable? _owner;

    /// <summary>Creates a result over memory that <paramref name="owner"/> releases on dispose.</summary>
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

    /// <summary>Creates a result over a file slice, which is released on dispose.</summary>
    internal FetchResult(long highWatermark, long lastStableOffset, long logStartOffset, RecordSlice slice)
        : this(ErrorCode.None, highWatermark, lastStableOffset, logStartOffset, default)
    {
        Slice = slice;
        _owner = slice;
    }

    /// <summary><see cref="ErrorCode.None"/>, or why nothing was read.</summary>
    public ErrorCode Error { get; }

    /// <summary>On error, the field or path at fault and how to fix it.</summary>
    public string? Message { get; }

    /// <summary>The first offset that is not readable yet; -1 if unknown.</summary>
    public long HighWatermark { get; }

    /// <summary>The first offset that a <see cref="IsolationLevel.ReadCommitted"/> reader cannot read yet; -1 if unknown.</summary>
    public long LastStableOffset { get; }

    /// <summary>The first readable offset; -1 if unknown.</summary>
    public long LogStartOffset { get; }

    /// <summary>The epoch of the leader that refused the offset with <see cref="ErrorCode.OffsetOutOfRange"/>; -1 otherwise, and if
    /// unknown.</summary>
    public int LeaderEpoch { get; init; } = -1;

    /// <summary>Whole record batches, back to back; empty if there was nothing to read.</summary>
    public ReadOnlyMemory<byte> Records { get; private set; }

    /// <summary>The location of the record batches, instead of <see cref="Records"/>, if the request set
    /// <see cref="FetchRequest.AllowsSlice"/>.</summary>
    internal RecordSlice? Slice { get; private set; }

    /// <summary>The aborted transactions that have records in it, in the order of their markers; of a read of
    /// <see cref="IsolationLevel.ReadCommitted"/>.</summary>
    internal IReadOnlyList<AbortedTransaction> Aborted { get; set; } = [];

    /// <summary>The size of the record batches in bytes, in memory or in a slice.</summary>
    public int Length => Slice?.Length ?? Records.Length;

    /// <summary>Keeps the first bytes of the records.</summary>
    internal void CutTo(int length) => Records = Records[..length];

    /// <summary>Creates a failed result.</summary>
    public static FetchResult Failed(ErrorCode error, string message, long highWatermark = -1, long lastStableOffset = -1,
        long logStartOffset = -1) =>
        new(error, highWatermark, lastStableOffset, logStartOffset, default, null, message);

    /// <summary>Releases the memory. <see cref="Records"/> is empty afterwards. A second call has no effect.</summary>
    public void Dispose()
    {
        Records = default;
        Slice = null;
        Interlocked.Exchange(ref _owner, null)?.Dispose();
    }
}

/// <summary>The result of an offset lookup.</summary>
/// <param name="Error"><see cref="ErrorCode.None"/>, or why the lookup failed.</param>
/// <param name="Offset">The offset; -1 if no record has such a late timestamp.</param>
/// <param name="Timestamp">The record's timestamp; -1 for earliest and latest.</param>
/// <param name="LeaderEpoch">The leader epoch of the record; -1 if unknown.</param>
/// <param name="Message">On error, the field or path at fault and how to fix it.</param>
public readonly record struct OffsetResult(ErrorCode Error, long Offset, long Timestamp = -1, int LeaderEpoch = -1, string? Message = null);

/// <summary>An idempotent producer's id and epoch, stamped into its batches.</summary>
/// <param name="ProducerId">0 or above.</param>
/// <param name="ProducerEpoch">0 to 32,767.</param>
public readonly record struct ProducerIdentity(long ProducerId, short ProducerEpoch);
