using OrleansMq.Api;
using OrleansMq.Diagnostics;

namespace OrleansMq.Gateways.Amqp.Queues;

/// <summary>
/// Dead-letters what expires at the head of a queue that nothing consumes. It looks at the head when it expires, and attaches and receives
/// only then: a message that is in time is not touched, and a single active consumer not kept waiting. The head is the first message that
/// no consumer holds, and that does not yield to others (<see cref="LogLetters"/>). It trims what other brokers publish, and what comes
/// back. Of several brokers the one that leads the queue's partition does so.
/// </summary>
/// <param name="queue">The queue.</param>
/// <param name="isShared">Whether other brokers use the queue, too.</param>
internal sealed class DeadLetterWatch(LogQueue queue, bool isShared) : IAsyncDisposable
{
    private static readonly TimeSpan MaxPause = TimeSpan.FromSeconds(10);
    // Messages that come through other brokers are noticed within it.
    private static readonly TimeSpan SharedPause = TimeSpan.FromSeconds(1);
    // What is looked at to find a message that no consumer holds.
    private const int MostHeld = 1000;
    private static readonly TimeSpan MinPause = TimeSpan.FromMilliseconds(20);
    // The expired head is there. A call that waits returns after one delivery, whatever has become of it.
    private static readonly TimeSpan MaxReceive = TimeSpan.FromMilliseconds(100);

    private readonly CancellationTokenSource _stop = new();
    private TaskCompletionSource _changed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private Task _running = Task.CompletedTask;
    private bool _isHeadHeld;

    /// <summary>Begins.</summary>
    public void Start() => _running = Task.Run(RunAsync);

