using System.Collections.Concurrent;
using OrleansMq.Api;

namespace OrleansMq.Client;

/// <summary>
/// The conversation of a transactional producer with its coordinator. It sends each request until it is answered, at most for
/// <see cref="TransactionalProducerOptions.RequestTimeout"/>. All requests may be repeated: a repetition is answered like the request
/// before it.
/// </summary>
internal sealed class TransactionCoordination(IBroker broker, string transactionalId, TransactionalProducerOptions options,
    ProducerOptions producer, TransactionCaller caller)
{
    public string TransactionalId => transactionalId;

    public IBroker Broker => broker;

    /// <summary>The sizes of batches that topics take, where larger ones were refused.</summary>
    public ConcurrentDictionary<string, int> BatchSizes { get; } = new(StringComparer.Ordinal);

    public TransactionalProducerOptions Options => options;

    public TimeProvider Time => producer.TimeProvider;

    /// <summary>Gives the producer its next epoch.</summary>
    /// <param name="current">The identity that it has; null as a new instance.</param>
    /// <param name="requestId">See <see cref="InitTransactions.RequestId"/>.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <returns>The answer, refused or not.</returns>
    public Task<InitTransactionsResult> InitAsync(ProducerIdentity? current, Guid requestId, CancellationToken cancellationToken) =>
        SendAsync(new InitTransactions
        {
            TransactionalId = transactionalId,
            Timeout = options.TransactionTimeout,
            Current = current,
            Caller = caller,
            RequestId = requestId,
        }, cancellationToken);

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
        }, cancellationToken);

    /// <summary>Ends the transaction.</summary>
    /// <returns>The answer, refused or not, and the number of attempts.</returns>
    public Task<(EndTransactionResult Answer, int Attempts)> EndAsync(ProducerIdentity identity, bool isCommit,
        CancellationToken cancellationToken) =>
        SendCountedAsync(new EndTransaction
        {
            TransactionalId = transactionalId,
            Producer = identity,
            IsCommit = isCommit,
            RaisesEpoch = true,
            WaitsForMarkers = isCommit && options.WaitUntilReadable,
            Caller = caller,
        }, cancellationToken);

    /// <summary>Finds out why the coordinator does not know the producer under its id.</summary>
    /// <param name="error">The error of the request before.</param>
    /// <returns>Whether the id is forgotten, and so no instance has it; otherwise <see cref="ErrorCode.ProducerFenced"/> where another has
    /// it. The error stays where no broker tells.</returns>
    public async Task<(ErrorCode Error, bool IsForgotten)> FindOwnerAsync(ErrorCode error)
    {
        var (answer, _, _) = await RetryAsync(async cancelled =>
        {
            await broker.Transactions.SendAsync(new DescribeTransaction(transactionalId), cancelled).ConfigureAwait(false);
            return (ErrorCode.None, null);
        }, CancellationToken.None).ConfigureAwait(false);
        return answer switch
        {
            ErrorCode.TransactionalIdNotFound => (error, true),
            ErrorCode.None => (ErrorCode.ProducerFenced, false),
            _ => (error, false),
        };
    }

    /// <summary>Whether an error leaves open whether a request was executed.</summary>
    public static bool IsUnknown(ErrorCode error) => error == ErrorCode.UnknownServerError || error.Action() == ErrorAction.Retry;

    /// <summary>Sends a request until it is answered, at most for <see cref="TransactionalProducerOptions.RequestTimeout"/>.</summary>
    /// <param name="send">Sends it once; returns the error.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <returns>The last error, and the number of attempts.</returns>
    public async Task<(ErrorCode Error, string? Message, int Attempts)> RetryAsync(
        Func<CancellationToken, Task<(ErrorCode Error, string? Message)>> send, CancellationToken cancellationToken)
    {
        using var deadline = new CancellationTokenSource(options.RequestTimeout, Time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(deadline.Token, cancellationToken);
        for (var attempt = 1; ; attempt++)
        {
            ErrorCode error;
            string? message;
            try
            {
                (error, message) = await send(either.Token).ConfigureAwait(false);
            }
            catch (Exception e) when (!cancellationToken.IsCancellationRequested && e is not CommitException)
            {
                var failed = ProduceBatch.ResultOf(e);
                (error, message) = (failed.Error, failed.Message);
            }
            if (error.Action() != ErrorAction.Retry || deadline.IsCancellationRequested)
                return (error, message, attempt);
            var wait = RetryBackoff.For(attempt, producer.RetryBackoff, producer.RetryBackoffMax, producer.Random.NextDouble());
            await Task.Delay(wait, Time, cancellationToken).ConfigureAwait(false);
        }
    }

    /// <summary>Returns the exception of a beginning or an end that was refused: the coordinator alone knows who is fenced.</summary>
    /// <inheritdoc cref="ExceptionOf"/>
    public TransactionException EndOf(ErrorCode error, string? message, string what) => error == ErrorCode.ProducerFenced
        ? new ProducerFencedException(error, transactionalId, $"{what}: {message ?? error.ToString()}")
        : ExceptionOf(error, message, what);

    /// <summary>Returns the exception of a refusal within a transaction. The coordinator may have ended it by its timeout, or for an
    /// operator: the abort tells.</summary>
    /// <param name="error">The error.</param>
    /// <param name="message">The broker's words; null for none.</param>
    /// <param name="what">What was refused, in words that end a sentence.</param>
    public TransactionException ExceptionOf(ErrorCode error, string? message, string what)
    {
        var within = error.Action() == ErrorAction.Retry ? $" within {options.RequestTimeout.TotalSeconds:0.#} s" : "";
        return new TransactionException(error, transactionalId, $"{what}{within}: {message ?? error.ToString()}");
    }

    private async Task<TResult> SendAsync<TResult>(ITransactionRequest<TResult> request, CancellationToken cancellationToken)
        where TResult : class, ITransactionAnswer =>
        (await SendCountedAsync(request, cancellationToken).ConfigureAwait(false)).Answer;

    private async Task<(TResult Answer, int Attempts)> SendCountedAsync<TResult>(ITransactionRequest<TResult> request,
        CancellationToken cancellationToken) where TResult : class, ITransactionAnswer
    {
        TResult? last = null;
        var (error, message, attempts) = await RetryAsync(async cancelled =>
        {
            last = null;
            last = await broker.Transactions.SendAsync(request, cancelled).ConfigureAwait(false);
            return (last.Error, last.Message);
        }, cancellationToken).ConfigureAwait(false);
        return (last is null ? request.Answer(request.Refuse(error, message ?? error.ToString())) : last, attempts);
    }
}
