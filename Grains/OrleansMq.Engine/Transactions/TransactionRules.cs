using OrleansMq.Api;
using OrleansMq.Coordination;

namespace OrleansMq.Transactions;

/// <summary>The decisions about a transactional id, as its coordinator calls them. Virtual for mutants: see
/// <see cref="Replication.ReplicationRules"/>.</summary>
internal class TransactionRules : CoordinatorRules
{
    /// <summary>The protocol.</summary>
    public static readonly TransactionRules Shipped = new();

    /// <inheritdoc cref="TransactionDecision.Init"/>
    public virtual TransactionOutcome Init(TransactionState? state, InitTransactions request, long freshId, TransactionOptions options,
        DateTimeOffset now) => TransactionDecision.Init(state, request, freshId, options, now);

    /// <inheritdoc cref="TransactionDecision.Add"/>
    public virtual TransactionOutcome Add(TransactionState? state, AddToTransaction request, TransactionOptions options,
        DateTimeOffset now) => TransactionDecision.Add(state, request, options, now);

    /// <inheritdoc cref="TransactionDecision.End"/>
    public virtual TransactionOutcome End(TransactionState? state, EndTransaction request, long freshId, DateTimeOffset now) =>
        TransactionDecision.End(state, request, freshId, now);

    /// <inheritdoc cref="TransactionDecision.Abort"/>
    public virtual TransactionOutcome Abort(TransactionState? state, AbortTransaction request, long freshId, DateTimeOffset now) =>
        TransactionDecision.Abort(state, request, freshId, now);

    /// <inheritdoc cref="TransactionDecision.Complete"/>
    public virtual TransactionState Complete(TransactionState state, DateTimeOffset now) => TransactionDecision.Complete(state, now);

    /// <inheritdoc cref="TransactionDecision.Fence"/>
    public virtual TransactionState? Fence(TransactionState state, long freshId, DateTimeOffset now, string reason, short lastEpoch) =>
        TransactionDecision.Fence(state, freshId, now, reason, lastEpoch);

    /// <inheritdoc cref="TransactionDecision.IsLate"/>
    public virtual bool IsLate(TransactionState state, DateTimeOffset now) => TransactionDecision.IsLate(state, now);

    /// <inheritdoc cref="TransactionDecision.IsExpired"/>
    public virtual bool IsExpired(TransactionState state, TransactionOptions options, DateTimeOffset now) =>
        TransactionDecision.IsExpired(state, options, now);

    /// <summary>Whether an answer that changes nothing waits until the store confirms that no other coordinator has taken over. A refusal
    /// ends a producer. What a client with one epoch for many transactions adds may be known of an earlier transaction, which another
    /// coordinator has ended. A verification, and what is added with an epoch of its own, reach nothing that has ended: its number or
    /// epoch is refused there.</summary>
    public virtual bool MustConfirm(ICoordinatorRequest request, ITransactionAnswer answer) => answer.Error != ErrorCode.None
        || request is not (AddToTransaction { VerifyOnly: true } or AddToTransaction { RaisesEpoch: true });

    /// <summary>Whether the participants may be told of the end: when it is certainly stored.</summary>
    public virtual bool MayTell(bool isCertain) => isCertain;

    /// <summary>Whether all participants know, so that the transaction is complete: those of this transaction.</summary>
    public virtual bool IsCompleted(TransactionState state, ParticipantsEnded ended) => state.IsEnding && state.Number == ended.Number;

    /// <summary>Whether a request of a client without an epoch for each transaction came earlier than the last addition
    /// to a transaction of the epoch: then it is late.</summary>
    public virtual bool IsOfEarlierConnection(TransactionConnection connection, TransactionConnection filledOver) =>
        connection.IsBefore(filledOver);
}
