namespace OrleansMq.Api;

/// <summary>The phase of a transactional id's last transaction. Names and order are Kafka's.</summary>
public enum TransactionPhase
{
    /// <summary>Unknown.</summary>
    Unknown = 0,
    /// <summary>The producer has an epoch and had no transaction under it.</summary>
    Empty = 1,
    /// <summary>A transaction is open.</summary>
    Ongoing = 2,
    /// <summary>It is committed; its partitions and groups are being told.</summary>
    PrepareCommit = 3,
    /// <summary>It is aborted; its partitions and groups are being told.</summary>
    PrepareAbort = 4,
    /// <summary>It is committed, and all of its partitions and groups know.</summary>
    CompleteCommit = 5,
    /// <summary>It is aborted, and all of its partitions and groups know.</summary>
    CompleteAbort = 6,
}

/// <summary>Who sends a request of a transaction.</summary>
/// <param name="Name">For messages and the log, such as <c>client 'orders' at /10.0.0.7</c>.</param>
/// <param name="BrokerId">The broker that the client's connection ends at; -1 if unknown.</param>
/// <param name="Connection">Rises with each connection to that broker; 0 if unknown. What comes late, over an older connection than
/// the last addition of the same producer and epoch, is of an earlier transaction.</param>
/// <param name="Sequence">Rises with each request over the connection, and is the same where the broker repeats one; 0 if unknown. A
/// repetition that comes when later ones have begun the next transaction must not change that.</param>
public readonly record struct TransactionCaller(string Name, int BrokerId = -1, long Connection = 0, long Sequence = 0);

/// <summary>A partition of a transaction.</summary>
/// <param name="Topic">The topic's name.</param>
/// <param name="Partition">The partition's number.</param>
/// <param name="TopicId">The topic's id: a topic that is created again under the name does not belong to the transaction.</param>
public readonly record struct TransactionPartition(string Topic, int Partition, Guid TopicId);

/// <summary>The transaction of a batch.</summary>
/// <param name="TransactionalId">The transactional id.</param>
/// <param name="Number">The transaction's number (<see cref="AddToTransactionResult.Number"/>); 0: the batch is appended only where the
/// producer has a transaction open in the partition.</param>
public readonly record struct BatchTransaction(string TransactionalId, long Number)
{
    /// <summary>The id of the topic that was added to the transaction: a topic that was created again under the name refuses the batch with
    /// <see cref="ErrorCode.UnknownTopicId"/>. Null: it is not compared. Brokers in process compare it. Others ask the coordinator for the
    /// batch's partition.</summary>
    internal Guid? TopicId { get; init; }
}

/// <summary>Gives the producer of a transactional id its next epoch. It fences earlier instances, and aborts what they left open.</summary>
public sealed record InitTransactions : ITransactionRequest<InitTransactionsResult>
{
    /// <summary>The transactional id; not empty.</summary>
    public required string TransactionalId { get; init; }
    /// <summary>How long a transaction may be open before it is aborted: more than zero, at most
    /// <c>transaction.max.timeout.ms</c>.</summary>
    public required TimeSpan Timeout { get; init; }
    /// <summary>The identity that the producer has, to go on with its next epoch (KIP-360); null for a new instance, which fences all
    /// others.</summary>
    public ProducerIdentity? Current { get; init; }
    /// <summary>Identifies the request: a repetition with the same id gets the same identity, and raises no epoch. Empty: it is not known
    /// as a repetition.</summary>
    public Guid RequestId { get; init; }
    /// <summary>The caller.</summary>
    public TransactionCaller Caller { get; init; }

    object ICoordinatorRequest.Refuse(ErrorCode error, string message) => new InitTransactionsResult(error, new(-1, -1), message);
}

