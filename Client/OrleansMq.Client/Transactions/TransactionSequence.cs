using Microsoft.Extensions.Logging;
using OrleansMq.Api;

namespace OrleansMq.Client;

/// <summary>
/// The transactions of one producer, one after the other. It holds the identity for the next one.
/// <para>After a transaction whose end was not answered, the next begins by going on with the identity (KIP-360): the coordinator ends what
/// is open and refuses an instance that was fenced.</para>
/// </summary>
internal sealed partial class TransactionSequence(TransactionCoordination coordination, ProducerOptions producer, ILogger logger)
    : IAsyncDisposable
{
    private readonly SemaphoreSlim _turn = new(1);
    private readonly BatchPool _batches = new(producer);
    private ProducerIdentity? _identity;
    private bool _isUncertain;
    private ProducerFencedException? _fenced;
    private TransactionRun? _current;
    private bool _isDisposed;

    public string TransactionalId => coordination.TransactionalId;

    /// <summary>Begins the next transaction.</summary>
    public async Task<TransactionRun> BeginAsync(CancellationToken cancellationToken)
    {
        await _turn.WaitAsync(cancellationToken).ConfigureAwait(false);
        try
        {
            ObjectDisposedException.ThrowIf(_isDisposed, typeof(ITransactionalProducer<,>));
            if (_fenced is not null)
                throw _fenced;
            if (_current is { IsOver: false })
            {
                throw new InvalidOperationException($"The last transaction of '{TransactionalId}' is neither committed nor aborted: "
                    + "dispose it before the next begins. For transactions side by side, create a producer for each, with another id.");
            }
            if (_identity is null || _isUncertain)
                await InitAsync(cancellationToken).ConfigureAwait(false);
            var transaction = new BrokerTransaction(coordination, _identity!.Value);
            var core = new ProducerCore(transaction, producer, logger, _batches);
            return _current = new TransactionRun(this, coordination, transaction, core);
        }
        finally
        {
            _turn.Release();
        }
    }

    /// <summary>Ends a transaction at the coordinator.</summary>
    /// <exception cref="TransactionException">It was refused, or not answered.</exception>
    public async Task EndAsync(BrokerTransaction transaction, bool isCommit, CancellationToken cancellationToken)
    {
        // Until the answer: a caller that gives up leaves it open or not.
        _isUncertain = true;
        var answer = await coordination.EndAsync(transaction.Identity, isCommit, cancellationToken).ConfigureAwait(false);
        if (answer.Error == ErrorCode.None)
        {
            (_identity, _isUncertain) = (answer.Producer, false);
            return;
        }
        if (isCommit && answer.Error.Action() == ErrorAction.Retry)
        {
            throw new TransactionOutcomeUnknownException(answer.Error, TransactionalId, "Whether it is committed is not known: no broker "
                + $"answered within {coordination.Options.RequestTimeout.TotalSeconds:0.#} s. Commit again. {answer.Message}");
        }
        var refusal = await JudgeAsync(answer.Error, answer.Message, isCommit ? "It is not committed" : "It was not aborted")
            .ConfigureAwait(false);
        // What the coordinator has forgotten is not open.
        if (isCommit || _identity is not null)
            throw refusal;
    }

    /// <summary>Ends what is open, as far as the broker answers.</summary>
    public async ValueTask DisposeAsync()
    {
        TransactionRun? open;
        await _turn.WaitAsync().ConfigureAwait(false);
        try
        {
            _isDisposed = true;
            open = _current;
        }
        finally
        {
            _turn.Release();
        }
        if (open is not null)
            await open.DisposeAsync().ConfigureAwait(false);
        _batches.Dispose();
    }

    /// <summary>Logs a transaction that could not be aborted when it was disposed.</summary>
    public void LogLeftOpen(string reason) => LogLeftOpen(TransactionalId, reason);

    private async Task InitAsync(CancellationToken cancellationToken)
    {
        var answer = await coordination.InitAsync(_identity, cancellationToken).ConfigureAwait(false);
        if (answer.Error != ErrorCode.None)
            throw await JudgeAsync(answer.Error, answer.Message, "It cannot begin").ConfigureAwait(false);
        (_identity, _isUncertain) = (answer.Producer, false);
    }

    /// <summary>Returns the exception of a refusal, and notes what it means for the next transaction.</summary>
    private async Task<TransactionException> JudgeAsync(ErrorCode error, string? message, string what)
    {
        if (error == ErrorCode.InvalidProducerIdMapping)
        {
            if (await coordination.IsForgottenAsync(CancellationToken.None).ConfigureAwait(false))
                (_identity, _isUncertain) = (null, false); // Nobody has the id: the next transaction begins as a new instance.
            else
                error = ErrorCode.ProducerFenced;
        }
        var refusal = coordination.ExceptionOf(error, message, what);
        _fenced ??= refusal as ProducerFencedException;
        return refusal;
    }

    [LoggerMessage(60, LogLevel.Warning, "A transaction of '{TransactionalId}' was not aborted when it was disposed. The next one "
        + "aborts it, or its timeout. {Reason}")]
    private partial void LogLeftOpen(string transactionalId, string reason);
}
