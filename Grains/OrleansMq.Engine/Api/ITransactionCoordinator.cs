namespace OrleansMq.Api;

/// <summary>
/// Transactions: each transactional id has a coordinator, which fences earlier instances of its producer and decides, once and for all
/// partitions and groups of a transaction, whether it is committed or aborted. One implementation runs in process, one over grains, one
/// over HTTP in the client library, where the broker sets the caller of each request. Each finds the coordinator of an id on its own.
/// Thread-safe.
/// </summary>
public interface ITransactionCoordinator
{
    /// <summary>Sends a request to the coordinator of its transactional id. Whatever the response reveals is stored before it is
    /// sent.</summary>
    /// <param name="request">One of the requests in this namespace.</param>
    /// <param name="cancellationToken">Ends the wait; the request may be executed nevertheless.</param>
    /// <returns>The response. A request of the protocol that is refused has the error in its response.</returns>
    /// <exception cref="BrokerException">An administrative request was refused.</exception>
    ValueTask<TResult> SendAsync<TResult>(ITransactionRequest<TResult> request, CancellationToken cancellationToken = default);

    /// <summary>Finds the broker that currently coordinates a transactional id. Any broker serves any id; this one serves it without a
    /// hop.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.InvalidRequest"/>: no such id may be;
    /// <see cref="ErrorCode.CoordinatorNotAvailable"/>: retry.</exception>
    ValueTask<int> FindCoordinatorAsync(string transactionalId, CancellationToken cancellationToken = default);

    /// <summary>Lists all transactional ids of the cluster, in ordinal order.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.CoordinatorNotAvailable"/>: retry.</exception>
    ValueTask<IReadOnlyList<TransactionListing>> ListTransactionsAsync(CancellationToken cancellationToken = default);
}

/// <summary>A broker that has no transactions.</summary>
internal sealed class NoTransactions : ITransactionCoordinator
{
    public const string Message = "This broker has no transactions: send without a transactional id.";

    private NoTransactions() { }

    /// <summary>The only instance.</summary>
    public static NoTransactions Instance { get; } = new();

    /// <inheritdoc/>
    public ValueTask<TResult> SendAsync<TResult>(ITransactionRequest<TResult> request, CancellationToken cancellationToken = default) =>
        new(request.Answer(request.Refuse(ErrorCode.TransactionalIdAuthorizationFailed, Message)));

    /// <inheritdoc/>
    public ValueTask<int> FindCoordinatorAsync(string transactionalId, CancellationToken cancellationToken = default) =>
        ValueTask.FromException<int>(new BrokerException(ErrorCode.TransactionalIdAuthorizationFailed, Message));

    /// <inheritdoc/>
    public ValueTask<IReadOnlyList<TransactionListing>> ListTransactionsAsync(CancellationToken cancellationToken = default) => new([]);
}
