using OrleansMq.Diagnostics;
using OrleansMq.State;

namespace OrleansMq.Coordination;

internal sealed partial class Coordinator
{
    private void CarryOut(CoordinatorEffect effect)
    {
        switch (effect)
        {
            case Reply:
                break; // After all others.
            case Store store:
                Begin(() => StoreAsync(store));
                break;
            case ReadStored:
                Begin(ReadAsync);
                break;
            case ConfirmClaim confirm:
                Begin(() => ConfirmAsync(confirm));
                break;
            case WakeAt wake:
                Arm(wake.Time);
                break;
            case LogLine line:
                _log.Write(line.Level, line.Message);
                break;
            case Deposed:
                _closing.Cancel();
                Ended?.Invoke();
                break;
            case var own when _perform is not null:
                Begin(() => PerformAsync(own));
                break;
            default:
                throw new InvalidOperationException($"No effect of a coordinator: {effect}.");
        }
    }

    private void Arm(DateTimeOffset? time)
    {
        if (time is not { } due)
        {
            _timer.Stop();
            return;
        }
        // The moment before the clock: where the clock advances in between, the wake is early, which is no harm.
        var since = _time.GetTimestamp();
        _timer.Set(due - _now.Read(), since);
    }

    /// <summary>Starts an operation that ends with a command, on another thread, since it may run for a while before it first waits.
    /// Coordinators take turns: operations start in the order in which all coordinators begin them, not each thread's own first.</summary>
    private void Begin(Func<Task> operation)
    {
        lock (_gate)
            _operations++;
        _ = Task.Factory.StartNew(async () =>
        {
            try
            {
                await operation().ConfigureAwait(false);
            }
            finally
            {
                lock (_gate)
                {
                    _operations--;
                    if (_operations == 0)
                        _idle?.TrySetResult();
                }
            }
        }, CancellationToken.None, TaskCreationOptions.PreferFairness, TaskScheduler.Default);
    }

    private async Task StoreAsync(Store store)
    {
        try
        {
            await _store.WriteAsync(store).ConfigureAwait(false);
        }
        catch (Exception exception) // Whatever a store throws means the same: what is stored is unknown.
        {
            Post(new StoreFailed(store.Document, exception.Message, exception is StateConflictException)
            {
                IsLimit = exception is StateLimitException,
            });
            return;
        }
        Post(new StoreCompleted(store.Document, store.Version));
    }

    private async Task ReadAsync()
    {
        StoredDocuments stored;
        try
        {
            stored = await _store.ReadAsync(CancellationToken.None).ConfigureAwait(false);
        }
        catch (Exception exception) // As above: the core reads again, and logs the reason.
        {
            Post(new ReadFailed(exception.Message));
            return;
        }
        Post(new ReadCompleted(stored));
    }

    private async Task PerformAsync(CoordinatorEffect effect)
    {
        try
        {
            if (await _perform!(effect, _closing.Token).ConfigureAwait(false) is { } command)
                Post(command);
        }
        catch (OperationCanceledException) when (_closing.IsCancellationRequested)
        {
            // Whoever opens the documents next does it.
        }
        catch (Exception exception) when (!_closing.IsCancellationRequested) // A bug of ours, as in Run.
        {
            Fault(exception);
        }
    }

    private async Task ConfirmAsync(ConfirmClaim confirm)
    {
        CoordinatorClaim? coordinator;
        try
        {
            coordinator = await _store.ReadClaimAsync(CancellationToken.None).ConfigureAwait(false);
        }
        catch (Exception exception) // As above: the callers that wait are told to retry.
        {
            Post(new ClaimReadFailed(confirm.Number, exception.Message));
            return;
        }
        Post(new ClaimRead(confirm.Number, coordinator));
    }

    /// <summary>Answers the callers that wait that the coordinator is closed, and waits for what is on its way to the store.</summary>
    public async ValueTask DisposeAsync()
    {
        var idle = Close(ErrorCode.NotCoordinator, ClosedMessage);
        await _timer.DisposeAsync().ConfigureAwait(false);
        await idle.ConfigureAwait(false);
    }

    private void Fault(Exception exception)
    {
        _log.Write(EngineLogLevel.Error, $"{_kind.Describe(_id)} stops, and is read again: {exception.Message}", exception);
        _ = Close(ErrorCode.CoordinatorNotAvailable, $"The {_kind.Noun}'s coordinator failed, and is opened again: retry.");
        _timer.Dispose();
    }

    /// <summary>Refuses all callers that wait. The task ends when nothing is on its way to the store.</summary>
    private Task Close(ErrorCode error, string message)
    {
        List<PendingRequest> waiting;
        Task idle;
        lock (_gate)
        {
            _isClosed = true;
            waiting = [.. _requests.Values];
            _requests.Clear();
            _commands.Clear();
            _idle ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            if (_operations == 0)
                _idle.TrySetResult();
            idle = _idle.Task;
        }
        _closing.Cancel();
        Ended?.Invoke();
        foreach (var request in waiting)
            request.Refuse(error, message);
        return idle;
    }
}
