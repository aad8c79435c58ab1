using System.Text.Json;
using System.Text.Json.Serialization;
using OrleansMq.Api;

namespace OrleansMq.Client;

/// <summary>The body of <c>POST /api/transactions/init</c>; see <see cref="InitTransactions"/>. Times are milliseconds. The caller is set
/// by the broker.</summary>
internal sealed record InitTransactionsBody(string TransactionalId, long TimeoutMs = 60_000, ProducerIdentityBody? Current = null,
    Guid? RequestId = null)
{
    /// <summary>Converts <paramref name="request"/> to a body.</summary>
    public static InitTransactionsBody Of(InitTransactions request) =>
        new(request.TransactionalId, Milliseconds.Of(request.Timeout),
            request.Current is { } current ? ProducerIdentityBody.Of(current) : null,
            request.RequestId == Guid.Empty ? null : request.RequestId);

    /// <summary>Converts the body to a request.</summary>
    public InitTransactions ToRequest(TransactionCaller caller) => new()
    {
        TransactionalId = TransactionalId,
        Timeout = Milliseconds.ToTime(TimeoutMs),
        Current = Current?.ToIdentity(),
        Caller = caller,
        RequestId = RequestId ?? Guid.Empty,
    };
}

/// <summary>A producer's identity in a request. Other than of <see cref="ProducerIdentity"/>, no field may be left out.</summary>
internal sealed record ProducerIdentityBody(long ProducerId, short ProducerEpoch)
{
    /// <summary>Converts <paramref name="identity"/> to a body.</summary>
    public static ProducerIdentityBody Of(ProducerIdentity identity) => new(identity.ProducerId, identity.ProducerEpoch);

    /// <summary>Converts the body to an identity.</summary>
    public ProducerIdentity ToIdentity() => new(ProducerId, ProducerEpoch);
}

/// <summary>The body of <c>POST /api/transactions/add</c>; see <see cref="AddToTransaction"/>. The caller is set by the broker.</summary>
internal sealed record AddToTransactionBody(string TransactionalId, ProducerIdentityBody Producer,
    IReadOnlyList<TransactionPartitionBody>? Partitions = null, IReadOnlyList<string>? Groups = null, bool VerifyOnly = false,
    bool RaisesEpoch = true)
{
    /// <summary>Converts <paramref name="request"/> to a body.</summary>
    public static AddToTransactionBody Of(AddToTransaction request) => new(request.TransactionalId,
        ProducerIdentityBody.Of(request.Producer),
        [.. request.Partitions.Select(static one => new TransactionPartitionBody(one.Topic, one.Partition, one.TopicId))], request.Groups,
        request.VerifyOnly, request.RaisesEpoch);

    /// <summary>Converts the body to a request.</summary>
    public AddToTransaction ToRequest(TransactionCaller caller) => new()
    {
        TransactionalId = TransactionalId,
        Producer = Producer.ToIdentity(),
        Partitions = [.. (Partitions ?? []).Select(static one => one.ToPartition())],
        Groups = Groups ?? [],
        VerifyOnly = VerifyOnly,
        RaisesEpoch = RaisesEpoch,
        Caller = caller,
    };
}

/// <summary>A partition of a transaction.</summary>
/// <param name="Topic">The topic's name.</param>
/// <param name="Partition">The partition's number.</param>
/// <param name="TopicId">The topic's id; in a request empty for the topic that has the name now.</param>
internal sealed record TransactionPartitionBody(string Topic, int Partition, Guid TopicId = default)
{
    /// <summary>Converts the body to a partition.</summary>
    public TransactionPartition ToPartition() => new(Topic, Partition, TopicId);
}

/// <summary>The body of <c>POST /api/transactions/end</c>; see <see cref="EndTransaction"/>. The caller is set by the broker.</summary>
internal sealed record EndTransactionBody(string TransactionalId, ProducerIdentityBody Producer, bool IsCommit,
    bool RaisesEpoch = true, bool WaitsForMarkers = false, long Number = 0)
{
    /// <summary>Converts <paramref name="request"/> to a body.</summary>
    public static EndTransactionBody Of(EndTransaction request) =>
        new(request.TransactionalId, ProducerIdentityBody.Of(request.Producer), request.IsCommit, request.RaisesEpoch,
            request.WaitsForMarkers, request.Number);

    /// <summary>Converts the body to a request.</summary>
    public EndTransaction ToRequest(TransactionCaller caller) => new()
    {
        TransactionalId = TransactionalId,
        Producer = Producer.ToIdentity(),
        IsCommit = IsCommit,
        RaisesEpoch = RaisesEpoch,
        WaitsForMarkers = WaitsForMarkers,
        Number = Number,
        Caller = caller,
    };
}

