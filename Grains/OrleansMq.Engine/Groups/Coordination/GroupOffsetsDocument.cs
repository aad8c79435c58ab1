using System.Collections.Immutable;
using System.Text.Json;
using System.Text.Json.Serialization;
using OrleansMq.Api;
using OrleansMq.Coordination;
using OrleansMq.Groups.Offsets;

namespace OrleansMq.Groups.Coordination;

/// <summary>The document <c>group-offsets/&lt;group id&gt;</c>.</summary>
internal sealed record GroupOffsetsDocument : IOwnedDocument
{
    /// <summary>The version of the format with transactions.</summary>
    public const int CurrentVersion = 2;

    // Of a document without transactions: programs that do not know them read it.
    private const int VersionWithoutTransactions = 1;

    /// <summary>The type in the key.</summary>
    public const string StoreType = "group-offsets";

    /// <summary>The format; one above <see cref="CurrentVersion"/> is refused.</summary>
    public int Version { get; init; } = VersionWithoutTransactions;

    /// <summary>The coordinator that wrote it.</summary>
    public required CoordinatorClaim Coordinator { get; init; }

    /// <summary>Committed offsets.</summary>
    public ImmutableArray<StoredTopicOffsets> Topics { get; init; } = [];

    /// <summary>Offsets of open transactions.</summary>
    public ImmutableArray<StoredPendingOffsets> Pending { get; init; } = [];

    /// <summary>Producers whose last transaction has ended; null for none.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public ImmutableArray<StoredFence>? Fences { get; init; }

    /// <summary>The document's key in the state store.</summary>
    public static string KeyOf(string groupId) => $"{StoreType}/{groupId}";

    /// <summary>Creates the document of these offsets.</summary>
    public static GroupOffsetsDocument Of(CoordinatorClaim coordinator, GroupOffsets offsets) => new()
    {
        Version = offsets.Pending.IsEmpty && offsets.Fences.IsEmpty ? VersionWithoutTransactions : CurrentVersion,
        Coordinator = coordinator,
        Topics = StoredTopicOffsets.Of(offsets.Topics),
        Pending = [.. offsets.Pending.Transactions.Select(static pending => StoredPendingOffsets.Of(pending.Key, pending.Value))],
        Fences = offsets.Fences.IsEmpty ? null : [.. offsets.Fences.Select(static fence => StoredFence.Of(fence.Key, fence.Value))],
    };

    /// <summary>Returns the offsets in the document.</summary>
    public GroupOffsets ToOffsets() => new()
    {
        Topics = StoredTopicOffsets.Read(Topics),
        Pending = PendingOffsets.Restore(
            Pending.Select(static pending => KeyValuePair.Create(pending.ProducerId, pending.ToTransaction()))),
        Fences = (Fences ?? []).ToImmutableSortedDictionary(static fence => fence.ProducerId, static fence => fence.ToFence()),
    };

    /// <summary>Serializes the document as it is stored.</summary>
    public byte[] ToBytes() => JsonSerializer.SerializeToUtf8Bytes(this, GroupJson.Default.GroupOffsetsDocument);

    /// <summary>Parses a stored document.</summary>
    /// <exception cref="JsonException">The document is damaged, or of a newer version.</exception>
    public static GroupOffsetsDocument Parse(ReadOnlySpan<byte> bytes)
    {
        var document = JsonSerializer.Deserialize(bytes, GroupJson.Default.GroupOffsetsDocument) ?? throw new JsonException("It is null.");
        GroupJson.CheckVersion(document.Version, CurrentVersion);
        return document;
    }
}

/// <summary>Offsets of one topic in a document.</summary>
/// <param name="Topic">The topic's name.</param>
/// <param name="TopicId">Its id.</param>
/// <param name="Partitions">By partition, ascending.</param>
internal sealed record StoredTopicOffsets(string Topic, Guid TopicId, ImmutableArray<StoredOffset> Partitions)
{
    internal static ImmutableArray<StoredTopicOffsets> Of(ImmutableSortedDictionary<string, TopicOffsets> topics) =>
        [.. topics.Select(topic => new StoredTopicOffsets(topic.Key, topic.Value.TopicId,
            [.. topic.Value.Partitions.Select(partition => StoredOffset.Of(partition.Key, partition.Value))]))];

