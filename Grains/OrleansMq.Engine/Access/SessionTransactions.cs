using OrleansMq.Api;

namespace OrleansMq.Access;

/// <summary>Transactions as one session may use them. Thread safe.</summary>
internal sealed class SessionTransactions(ITransactionCoordinator transactions, SessionAccess session) : ITransactionCoordinator
{
    /// <inheritdoc/>
    /// <remarks>Of a description, topics and groups that the session may not describe are left out.</remarks>
    public ValueTask<TResult> SendAsync<TResult>(ITransactionRequest<TResult> request, CancellationToken cancellationToken = default) =>
        session.Refuses(request, request.TransactionalId) is { } refusal ? Answer(request, refusal)
            : request is DescribeTransaction or AbortTransaction ? DescribeAsync(request, cancellationToken)
            : transactions.SendAsync(request, cancellationToken);

    private async ValueTask<TResult> DescribeAsync<TResult>(ITransactionRequest<TResult> request, CancellationToken cancellationToken) =>
        await transactions.SendAsync(request, cancellationToken).ConfigureAwait(false) is var answer
            && answer is TransactionDescription described ? request.Answer(session.Seen(described)) : answer;

    /// <inheritdoc/>
    public async ValueTask<int> FindCoordinatorAsync(string transactionalId, CancellationToken cancellationToken = default)
    {
        session.Demand(AccessOperation.Describe, ResourceType.TransactionalId, transactionalId);
        return await transactions.FindCoordinatorAsync(transactionalId, cancellationToken).ConfigureAwait(false);
    }

    /// <inheritdoc/>
    /// <remarks>Ids that the session may not describe are left out.</remarks>
    public async ValueTask<IReadOnlyList<TransactionListing>> ListTransactionsAsync(CancellationToken cancellationToken = default)
    {
        var all = await transactions.ListTransactionsAsync(cancellationToken).ConfigureAwait(false);
        return all.All(MayDescribe) ? all : [.. all.Where(MayDescribe)];

        bool MayDescribe(TransactionListing listing) =>
            session.Allows(AccessOperation.Describe, ResourceType.TransactionalId, listing.TransactionalId);
    }

    // An exception belongs into the task, not into the caller's stack.
    private static ValueTask<TResult> Answer<TResult>(ITransactionRequest<TResult> request, object refusal)
    {
        try
        {
            return new(request.Answer(refusal));
        }
        catch (BrokerException exception)
        {
            return ValueTask.FromException<TResult>(exception);
        }
    }
}
