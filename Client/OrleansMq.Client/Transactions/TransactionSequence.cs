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
    private readonly Lock _gate = new();
    private readonly BatchPool _batches = new(producer);
    private ProducerIdentity? _identity;
    // Of the request for the first one: a caller may give it up, and what is under way must not fence what the next one begins.
    private Guid _firstRequest = Guid.NewGuid();
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
            TransactionRun? current;
            lock (_gate)
                current = _current;
            if (current is { IsOver: false })
            {
                throw new InvalidOperationException($"The last transaction of '{TransactionalId}' is neither committed nor aborted: "
                    + "dispose it before the next begins. For transactions side by side, create a producer for each, with another id.");
            }
            if (_identity is null || _isUncertain)
                await InitAsync(cancellationToken).ConfigureAwait(false);
            lock (_gate)
            {
                var transaction = new BrokerTransaction(coordination, _identity!.Value);
                var core = new ProducerCore(transaction, producer, logger, _batches);
                return _current = new TransactionRun(this, coordination, transaction, core);
            }
        }
        finally
        {
            _turn.Release();
        }
    }

    /// <summary>Leaves a transaction that was not ended: the next one begins by ending it, and late answers change nothing.</summary>
    public void Leave(TransactionRun run)
    {
        lock (_gate)
        {
            if (_current != run)
                return;
            _isUncertain = true;
            _current = null;
        }
    }

    /// <summary>Ends a transaction at the coordinator.</summary>
    /// <param name="run">The transaction.</param>
    /// <param name="transaction">The same at the broker.</param>
    /// <param name="isCommit">Whether to commit.</param>
    /// <param name="wasUnanswered">Whether a commit before was not answered.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <exception cref="TransactionException">It was refused, or not answered.</exception>
    public async Task EndAsync(TransactionRun run, BrokerTransaction transaction, bool isCommit, bool wasUnanswered,
        CancellationToken cancellationToken)
    {
        // Until the answer: a caller that gives up leaves it open or not.
        Note(run, () => _isUncertain = true);
        var (answer, attempts) = await coordination.EndAsync(transaction.Identity, isCommit, cancellationToken).ConfigureAwait(false);
        if (answer.Error == ErrorCode.None)
        {
            Note(run, () => (_identity, _isUncertain) = (answer.Producer, false));
            return;
        }
        if (isCommit && (wasUnanswered || attempts > 1) && answer.Error == ErrorCode.ProducerFenced)
        {
            answer = answer with
            {
                Message = $"{answer.Message} It may be committed: an attempt before was not answered.",
            };
        }
        if (isCommit && TransactionCoordination.IsUnknown(answer.Error))
        {
            var within = answer.Error.Action() == ErrorAction.Retry
                ? $" within {coordination.Options.RequestTimeout.TotalSeconds:0.#} s" : "";
            throw new TransactionOutcomeUnknownException(answer.Error, TransactionalId, "Whether it is committed is not known: no broker "
                + $"confirmed it{within} ({answer.Error}). Commit again. {answer.Message}");
        }
        var (refusal, isForgotten) = await JudgeAsync(run, answer.Error, answer.Message, isCommit ? "It is not committed"
            : "It was not aborted").ConfigureAwait(false);
        // What the coordinator has forgotten is not open.
        if (isCommit || !isForgotten)
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
            lock (_gate)
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
        var answer = await coordination.InitAsync(_identity, _identity is null ? _firstRequest : Guid.NewGuid(), cancellationToken)
            .ConfigureAwait(false);
        if (answer.Error != ErrorCode.None)
            throw (await JudgeAsync(null, answer.Error, answer.Message, "It cannot begin").ConfigureAwait(false)).Refusal;
        (_identity, _isUncertain, _firstRequest) = (answer.Producer, false, Guid.NewGuid());
    }

    /// <summary>Changes what the next transaction begins with, unless that has begun.</summary>
    /// <param name="run">The transaction of which an answer came; null between two.</param>
    /// <param name="change">The change.</param>
    private void Note(TransactionRun? run, Action change)
    {
        lock (_gate)
        {
            if (run is null || run == _current)
                change();
        }
    }

    /// <summary>Returns the exception of a refusal, and notes what it means for the next transaction.</summary>
    private async Task<(TransactionException Refusal, bool IsForgotten)> JudgeAsync(TransactionRun? run, ErrorCode error, string? message,
        string what)
    {
        var isForgotten = false;
        if (error == ErrorCode.InvalidProducerIdMapping)
        {
            (error, isForgotten) = await coordination.FindOwnerAsync(error).ConfigureAwait(false);
            // Nobody has the id: the next transaction begins as a new instance.
            if (isForgotten)
                Note(run, () => (_identity, _isUncertain) = (null, false));
        }
        var refusal = coordination.EndOf(error, message, what);
        if (refusal is ProducerFencedException fenced)
            Note(run, () => _fenced ??= fenced);
        return (refusal, isForgotten);
    }

    [LoggerMessage(60, LogLevel.Warning, "A transaction of '{TransactionalId}' was not aborted when it was disposed. The next one "
        + "aborts it, or its timeout. {Reason}")]
    private partial void LogLeftOpen(string transactionalId, string reason);
}
