using OrleansMq.Diagnostics;
using OrleansMq.State;

namespace OrleansMq.Groups.Coordination;

public sealed partial class GroupCoordinator
{
    private void CarryOut(GroupEffect effect)
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
                _metadata.Changed -= OnTopicsChanged;
                break;
            default:
                throw new InvalidOperationException($"No effect of a group: {effect}.");
        }
    }

    private void Arm(DateTimeOffset? time)
    {
        if (time is not { } due)
        {
            _timer.Change(Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
            return;
        }
        // Rounded up to what timers can do, so that it does not come too early, and again and again.
        var wait = Math.Ceiling((due - _time.GetUtcNow()).TotalMilliseconds);
        _timer.Change(TimeSpan.FromMilliseconds(Math.Clamp(wait, 0, MaxTimerMilliseconds)), Timeout.InfiniteTimeSpan);
    }

    // What timers can wait at most; a wake that comes too early is no harm.
    private const double MaxTimerMilliseconds = int.MaxValue;

    /// <summary>Starts something that ends with a command; off this thread, for it may take a while before it first waits. Groups take
    /// turns: what one begins is not done before what others began earlier, as it would be where each thread looks to its own
    /// first.</summary>
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
        catch (Exception exception) // Whatever a store throws, it means the same: nobody knows what is stored.
        {
            Post(new StoreFailed(store.Document, exception.Message, exception is StateConflictException));
            return;
        }
        Post(new StoreCompleted(store.Document, store.Version));
    }

    private async Task ReadAsync()
    {
        StoredGroup stored;
        try
        {
            stored = await _store.ReadAsync(CancellationToken.None).ConfigureAwait(false);
        }
        catch (Exception exception) // As above: it is tried again, and the log says why.
        {
            Post(new ReadFailed(exception.Message));
            return;
        }
        Post(new ReadCompleted(stored));
    }

    private async Task ConfirmAsync(ConfirmClaim confirm)
    {
        CoordinatorClaim? coordinator;
        try
        {
            coordinator = await _store.ReadClaimAsync(CancellationToken.None).ConfigureAwait(false);
        }
        catch (Exception exception) // As above: who waits for it is told to retry.
        {
            Post(new ClaimReadFailed(confirm.Number, exception.Message));
            return;
        }
        Post(new ClaimRead(confirm.Number, coordinator));
    }

    /// <summary>Answers those who wait that the coordinator is closed, and waits for what is on its way to the store.</summary>
    public async ValueTask DisposeAsync()
    {
        var idle = Close(ErrorCode.NotCoordinator, ClosedMessage);
        await _timer.DisposeAsync().ConfigureAwait(false);
        await idle.ConfigureAwait(false);
    }

    private void Fault(Exception exception)
    {
        _log.Write(EngineLogLevel.Error, $"Group '{GroupId}' stops, and is read again: {exception.Message}", exception);
        _ = Close(ErrorCode.CoordinatorNotAvailable, "The group's coordinator failed, and is opened again: retry.");
        _timer.Dispose();
    }

    /// <summary>Answers no more; the task ends when nothing is on its way to the store.</summary>
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
        _metadata.Changed -= OnTopicsChanged;
        foreach (var request in waiting)
            request.Refuse(error, message);
        return idle;
    }
}
