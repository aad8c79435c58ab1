using System.Collections.Immutable;
using System.Text.Json;
using System.Text.Json.Serialization;
using OrleansMq.Api;
using OrleansMq.Coordination;

namespace OrleansMq.Transactions;

/// <summary>The document <c>transaction/&lt;transactional id&gt;</c>.</summary>
internal sealed record TransactionDocument : IOwnedDocument
{
    /// <summary>The version of the format that is written.</summary>
    public const int CurrentVersion = 1;

    /// <summary>The type in the key.</summary>
    public const string StoreType = "transaction";

    /// <summary>The format; one above <see cref="CurrentVersion"/> is refused.</summary>
    public int Version { get; init; } = CurrentVersion;

    /// <summary>The coordinator that wrote it.</summary>
    public required CoordinatorClaim Coordinator { get; init; }

    /// <summary>The phase.</summary>
    public required TransactionPhase Phase { get; init; }

    /// <summary>The producer's id.</summary>
    public required long ProducerId { get; init; }

    /// <summary>See <see cref="TransactionState.Epoch"/>.</summary>
    public required short Epoch { get; init; }

    /// <summary>See <see cref="TransactionState.LastEpoch"/>; null for none.</summary>
    public short? LastEpoch { get; init; }

    /// <summary>See <see cref="TransactionState.PreviousProducerId"/>; null for none.</summary>
    public long? PreviousProducerId { get; init; }

    /// <summary>See <see cref="TransactionState.NextProducerId"/>; null for none.</summary>
    public long? NextProducerId { get; init; }

    /// <summary>How long a transaction may be open, in milliseconds.</summary>
    public required long TimeoutMs { get; init; }

    /// <summary>See <see cref="TransactionState.Number"/>.</summary>
    public long Number { get; init; }

    /// <summary>See <see cref="TransactionState.EndedNumber"/>; null for none, or where an earlier version wrote the document.</summary>
    public long? EndedNumber { get; init; }

    /// <summary>See <see cref="TransactionState.IsEndedByCommit"/>; null for none.</summary>
    public bool? IsEndedByCommit { get; init; }

    /// <summary>See <see cref="TransactionState.RaisesEpoch"/>.</summary>
    public bool RaisesEpoch { get; init; }

    /// <summary>See <see cref="TransactionState.Connection"/>; null if unknown.</summary>
    public TransactionConnection? Connection { get; init; }

    /// <summary>When the transaction began, in milliseconds since 1970; null for none.</summary>
    public long? StartedAt { get; init; }

    /// <summary>When the state changed last, in milliseconds since 1970.</summary>
    public required long UpdatedAt { get; init; }

    /// <summary>The partitions of the transaction.</summary>
    public ImmutableArray<TransactionTopic> Topics { get; init; } = [];

    /// <summary>Its groups.</summary>
    public ImmutableArray<string> Groups { get; init; } = [];

    /// <summary>See <see cref="TransactionState.LastEnd"/>.</summary>
    public string? LastEnd { get; init; }

    /// <summary>See <see cref="TransactionState.LastFence"/>.</summary>
    public string? LastFence { get; init; }

    /// <summary>See <see cref="TransactionState.Inits"/>; null for none.</summary>
    public ImmutableArray<TransactionInit>? Inits { get; init; }

    /// <summary>See <see cref="TransactionState.EpochBase"/>.</summary>
    public int EpochBase { get; init; }

    /// <summary>The document's key in the state store.</summary>
    public static string KeyOf(string transactionalId) => $"{StoreType}/{transactionalId}";

    /// <summary>The document of a state.</summary>
    public static TransactionDocument Of(CoordinatorClaim coordinator, TransactionState state) => new()
    {
        Coordinator = coordinator,
        Phase = state.Phase,
        ProducerId = state.ProducerId,
        Epoch = state.Epoch,
        LastEpoch = state.LastEpoch < 0 ? null : state.LastEpoch,
        PreviousProducerId = state.PreviousProducerId < 0 ? null : state.PreviousProducerId,
        NextProducerId = state.NextProducerId < 0 ? null : state.NextProducerId,
        TimeoutMs = (long)state.Timeout.TotalMilliseconds,
        Number = state.Number,
        EndedNumber = state.EndedNumber == 0 ? null : state.EndedNumber,
        IsEndedByCommit = state.EndedNumber == 0 ? null : state.IsEndedByCommit,
        RaisesEpoch = state.RaisesEpoch,
        Connection = state.Connection.Number > 0 ? state.Connection : null,
        StartedAt = state.StartedAt?.ToUnixTimeMilliseconds(),
        UpdatedAt = state.UpdatedAt.ToUnixTimeMilliseconds(),
        Topics = [.. state.Partitions.GroupBy(static partition => (partition.Topic, partition.TopicId)).Select(static topic =>
            new TransactionTopic(topic.Key.Topic, topic.Key.TopicId, [.. topic.Select(static partition => partition.Partition)]))],
        Groups = [.. state.Groups],
        LastEnd = state.LastEnd,
        LastFence = state.LastFence,
        Inits = state.Inits.IsEmpty ? null : state.Inits,
        EpochBase = state.EpochBase,
    };