/// <summary>A transactional id with its last transaction; see <see cref="TransactionDescription"/>. Times are milliseconds.</summary>
internal sealed record TransactionDescriptionDocument(string TransactionalId, int Coordinator, TransactionPhase Phase,
    ProducerIdentity Producer, long TimeoutMs, DateTimeOffset? StartedAt, long Number, IReadOnlyList<TransactionPartitionBody> Partitions,
    IReadOnlyList<string> Groups, string? LastEnd, string? LastFence)
{
    /// <summary>Converts a description to a document.</summary>
    public static TransactionDescriptionDocument Of(TransactionDescription transaction) => new(transaction.TransactionalId,
        transaction.Coordinator, transaction.Phase, transaction.Producer, Milliseconds.Of(transaction.Timeout), transaction.StartedAt,
        transaction.Number,
        [.. transaction.Partitions.Select(static one => new TransactionPartitionBody(one.Topic, one.Partition, one.TopicId))],
        transaction.Groups, transaction.LastEnd, transaction.LastFence);

    /// <summary>Converts the document to a description.</summary>
    public TransactionDescription ToDescription() => new()
    {
        TransactionalId = TransactionalId,
        Coordinator = Coordinator,
        Phase = Phase,
        Producer = Producer,
        Timeout = Milliseconds.ToTime(TimeoutMs),
        StartedAt = StartedAt,
        Number = Number,
        Partitions = [.. Partitions.Select(static one => one.ToPartition())],
        Groups = Groups,
        LastEnd = LastEnd,
        LastFence = LastFence,
    };
}

/// <summary>The body of <c>POST /api/groups/commit-transaction-offsets</c>; see <see cref="TransactionOffsetCommit"/>.</summary>
internal sealed record TransactionOffsetCommitBody(string GroupId, string TransactionalId, ProducerIdentityBody Producer, long Number,
    IReadOnlyList<PartitionOffset> Offsets, int GenerationIdOrMemberEpoch = -1, string MemberId = "", string? GroupInstanceId = null)
{
    /// <summary>Converts <paramref name="request"/> to a body.</summary>
    public static TransactionOffsetCommitBody Of(TransactionOffsetCommit request) =>
        new(request.GroupId, request.TransactionalId, ProducerIdentityBody.Of(request.Producer), request.Number, request.Offsets,
            request.GenerationIdOrMemberEpoch, request.MemberId, request.GroupInstanceId);

    /// <summary>Converts the body to a request.</summary>
    public TransactionOffsetCommit ToRequest() => new()
    {
        GroupId = GroupId,
        TransactionalId = TransactionalId,
        Producer = Producer.ToIdentity(),
        Number = Number,
        Offsets = Offsets,
        GenerationIdOrMemberEpoch = GenerationIdOrMemberEpoch,
        MemberId = MemberId,
        GroupInstanceId = GroupInstanceId,
    };
}

/// <summary>The JSON of <c>/api/transactions</c>, for server and client. Like <see cref="HttpJson"/>, with error codes and phases by
/// name.</summary>
[JsonSourceGenerationOptions(JsonSerializerDefaults.Web, UseStringEnumConverter = true)]
[JsonSerializable(typeof(InitTransactionsBody))]
[JsonSerializable(typeof(InitTransactionsResult))]
[JsonSerializable(typeof(AddToTransactionBody))]
[JsonSerializable(typeof(AddToTransactionResult))]
[JsonSerializable(typeof(EndTransactionBody))]
[JsonSerializable(typeof(EndTransactionResult))]
[JsonSerializable(typeof(TransactionDescriptionDocument))]
[JsonSerializable(typeof(IReadOnlyList<TransactionListing>))]
[JsonSerializable(typeof(CoordinatorAnswer))]
internal sealed partial class TransactionJson : JsonSerializerContext;
