using OrleansMq.Api;

namespace OrleansMq.Grains;

/// <summary>The same grain as <see cref="IPartitionGrain"/>, for callers that lend their batches. Sending copies nothing, and the receiver
/// uses pooled memory instead of new arrays.</summary>
[Alias("omq.IPartitionAppendGrain")]
internal interface IPartitionAppendGrain : IGrainWithStringKey
{
    /// <summary>Appends one record batch, as <see cref="IPartitionGrain.AppendAsync"/> does.</summary>
    /// <param name="batch">The batch. The caller revokes it when the call has ended, successfully or not.</param>
    /// <param name="acks">When to answer; <see cref="Acks.None"/> answers after the write.</param>
    [Alias("Append")]
    [ResponseTimeout(GrainTimes.Data)]
    Task<ProduceResult> AppendAsync([Immutable] BatchInCall batch, Acks acks);

    /// <summary>Appends several batches, one after the other. Each is appended or refused independently of the others.</summary>
    /// <param name="batches">At least one, in order.</param>
    /// <param name="acks">When to answer; the call completes when every batch has its result.</param>
    /// <returns>One result for each batch, in the same order.</returns>
    [Alias("AppendMany")]
    [ResponseTimeout(GrainTimes.Data)]
    Task<ProduceResult[]> AppendManyAsync([Immutable] BatchInCall[] batches, Acks acks);

    /// <summary>Appends one batch of a transaction, as <see cref="IBroker.ProduceInTransactionAsync"/> does.</summary>
    /// <param name="batch">The batch, as above.</param>
    /// <param name="transactionalId">The transactional id, which the leader asks for the transaction.</param>
    /// <param name="transaction">The transaction's number.</param>
    [Alias("AppendInTransaction")]
    [ResponseTimeout(GrainTimes.Data)]
    Task<ProduceResult> AppendInTransactionAsync([Immutable] BatchInCall batch, string transactionalId, long transaction);
}
