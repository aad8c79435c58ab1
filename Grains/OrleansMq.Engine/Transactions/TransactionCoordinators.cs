using System.Text.Json;
using OrleansMq.Api;
using OrleansMq.Coordination;
using OrleansMq.Diagnostics;
using OrleansMq.State;

namespace OrleansMq.Transactions;

/// <summary>All transactional ids of a standalone broker. One is opened by its first request, and when the broker starts if its last
/// transaction is not complete; it stays open. Thread safe.</summary>
internal sealed class TransactionCoordinators : ITransactionCoordinator, IAsyncDisposable
{
    // The pause before ids that could not be woken are tried again.
    private static readonly TimeSpan WakePause = TimeSpan.FromSeconds(10);

    private readonly OpenCoordinators _open;
    private readonly int _brokerId;
    private readonly IStateStore _store;
    private readonly TransactionOptions _options;
    private readonly TimeProvider _time;
    private readonly EngineLog _log;
    private readonly CancellationTokenSource _closing = new();
    private readonly SharedRun<IReadOnlyList<TransactionListing>> _list;
    private Task _waking = Task.CompletedTask;

    /// <summary>Creates the coordinator of all transactional ids, without opening any.</summary>
    /// <param name="brokerId">The broker.</param>
    /// <param name="store">The store of the documents.</param>
    /// <param name="participants">The partitions and groups.</param>
    /// <param name="take">Takes a producer id that was never used.</param>
    /// <param name="options">Limits.</param>
    /// <param name="time">The clock.</param>
    /// <param name="log">The log.</param>
    public TransactionCoordinators(int brokerId, IStateStore store, ITransactionParticipants participants,
        Func<CancellationToken, ValueTask<long>> take, TransactionOptions options, TimeProvider time, EngineLog log)
    {
        store = new BoundedStateStore(store, TransactionDocument.StoreType, options.MaxIds, TransactionDocuments.TooMany(options.MaxIds));
        (_brokerId, _store, _options, _time, _log) = (brokerId, store, options, time, log);
        Producers = new TransactionProducers(store, take, log);
        _list = new(() => ListAllAsync(_closing.Token));
        _open = new OpenCoordinators(TransactionDocuments.Kind, async id => await TransactionCoordinator.OpenAsync(id, brokerId, store,
            participants, Producers, options, time, log).ConfigureAwait(false), log);
    }

    /// <summary>The producer ids of transactional ids.</summary>
    public TransactionProducers Producers { get; }

    /// <inheritdoc/>
    public async ValueTask<TResult> SendAsync<TResult>(ITransactionRequest<TResult> request,
        CancellationToken cancellationToken = default) =>
        request.Answer(TransactionalId.FindProblem(request.TransactionalId) is { } problem
            ? request.Refuse(ErrorCode.InvalidRequest, problem)
            : await _open.AskAsync(request.TransactionalId, request, cancellationToken).ConfigureAwait(false));

    /// <inheritdoc/>
    public ValueTask<int> FindCoordinatorAsync(string transactionalId, CancellationToken cancellationToken = default) =>
        TransactionalId.FindProblem(transactionalId) is { } problem
            ? ValueTask.FromException<int>(new BrokerException(ErrorCode.InvalidRequest, problem))
            : new(_brokerId);

    /// <inheritdoc/>
    /// <remarks>Ids that are not open are read without being opened. One that has expired is opened, which deletes it. Callers share what
    /// is read.</remarks>
    public async ValueTask<IReadOnlyList<TransactionListing>> ListTransactionsAsync(CancellationToken cancellationToken = default) =>
        await _list.ReadAsync(cancellationToken).ConfigureAwait(false);

    private async Task<IReadOnlyList<TransactionListing>> ListAllAsync(CancellationToken cancellationToken)
    {
        var listings = new List<TransactionListing>();
        try
        {
            foreach (var id in await ListIdsAsync(cancellationToken).ConfigureAwait(false))
            {
                if (await ListOneAsync(id, cancellationToken).ConfigureAwait(false) is { } listing)
                    listings.Add(listing);
            }
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw new BrokerException(ErrorCode.CoordinatorNotAvailable,
                $"The transactional ids cannot be read; retry: {exception.Message}", exception);
        }
        listings.Sort(static (one, other) => string.CompareOrdinal(one.TransactionalId, other.TransactionalId));
        return listings;
    }