/// <summary>The response to <see cref="InitTransactions"/>.</summary>
/// <param name="Error"><see cref="ErrorCode.None"/>; <see cref="ErrorCode.ConcurrentTransactions"/>: the last transaction is being ended,
/// retry; <see cref="ErrorCode.ProducerFenced"/>, <see cref="ErrorCode.InvalidTransactionTimeout"/>.</param>
/// <param name="Producer">The identity; (-1, -1) on an error.</param>
/// <param name="Message">On an error, the field at fault and how to fix it.</param>
public sealed record InitTransactionsResult(ErrorCode Error, ProducerIdentity Producer, string? Message = null) : ITransactionAnswer;

/// <summary>Adds partitions and groups to the open transaction, or begins one with them.</summary>
public sealed record AddToTransaction : ITransactionRequest<AddToTransactionResult>
{
    /// <summary>The transactional id.</summary>
    public required string TransactionalId { get; init; }
    /// <summary>The producer.</summary>
    public required ProducerIdentity Producer { get; init; }
    /// <summary>The partitions.</summary>
    public IReadOnlyList<TransactionPartition> Partitions { get; init; } = [];
    /// <summary>The groups whose offsets the transaction commits.</summary>
    public IReadOnlyList<string> Groups { get; init; } = [];
    /// <summary>Whether to add nothing, and to tell whether all of them are in the open transaction (KIP-890).</summary>
    public bool VerifyOnly { get; init; }
    /// <summary>Whether each transaction of this client has an epoch of its own (KIP-890, <c>transaction.version</c> 2).</summary>
    public bool RaisesEpoch { get; init; }
    /// <summary>The caller.</summary>
    public TransactionCaller Caller { get; init; }

    object ICoordinatorRequest.Refuse(ErrorCode error, string message) => new AddToTransactionResult(error, 0, message);
}

/// <summary>The response to <see cref="AddToTransaction"/>.</summary>
/// <param name="Error"><see cref="ErrorCode.None"/>; <see cref="ErrorCode.ConcurrentTransactions"/>: the last transaction is being ended,
/// retry; <see cref="ErrorCode.InvalidProducerIdMapping"/>, <see cref="ErrorCode.ProducerFenced"/>;
/// <see cref="ErrorCode.TransactionAbortable"/>: something to verify is not in the transaction.</param>
/// <param name="Number">The number of the transaction: the first batch in a partition, and the offsets of a group, are accepted with it
/// alone. 0 on an error.</param>
/// <param name="Message">On an error, the field at fault and how to fix it.</param>
public sealed record AddToTransactionResult(ErrorCode Error, long Number, string? Message = null) : ITransactionAnswer;

/// <summary>Commits or aborts the open transaction. Completes when the decision is stored: from then on nothing changes it.</summary>
public sealed record EndTransaction : ITransactionRequest<EndTransactionResult>
{
    /// <summary>The transactional id.</summary>
    public required string TransactionalId { get; init; }
    /// <summary>The producer.</summary>
    public required ProducerIdentity Producer { get; init; }
    /// <summary>Whether to commit; otherwise to abort.</summary>
    public required bool IsCommit { get; init; }
    /// <summary>Whether the producer goes on with the next epoch, that of the response (KIP-890, <c>transaction.version</c> 2).</summary>
    public bool RaisesEpoch { get; init; }
    /// <summary>Whether to wait until all partitions and groups know, so that a reader that begins afterwards reads the records.</summary>
    public bool WaitsForMarkers { get; init; }
    /// <summary>The number of the transaction (<see cref="AddToTransactionResult.Number"/>): a request that comes late ends no other one.
    /// 0: the open one, whichever it is. Clients over HTTP and Orleans must give it where the epoch does not rise, since it is what tells
    /// their transactions apart.</summary>
    public long Number { get; init; }
    /// <summary>The caller.</summary>
    public TransactionCaller Caller { get; init; }

    object ICoordinatorRequest.Refuse(ErrorCode error, string message) => new EndTransactionResult(error, new(-1, -1), message);
}

