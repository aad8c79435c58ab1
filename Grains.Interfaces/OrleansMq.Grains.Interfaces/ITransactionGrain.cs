using OrleansMq.Access;
using OrleansMq.Api;
using OrleansMq.Grains.Access;

namespace OrleansMq.Grains;

/// <summary>
/// One transactional id, active on its coordinator's silo: <c>grains.GetGrain&lt;ITransactionGrain&gt;("orders-7")</c>.
/// <see cref="IBroker.Transactions"/> is built on it.
/// <para>Errors are returned in the answer, not thrown; <see cref="ErrorCodes.Action"/> says whether to retry.</para>
/// <list type="bullet">
/// <item><see cref="ErrorCode.NotCoordinator"/>: the id is moving to another broker. Nothing was done; send the same request again at
/// once.</item>
/// <item><see cref="ErrorCode.CoordinatorNotAvailable"/>: its state can currently be neither read nor written; retry.</item>
/// <item><see cref="TimeoutException"/> or an Orleans exception: the outcome is unknown, and every request may be sent again.</item>
/// </list>
/// <para>No call takes longer than 10 seconds, since Orleans does not tell a client outside the silos that a silo died.</para>
/// </summary>
[Alias("omq.ITransactionGrain")]
public interface ITransactionGrain : IGrainWithStringKey
{
    /// <summary>Returns the broker whose silo coordinates the id now.</summary>
    [Alias("FindCoordinator")]
    [ResponseTimeout(GrainTimes.Data)]
    [GrainRule(AccessOperation.Describe, ResourceType.TransactionalId)]
    Task<int> FindCoordinatorAsync(CancellationToken cancellationToken = default);

    /// <summary>Executes a request.</summary>
    /// <param name="request">A request of this transactional id.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <returns>The answer, or the refusal that <see cref="ICoordinatorRequest.Refuse"/> makes.</returns>
    [Alias("Send")]
    [ResponseTimeout(GrainTimes.Data)]
    [RuleOfRequest]
    Task<object> SendAsync(ITransactionRequest request, CancellationToken cancellationToken = default);
}

/// <summary>Lists the cluster's transactional ids. Callers see one grain, under the key <see cref="GrainKeys.Cluster"/>; every silo answers
/// for itself.</summary>
[Alias("omq.ITransactionListGrain")]
public interface ITransactionListGrain : IGrainWithStringKey
{
    /// <summary>Lists all transactional ids in ordinal order.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.CoordinatorNotAvailable"/>: the index of ids, or one of them, cannot be read;
    /// retry.</exception>
    [Alias("List")]
    [ResponseTimeout(GrainTimes.Administration)]
    [FilteredList]
    Task<TransactionListing[]> ListAsync(CancellationToken cancellationToken = default);
}