    /// <summary>Opens, in the background, the ids whose last transaction is not complete: their partitions wait for its end.</summary>
    public void Wake() => _waking = Task.Run(WakeAsync);

    /// <summary>Closes all: waiting requests are refused, and writes in flight complete.</summary>
    public async ValueTask DisposeAsync()
    {
        await _closing.CancelAsync().ConfigureAwait(false);
        await _waking.ConfigureAwait(false);
        await _open.DisposeAsync().ConfigureAwait(false);
        _closing.Dispose();
    }

    private async Task WakeAsync()
    {
        try
        {
            while (!await TryWakeAllAsync().ConfigureAwait(false))
                await Task.Delay(WakePause, _time, _closing.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (_closing.IsCancellationRequested)
        {
            // The next start does it.
        }
    }

    private async Task<bool> TryWakeAllAsync()
    {
        var isComplete = true;
        try
        {
            foreach (var id in await ListIdsAsync(_closing.Token).ConfigureAwait(false))
                isComplete &= await TryWakeAsync(id).ConfigureAwait(false);
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            _log.Write(EngineLogLevel.Error, "The transactional ids cannot be listed, to end transactions that were open; they are listed "
                + $"again: {failure.Message}", failure);
            return false;
        }
        return isComplete;
    }

    private async Task<bool> TryWakeAsync(string id)
    {
        try
        {
            return await ReadAsync(id, _closing.Token).ConfigureAwait(false) is not { Phase: TransactionPhase.Ongoing
                or TransactionPhase.PrepareCommit or TransactionPhase.PrepareAbort }
                || await _open.AskAsync(id, new DescribeTransaction(id), _closing.Token).ConfigureAwait(false) is TransactionDescription;
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            _log.Write(EngineLogLevel.Error, $"The transactional id '{id}' cannot be read, to end a transaction that was open; it is read "
                + $"again: {failure.Message}", failure);
            return false;
        }
    }

    private async ValueTask<IEnumerable<string>> ListIdsAsync(CancellationToken cancellationToken) =>
        (await _store.ListAsync(TransactionDocument.StoreType, cancellationToken).ConfigureAwait(false))
            .Select(static key => key[(TransactionDocument.StoreType.Length + 1)..]);

    private async ValueTask<TransactionListing?> ListOneAsync(string id, CancellationToken cancellationToken)
    {
        if (_open.IsOpen(id))
            return await AskAsync(id, cancellationToken).ConfigureAwait(false);
        if (await ReadAsync(id, cancellationToken).ConfigureAwait(false) is not { } document)
            return null;
        return TransactionDecision.IsExpired(document.ToState(), _options, _time.GetUtcNow())
            ? await AskAsync(id, cancellationToken).ConfigureAwait(false) : document.ToListing(id);
    }

    private async ValueTask<TransactionListing?> AskAsync(string id, CancellationToken cancellationToken)
    {
        try
        {
            return (await SendAsync(new DescribeTransaction(id), cancellationToken).ConfigureAwait(false)).ToListing();
        }
        catch (BrokerException refused) when (refused.Code == ErrorCode.TransactionalIdNotFound)
        {
            return null; // It has expired.
        }
    }

    // A damaged document is left out: a request for the id names it.
    private async ValueTask<TransactionDocument?> ReadAsync(string id, CancellationToken cancellationToken)
    {
        try
        {
            return await _store.ReadAsync(TransactionDocument.KeyOf(id), cancellationToken).ConfigureAwait(false) is { } stored
                ? TransactionDocument.Parse(stored.Value.Span) : null;
        }
        catch (Exception exception) when (exception is CorruptStateException or JsonException)
        {
            _log.Write(EngineLogLevel.Warning, $"The document of the transactional id '{id}' is damaged.", exception);
            return null;
        }
    }
}
