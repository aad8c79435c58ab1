using OrleansMq.Api;

namespace OrleansMq.Grains.Brokers;

/// <summary>
/// Transactions over grains, for a silo or an Orleans client. Thread safe. A call that the cluster does not answer ends as
/// <see cref="ErrorCode.CoordinatorNotAvailable"/>. While a transactional id moves to another broker, calls are retried for
/// <see cref="GrainBrokerOptions.LeaderPatience"/>.
/// </summary>
internal sealed class GrainTransactions(IGrainFactory grains, GrainBrokerOptions options) : ITransactionCoordinator
{
    /// <inheritdoc/>
    public async ValueTask<TResult> SendAsync<TResult>(ITransactionRequest<TResult> request,
        CancellationToken cancellationToken = default)
    {
        // A call that is repeated may have been carried out, and a silo that ends forwards what it has: a second epoch would fence the
        // first one, which may be the one that is answered.
        if (request is InitTransactions init && init.RequestId == Guid.Empty)
            request = (ITransactionRequest<TResult>)(object)(init with { RequestId = Guid.NewGuid() });
        // Another transaction may be open when it is repeated.
        else if (request is AbortTransaction { Number: 0 } abort)
            request = (ITransactionRequest<TResult>)(object)(abort with
            {
                Number = await FindOpenAsync(abort, cancellationToken).ConfigureAwait(false),
            });
        return request.Answer(await CallAsync(request.TransactionalId, grain => grain.SendAsync(request, cancellationToken),
            request.Refuse, cancellationToken).ConfigureAwait(false));
    }

    /// <inheritdoc/>
    public async ValueTask<int> FindCoordinatorAsync(string transactionalId, CancellationToken cancellationToken = default)
    {
        var answer = await CallAsync(transactionalId,
            async grain => await grain.FindCoordinatorAsync(cancellationToken).ConfigureAwait(false),
            static (error, message) => new TransactionReply(error, message), cancellationToken).ConfigureAwait(false);
        return answer is TransactionReply refusal ? throw new BrokerException(refusal.Error, refusal.Message) : (int)answer;
    }

    /// <inheritdoc/>
    public async ValueTask<IReadOnlyList<TransactionListing>> ListTransactionsAsync(CancellationToken cancellationToken = default)
    {
        try
        {
            return await grains.GetBrokerGrain<ITransactionListGrain>(GrainKeys.Cluster, ErrorCode.CoordinatorNotAvailable)
                .ListAsync(cancellationToken).WaitAsync(cancellationToken).ConfigureAwait(false);
        }
        catch (Exception exception) when (GrainFaults.IsUnanswered(exception))
        {
            throw new BrokerException(ErrorCode.CoordinatorNotAvailable,
                $"Listing the transactional ids was not answered by the cluster. Retry. ({exception.Message})", exception);
        }
    }

    // The number of the open transaction; 0: none is open, or who may abort it may not describe it.
    private async ValueTask<long> FindOpenAsync(AbortTransaction abort, CancellationToken cancellationToken)
    {
        var described = await CallAsync(abort.TransactionalId, grain => grain.SendAsync(new DescribeTransaction(abort.TransactionalId),
            cancellationToken), ((ICoordinatorRequest)abort).Refuse, cancellationToken).ConfigureAwait(false);
        return described is TransactionDescription { Phase: TransactionPhase.Ongoing, Number: var number } ? number : 0;
    }

    private async ValueTask<object> CallAsync(string transactionalId, Func<ITransactionGrain, Task<object>> call,
        Func<ErrorCode, string, object> refuse, CancellationToken cancellationToken)
    {
        // Refuse an id that cannot be, so that it never activates a grain.
        if (TransactionalId.FindProblem(transactionalId) is { } problem)
            return refuse(ErrorCode.InvalidRequest, problem);
        var (isUnreachable, id, attempt) = (false, Guid.NewGuid(), 0);
        return await LeaderPatience.RepeatAsync(options, TryAsync,
            answer => isUnreachable || answer is ITransactionAnswer { Error: ErrorCode.NotCoordinator }, cancellationToken)
            .ConfigureAwait(false);

        async ValueTask<object> TryAsync()
        {
            isUnreachable = false;
            CallAttempts.Carry(id, ++attempt);
            try
            {
                var grain = grains.GetBrokerGrain<ITransactionGrain>(transactionalId, ErrorCode.CoordinatorNotAvailable);
                return await call(grain).WaitAsync(cancellationToken).ConfigureAwait(false);
            }
            catch (BrokerException refused)
            {
                return refuse(refused.Code, refused.Message);
            }
            catch (Exception exception) when (GrainFaults.IsUnanswered(exception))
            {
                // The silo is gone or not yet reachable: the next call finds another. A call that timed out is for its sender to repeat.
                isUnreachable = exception is not TimeoutException;
                return refuse(ErrorCode.CoordinatorNotAvailable,
                    $"The coordinator of '{transactionalId}' did not answer; whether the request was carried out is unknown. Retry. "
                    + $"({exception.GetType().Name}: {exception.Message})");
            }
        }
    }
}