    internal static ImmutableSortedDictionary<string, TopicOffsets> Read(ImmutableArray<StoredTopicOffsets> topics) =>
        topics.ToImmutableSortedDictionary(
            topic => topic.Topic,
            topic => new TopicOffsets(topic.TopicId,
                topic.Partitions.ToImmutableSortedDictionary(offset => offset.Partition, offset => offset.ToCommitted())),
            StringComparer.Ordinal);
}

/// <summary>One offset in a document.</summary>
internal sealed record StoredOffset
{
    /// <summary>The partition's number.</summary>
    public int Partition { get; init; }

    /// <summary>The next offset to read.</summary>
    public long Offset { get; init; }

    /// <summary>The leader epoch of the last record read; null if unknown.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public int? LeaderEpoch { get; init; }

    /// <summary>The committer's metadata; null for none.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? Metadata { get; init; }

    /// <summary>The time of the commit, in milliseconds since 1970.</summary>
    public long CommittedAt { get; init; }

    /// <summary>Of an open transaction: its place among all such offsets of the group. Null for a committed offset.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public long? Order { get; init; }

    internal static StoredOffset Of(int partition, CommittedOffset offset) => new()
    {
        Partition = partition,
        Offset = offset.Offset,
        LeaderEpoch = offset.LeaderEpoch < 0 ? null : offset.LeaderEpoch,
        Metadata = offset.Metadata.Length == 0 ? null : offset.Metadata,
        CommittedAt = offset.CommitTimestamp,
    };

    internal CommittedOffset ToCommitted() => new(Offset, LeaderEpoch ?? -1, Metadata ?? "", CommittedAt);
}

/// <summary>Offsets of an open transaction in a document.</summary>
internal sealed record StoredPendingOffsets
{
    /// <summary>The transaction's producer.</summary>
    public required long ProducerId { get; init; }

    /// <summary>The producer's epoch.</summary>
    public short Epoch { get; init; }

    /// <summary>The transaction's number.</summary>
    public long Number { get; init; }

    /// <summary>The transactional id.</summary>
    public string TransactionalId { get; init; } = "";

    /// <summary>By topic.</summary>
    public required ImmutableArray<StoredTopicOffsets> Topics { get; init; }

    internal static StoredPendingOffsets Of(long producerId, PendingTransaction transaction) => new()
    {
        ProducerId = producerId,
        Epoch = transaction.Epoch,
        Number = transaction.Number,
        TransactionalId = transaction.TransactionalId,
        Topics = [.. transaction.Offsets.GroupBy(static offset => (offset.Key.Topic, offset.Value.TopicId)).Select(static topic =>
            new StoredTopicOffsets(topic.Key.Topic, topic.Key.TopicId, [.. topic.Select(static offset =>
                StoredOffset.Of(offset.Key.Partition, offset.Value.Offset) with { Order = offset.Value.Order })]))],
    };

    internal PendingTransaction ToTransaction()
    {
        var transaction = new PendingTransaction { TransactionalId = TransactionalId, Epoch = Epoch, Number = Number };
        return transaction with
        {
            Offsets = transaction.Offsets.AddRange(
                from topic in Topics
                from offset in topic.Partitions
                select KeyValuePair.Create(new TopicPartition(topic.Topic, offset.Partition),
                    new PendingOffset(topic.TopicId, offset.ToCommitted(), offset.Order ?? 0))),
        };
    }
}

/// <summary>A producer whose last transaction has ended, in a document.</summary>
/// <param name="ProducerId">The producer.</param>
/// <param name="Number">The number of that transaction.</param>
/// <param name="Epoch">The epoch that the producer must have at least.</param>
/// <param name="CoordinatorEpoch">The epoch that the transactions' coordinator must have at least.</param>
/// <param name="EndedAt">When it ended, in milliseconds since 1970.</param>
internal sealed record StoredFence(long ProducerId, long Number, short Epoch, int CoordinatorEpoch, long EndedAt)
{
    internal static StoredFence Of(long producerId, ProducerFence fence) =>
        new(producerId, fence.Number, fence.Epoch, fence.CoordinatorEpoch, fence.EndedAt);

    internal ProducerFence ToFence() => new(Number, Epoch, CoordinatorEpoch, EndedAt);
}