    /// <summary>A message was published or settled: there may be another head.</summary>
    public void HeadMayChange() => Volatile.Read(ref _changed).TrySetResult();

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync().ConfigureAwait(false);
        // The queue may be deleted by what this waits for.
        _ = _running.ContinueWith(_ => _stop.Dispose(), TaskScheduler.Default);
    }

    private async Task RunAsync()
    {
        try
        {
            while (true)
            {
                try
                {
                    await LookAsync().ConfigureAwait(false);
                }
                catch (BrokerException fault) when (fault.Action == ErrorAction.Retry)
                {
                    // The partition has no leader now.
                    await Task.Delay(SharedPause, queue.Time, _stop.Token).ConfigureAwait(false);
                }
            }
        }
        catch (Exception ended) when (ended is OperationCanceledException or QueueGoneException)
        {
            // The queue is deleted, or the gateway stops.
        }
        catch (Exception fault)
        {
            queue.Log.Write(EngineLogLevel.Error,
                $"Queue '{queue.State.Name}' no longer dead-letters what expires while nothing consumes; a "
                + "consumer's receive still does.", fault);
        }
    }

    // Looks at the head once, and waits.
    private async Task LookAsync()
    {
        Volatile.Write(ref _changed, new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously));
        if (!queue.IsLed)
        {
            await Task.Delay(SharedPause, queue.Time, _stop.Token).ConfigureAwait(false);
            return;
        }
        await queue.TrimAsync().ConfigureAwait(false);
        if (queue.Letters.Wait is var wait && wait > TimeSpan.Zero)
        {
            await Task.Delay(wait, queue.Time, _stop.Token).ConfigureAwait(false);
            return;
        }
        _isHeadHeld = false;
        var before = queue.Letters.Yield;
        var pause = await PauseAsync().ConfigureAwait(false);
        // A consumer's letters may have begun to wait since, and their messages been passed over.
        var left = queue.Letters.Yield is var after && after > before ? after : before;
        // Those that yield have their turn then. They are back in the queue a little later.
        if (left > TimeSpan.Zero && (pause is null || pause > left))
            pause = left + MinPause;
        // To look behind what consumers hold is not done for each message that comes.
        if (_isHeadHeld)
            await Task.Delay(SharedPause, queue.Time, _stop.Token).ConfigureAwait(false);
        if (pause is null || pause > TimeSpan.Zero)
            await WaitAsync(pause).ConfigureAwait(false);
        else if (!await EndExpiredAsync().ConfigureAwait(false))
            await Task.Delay(SharedPause, queue.Time, _stop.Token).ConfigureAwait(false);
    }

    // The reader itself dead-letters what has expired. Whether something had.
    private async Task<bool> EndExpiredAsync()
    {
        await using var reader = new LogReader(queue, IAmqpQueue.Beside);
        await reader.AttachAsync().ConfigureAwait(false);
        for (var hasEnded = false; ; hasEnded = true)
        {
            var before = reader.Ended;
            foreach (var message in await reader.ReceiveAsync(1, MaxReceive, _stop.Token).ConfigureAwait(false))
                await reader.SettleAsync(message.Hold, Settlement.Return).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            // Else the head would still be there, and the next message be received for it.
            await reader.EndedAsync().ConfigureAwait(false);
            if (reader.Ended == before)
                return hasEnded;
            if (await PauseAsync().ConfigureAwait(false) is not { } pause || pause > TimeSpan.Zero)
                return true;
        }
    }

    // Until the first message expires that no consumer holds, and that does not yield: what a consumer holds, it decides on, and a receive
    // passes over what yields. Null: there is none, or it does not expire.
    private async Task<TimeSpan?> PauseAsync()
    {
        try
        {
            var records = await queue.Broker.Queues.PeekAsync(queue.Partition, queue.Cursor, 1, _stop.Token).ConfigureAwait(false);
            if (records.Count == 0 || PauseOf(records[0]) is not { } pause || pause > TimeSpan.Zero)
                return records.Count == 0 ? null : PauseOf(records[0]);
            var yielding = queue.Letters.Yielding();
            var held = await HeldAsync().ConfigureAwait(false);
            _isHeadHeld = held.Contains(records[0].Offset);
            if (!_isHeadHeld && !yielding.Contains(records[0].Offset))
                return pause;
            held.UnionWith(yielding);
            records = await queue.Broker.Queues.PeekAsync(queue.Partition, queue.Cursor, Math.Min(held.Count + 1, MostHeld), _stop.Token)
                .ConfigureAwait(false);
            if (records.FirstOrDefault(record => !held.Contains(record.Offset)) is { } first)
                return PauseOf(first);
            // What is behind cannot be looked at. A receive finds it, since those that yield are put off: it may be its turn.
            return records.Count == MostHeld && queue.Letters.Yield > TimeSpan.Zero ? TimeSpan.Zero : null;
        }
        catch (BrokerException gone) when (LogQueue.IsGone(gone.Code))
        {
            throw new QueueGoneException(gone);
        }
        catch (BrokerException fault) when (fault.Action == ErrorAction.Retry)
        {
            return MinPause;
        }
    }

    private TimeSpan? PauseOf(QueueRecord record) => MessageRecords.Decode(record, queue.State.Name)
        .ExpiresOnLogAt(queue.Settings.MessageTtl, record.Timestamp) is { } at
        ? TimeSpan.FromMilliseconds(at - queue.Time.GetUtcNow().ToUnixTimeMilliseconds()) : null;

    private async Task<HashSet<long>> HeldAsync()
    {
        try
        {
            return [.. (await queue.Broker.Queues.ListHandlersAsync(queue.Partition, queue.Cursor, MostHeld, _stop.Token)
                .ConfigureAwait(false)).Select(static handler => handler.Offset)];
        }
        catch (BrokerException older) when (older.Code == ErrorCode.UnsupportedVersion)
        {
            return [];
        }
    }

    private async Task WaitAsync(TimeSpan? pause)
    {
        if (pause is null)
        {
            // A head that another broker's consumer settles is noticed later.
            await Task.WhenAny(Volatile.Read(ref _changed).Task, Task.Delay(isShared ? SharedPause : MaxPause, queue.Time, _stop.Token))
                .ConfigureAwait(false);
            _stop.Token.ThrowIfCancellationRequested();
            return;
        }
        var most = isShared ? SharedPause : MaxPause;
        await Task.Delay(pause < most ? pause.Value : most, queue.Time, _stop.Token).ConfigureAwait(false);
    }
}