/// <summary>The response to <see cref="EndTransaction"/>.</summary>
/// <param name="Error"><see cref="ErrorCode.None"/>; <see cref="ErrorCode.InvalidTxnState"/>,
/// <see cref="ErrorCode.InvalidProducerIdMapping"/>, <see cref="ErrorCode.ProducerFenced"/>;
/// <see cref="ErrorCode.ConcurrentTransactions"/>: retry.</param>
/// <param name="Producer">The identity of the next transaction; (-1, -1) on an error.</param>
/// <param name="Message">On an error, the cause and how to fix it.</param>
public sealed record EndTransactionResult(ErrorCode Error, ProducerIdentity Producer, string? Message = null) : ITransactionAnswer;

/// <summary>Aborts the open transaction of whatever instance, and fences it: an operator's way. Answered when its partitions and groups
/// know, or with <see cref="TransactionPhase.PrepareAbort"/> where some do not within a second: then it is decided, and they are
/// told until they know.</summary>
/// <param name="TransactionalId">The transactional id.</param>
/// <param name="Caller">The operator.</param>
/// <param name="Number">The number of the transaction, as it is described; then a repetition aborts no later one, and is answered alike.
/// 0: the open one, whichever it is.</param>
public sealed record AbortTransaction(string TransactionalId, TransactionCaller Caller = default, long Number = 0)
    : ITransactionRequest<TransactionDescription>
{
    object ICoordinatorRequest.Refuse(ErrorCode error, string message) => new TransactionReply(error, message);
}

/// <summary>Describes a transactional id and its last transaction.</summary>
/// <param name="TransactionalId">The transactional id.</param>
public sealed record DescribeTransaction(string TransactionalId) : ITransactionRequest<TransactionDescription>
{
    AccessOperation ITransactionRequest.Operation => AccessOperation.Describe;

    object ICoordinatorRequest.Refuse(ErrorCode error, string message) => new TransactionReply(error, message);
}

/// <summary>A transactional id with its last transaction.</summary>
public sealed record TransactionDescription
{
    /// <summary>The transactional id.</summary>
    public required string TransactionalId { get; init; }
    /// <summary>The broker that coordinates it.</summary>
    public required int Coordinator { get; init; }
    /// <summary>The phase of the last transaction.</summary>
    public required TransactionPhase Phase { get; init; }
    /// <summary>The producer's identity.</summary>
    public required ProducerIdentity Producer { get; init; }
    /// <summary>How long a transaction may be open.</summary>
    public required TimeSpan Timeout { get; init; }
    /// <summary>When the open transaction began, or the one that is being ended; null where there is none.</summary>
    public DateTimeOffset? StartedAt { get; init; }
    /// <summary>The number of the last transaction; 0 for none.</summary>
    public long Number { get; init; }
    /// <summary>The partitions of the open transaction, or of the one that is being ended.</summary>
    public IReadOnlyList<TransactionPartition> Partitions { get; init; } = [];
    /// <summary>Its groups.</summary>
    public IReadOnlyList<string> Groups { get; init; } = [];
    /// <summary>Who ended the last transaction, why, and when; null if none was ended.</summary>
    public string? LastEnd { get; init; }
    /// <summary>Who fenced the last earlier instance, why, and when; null if none was fenced.</summary>
    public string? LastFence { get; init; }

    /// <summary>The id's entry in a list.</summary>
    public TransactionListing ToListing() => new(TransactionalId, Producer.ProducerId, Phase, StartedAt);
}

/// <summary>A transactional id in a list.</summary>
/// <param name="TransactionalId">The transactional id.</param>
/// <param name="ProducerId">Its producer.</param>
/// <param name="Phase">The phase of its last transaction.</param>
/// <param name="StartedAt">When the open transaction began, or the one that is being ended; null where there is none.</param>
public sealed record TransactionListing(string TransactionalId, long ProducerId, TransactionPhase Phase, DateTimeOffset? StartedAt);