    /// <summary>The state in the document.</summary>
    public TransactionState ToState() => new()
    {
        Phase = Phase,
        ProducerId = ProducerId,
        Epoch = Epoch,
        LastEpoch = LastEpoch ?? -1,
        PreviousProducerId = PreviousProducerId ?? -1,
        NextProducerId = NextProducerId ?? -1,
        Timeout = TimeSpan.FromMilliseconds(TimeoutMs),
        Number = Number,
        EndedNumber = EndedNumber ?? 0,
        IsEndedByCommit = IsEndedByCommit ?? false,
        RaisesEpoch = RaisesEpoch,
        Connection = Connection ?? default,
        StartedAt = StartedAt is { } started ? DateTimeOffset.FromUnixTimeMilliseconds(started) : null,
        UpdatedAt = DateTimeOffset.FromUnixTimeMilliseconds(UpdatedAt),
        Partitions = TransactionState.NoPartitions.Union(Topics.SelectMany(static topic =>
            topic.Partitions.Select(partition => new TransactionPartition(topic.Topic, partition, topic.TopicId)))),
        Groups = TransactionState.NoGroups.Union(Groups),
        LastEnd = LastEnd,
        LastFence = LastFence,
        Inits = Inits ?? [],
        EpochBase = EpochBase,
    };

    /// <summary>The id's entry in a list.</summary>
    public TransactionListing ToListing(string transactionalId) => new(transactionalId, ProducerId, Phase,
        StartedAt is { } started ? DateTimeOffset.FromUnixTimeMilliseconds(started) : null);

    /// <summary>Serializes the document as it is stored.</summary>
    public byte[] ToBytes() => JsonSerializer.SerializeToUtf8Bytes(this, TransactionJson.Default.TransactionDocument);

    /// <summary>Parses a stored document.</summary>
    /// <exception cref="JsonException">The document is damaged, or of a newer version.</exception>
    public static TransactionDocument Parse(ReadOnlySpan<byte> bytes)
    {
        var document = JsonSerializer.Deserialize(bytes, TransactionJson.Default.TransactionDocument)
            ?? throw new JsonException("It is null.");
        if (document.Version is < 1 or > CurrentVersion)
            throw new JsonException($"Its version is {document.Version}; this program knows 1 to {CurrentVersion}. A newer program wrote "
                + "it: run that one.");
        if (document.Phase == TransactionPhase.Unknown || !Enum.IsDefined(document.Phase))
            throw new JsonException($"Its phase is {document.Phase}.");
        return document;
    }
}

/// <summary>The partitions of one topic in a document.</summary>
/// <param name="Topic">The topic's name.</param>
/// <param name="TopicId">Its id.</param>
/// <param name="Partitions">Their numbers, ascending.</param>
internal sealed record TransactionTopic(string Topic, Guid TopicId, ImmutableArray<int> Partitions);

/// <summary>The document <c>transaction-producer/&lt;producer id&gt;</c>: the transactional id that a producer id was given to. A partition
/// finds the coordinator of a transaction by it that has been open for long.</summary>
/// <param name="TransactionalId">The transactional id.</param>
internal sealed record TransactionProducer(string TransactionalId)
{
    /// <summary>The type in the key.</summary>
    public const string StoreType = "transaction-producer";
}

/// <summary>The JSON of transactions' documents, the same in both flavours.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase,
    DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull, UseStringEnumConverter = true)]
[JsonSerializable(typeof(TransactionDocument))]
[JsonSerializable(typeof(TransactionProducer))]
internal sealed partial class TransactionJson : JsonSerializerContext;

/// <summary>The one document of a transactional id.</summary>
internal static class TransactionDocuments
{
    /// <summary>The kind of coordinator that transactional ids have.</summary>
    public static CoordinatorKind Kind { get; } = new("transactional id",
        [new DocumentKind("Transaction", "transactions", TransactionDocument.StoreType,
            static bytes => TransactionDocument.Parse(bytes.Span))],
        static documents => new StoredTransaction((TransactionDocument?)documents[0]));

    /// <summary>Tells that there are too many ids.</summary>
    /// <param name="most">The most.</param>
    public static string TooMany(int most) => $"There are {most} transactional ids already, as many as the broker allows: use fewer, or "
        + "wait until unused ones have expired (transactional.id.expiration.ms).";
}

/// <summary>The stored document of a transactional id; null for none.</summary>
/// <param name="Transaction">The document.</param>
internal sealed record StoredTransaction(TransactionDocument? Transaction) : StoredDocuments
{
    /// <summary>No document at all.</summary>
    public static StoredTransaction None { get; } = new(default(TransactionDocument));

    /// <inheritdoc/>
    public override IOwnedDocument? this[int document] => Transaction;
}

/// <summary>The content of a <see cref="TransactionDocument"/> to be written.</summary>
/// <param name="Coordinator">The coordinator that writes it.</param>
/// <param name="State">The state.</param>
internal sealed record TransactionContent(CoordinatorClaim Coordinator, TransactionState State) : IOwnedDocument
{
    /// <inheritdoc/>
    public byte[] ToBytes() => TransactionDocument.Of(Coordinator, State).ToBytes();
}
