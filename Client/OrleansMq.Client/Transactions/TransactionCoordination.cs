using OrleansMq.Api;

namespace OrleansMq.Client;

/// <summary>
/// The conversation of a transactional producer with its coordinator. It sends each request until it is answered, at most for
/// <see cref="TransactionalProducerOptions.RequestTimeout"/>. All requests may be repeated: a repetition is answered like the request
/// before it, or costs an epoch.
/// </summary>
internal sealed class TransactionCoordination(IBroker broker, string transactionalId, TransactionalProducerOptions options,
    ProducerOptions producer, TransactionCaller caller)
{
    public string TransactionalId => transactionalId;

    public IBroker Broker => broker;

    public TransactionalProducerOptions Options => options;

    public TimeProvider Time => producer.TimeProvider;

    /// <summary>Gives the producer its next epoch.</summary>
    /// <param name="current">The identity that it has; null as a new instance.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <returns>The answer, refused or not.</returns>
    public Task<InitTransactionsResult> InitAsync(ProducerIdentity? current, CancellationToken cancellationToken) =>
        SendAsync(new InitTransactions
        {
            TransactionalId = transactionalId,
            Timeout = options.TransactionTimeout,
            Current = current,
            Caller = caller,
        }, static result => (result.Error, result.Message), cancellationToken);

    /// <summary>Adds partitions and groups to the transaction.</summary>
    /// <returns>The answer, refused or not.</returns>
    public Task<AddToTransactionResult> AddAsync(ProducerIdentity identity, IReadOnlyList<TransactionPartition> partitions,
        IReadOnlyList<string> groups, CancellationToken cancellationToken) =>
        SendAsync(new AddToTransaction
        {
            TransactionalId = transactionalId,
            Producer = identity,
            Partitions = partitions,
            Groups = groups,
            RaisesEpoch = true,
            Caller = caller,
        }, static result => (result.Error, result.Message), cancellationToken);

    /// <summary>Ends the transaction.</summary>
    /// <returns>The answer, refused or not.</returns>
    public Task<EndTransactionResult> EndAsync(ProducerIdentity identity, bool isCommit, CancellationToken cancellationToken) =>
        SendAsync(new EndTransaction
        {
            TransactionalId = transactionalId,
            Producer = identity,
            IsCommit = isCommit,
            RaisesEpoch = true,
            WaitsForMarkers = isCommit && options.WaitUntilReadable,
            Caller = caller,
        }, static result => (result.Error, result.Message), cancellationToken);

    /// <summary>Whether the coordinator knows the id no more, and so no instance has it.</summary>
    public async Task<bool> IsForgottenAsync(CancellationToken cancellationToken)
    {
        try
        {
            await broker.Transactions.SendAsync(new DescribeTransaction(transactionalId), cancellationToken).ConfigureAwait(false);
            return false;
        }
        catch (BrokerException e)
        {
            return e.Code == ErrorCode.TransactionalIdNotFound;
        }
    }

    /// <summary>Sends offsets to their group, until it answers.</summary>
    /// <param name="send">Sends them once; returns the error.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    public async Task<(ErrorCode Error, string? Message)> RetryAsync(
        Func<CancellationToken, Task<(ErrorCode Error, string? Message)>> send, CancellationToken cancellationToken)
    {
        var since = Time.GetTimestamp();
        for (var attempt = 1; ; attempt++)
        {
            (ErrorCode Error, string? Message) answer;
            try
            {
                answer = await send(cancellationToken).ConfigureAwait(false);
            }
            catch (BrokerException e)
            {
                answer = (e.Code, e.Message);
            }
            if (answer.Error.Action() != ErrorAction.Retry || Time.GetElapsedTime(since) >= options.RequestTimeout)
                return answer;
            await BackoffAsync(attempt, cancellationToken).ConfigureAwait(false);
        }
    }

    /// <summary>Waits before the next attempt.</summary>
    public Task BackoffAsync(int attempt, CancellationToken cancellationToken) => Task.Delay(
        RetryBackoff.For(attempt, producer.RetryBackoff, producer.RetryBackoffMax, producer.Random.NextDouble()), Time, cancellationToken);

    /// <summary>Returns the exception of a refusal.</summary>
    /// <param name="error">The error.</param>
    /// <param name="message">The broker's words; null for none.</param>
    /// <param name="what">What was refused, in words that end a sentence.</param>
    public TransactionException ExceptionOf(ErrorCode error, string? message, string what) => error switch
    {
        ErrorCode.ProducerFenced or ErrorCode.InvalidProducerEpoch =>
            new ProducerFencedException(error, transactionalId, $"{what}: {message ?? error.ToString()}"),
        _ when error.Action() == ErrorAction.Retry => new TransactionException(error, transactionalId,
            $"{what} within {options.RequestTimeout.TotalSeconds:0.#} s: {message ?? error.ToString()}"),
        _ => new TransactionException(error, transactionalId, $"{what}: {message ?? error.ToString()}"),
    };

    private async Task<TResult> SendAsync<TResult>(ITransactionRequest<TResult> request,
        Func<TResult, (ErrorCode Error, string? Message)> read, CancellationToken cancellationToken)
    {
        TResult? last = default;
        var (error, message) = await RetryAsync(async cancelled =>
        {
            last = default;
            last = await broker.Transactions.SendAsync(request, cancelled).ConfigureAwait(false);
            return read(last);
        }, cancellationToken).ConfigureAwait(false);
        return last is null ? request.Answer(request.Refuse(error, message ?? error.ToString())) : last;
    }
}
