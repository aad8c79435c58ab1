using OrleansMq.Diagnostics;
using OrleansMq.Gateways.Amqp.Queues;

namespace OrleansMq.Gateways.Amqp.Delays;

/// <summary>Routes the due messages of a virtual host: a loop that receives them, publishes each to the queues that its exchange leads to
/// now, and settles those that every queue has. It begins in order, and goes on while a queue does not answer. A message stays whose queue
/// cannot be reached, or is full, or whose routing takes too many steps. It is tried again after a wait that grows with each attempt, and
/// those behind it come before it. So is one whose exchange has no place left: see <see cref="ExchangePlaces"/>.</summary>
internal sealed class DueMessages : IAsyncDisposable
{
    // Messages that are received and not settled, and their bytes: nothing is received beyond them.
    private const int MaxRouting = 256;
    private const long MaxRoutingBytes = 32 << 20;
    // Those of them that are tried again. The others have the rest, however many cannot be routed.
    private const int MaxAgain = 64;
    // Queues that can be reached answer in this time. So long the next messages wait for those before, and one that is tried again for its
    // place.
    private static readonly TimeSpan AnswerTime = TimeSpan.FromMilliseconds(100);
    private static readonly TimeSpan MaxWait = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(500);
    // The shortest and longest waits of a message that could not be routed.
    private static readonly TimeSpan MinAgainPause = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan MaxAgainPause = TimeSpan.FromMinutes(1);

    private readonly CancellationTokenSource _stop = new();
    private readonly QueueRegistry _registry;
    private readonly string _virtualHost;
    private readonly LogQueue _queue;
    private readonly PartialRoutes _partial = new();
    private readonly SemaphoreSlim _again = new(MaxAgain);
    private readonly ExchangePlaces _places = new();
    // What is being published, by its position: what comes again meanwhile, as after a change of the topic's leader, has the same outcome.
    // A topic that is deleted and created again, by another broker too, has other messages at its positions.
    private readonly Dictionary<(Guid Queue, long Position), Task<PublishOutcome>> _publishing = [];
    private long _routingBytes;
    private readonly Task _running;

    public DueMessages(QueueRegistry registry, string virtualHost, LogQueue queue)
    {
        (_registry, _virtualHost, _queue) = (registry, virtualHost, queue);
        _running = Task.Run(RunAsync);
    }

    /// <summary>The topic that schedules append to.</summary>
    public string Topic => _queue.Partition.Topic;

    /// <summary>Whether the topic was deleted.</summary>
    public bool HasEnded => _running.IsCompleted;

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync().ConfigureAwait(false);
        await _running.ConfigureAwait(false);
        _stop.Dispose();
    }

    private async Task RunAsync()
    {
        while (true)
        {
            try
            {
                await using var reader = await _queue.AttachAsync(0).ConfigureAwait(false);
                await RouteAllAsync(reader).ConfigureAwait(false);
            }
            catch (Exception ended) when (ended is OperationCanceledException or QueueGoneException)
            {
                return;
            }
            catch (Exception fault)
            {
                _registry.Log.Write(EngineLogLevel.Warning,
                    $"Delayed messages of virtual host '{_virtualHost}' wait: they could not be received.", fault);
            }
            await Task.Delay(Pause, _registry.Time, _stop.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            if (_stop.IsCancellationRequested)
                return;
        }
    }

    // The reader is there until all that it has received are settled.
    private async Task RouteAllAsync(IQueueReader reader)
    {
        var routing = new List<Task>();
        try
        {
            while (true)
            {
                routing.RemoveAll(static one => one.IsCompletedSuccessfully);
                if (routing.Find(static one => one.IsCompleted) is { } failed)
                    await failed.ConfigureAwait(false);
                if (routing.Count >= MaxRouting || Interlocked.Read(ref _routingBytes) >= MaxRoutingBytes)
                {
                    await Task.WhenAny(routing).WaitAsync(_stop.Token).ConfigureAwait(false);
                    continue;
                }
                // As many as an exchange has places for: the next ones begin behind them.
                var received = await reader.ReceiveAsync(Math.Min(ExchangePlaces.Most, MaxRouting - routing.Count), MaxWait, _stop.Token)
                    .ConfigureAwait(false);
                routing.AddRange(received.Select(held => RouteAsync(reader, held)));
                await Task.WhenAll(routing).WaitAsync(AnswerTime, _registry.Time, _stop.Token)
                    .ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
        }
        finally
        {
            await Task.WhenAll(routing).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    private async Task RouteAsync(IQueueReader reader, HeldMessage held)
    {
        Interlocked.Add(ref _routingBytes, held.Message.Bytes);
        PublishOutcome outcome;
        try
        {
            outcome = await PublishingAsync(held).ConfigureAwait(false);
        }
        finally
        {
            Interlocked.Add(ref _routingBytes, -held.Message.Bytes);
        }
        var isRouted = outcome is not (PublishOutcome.Unknown or PublishOutcome.Refused);
        // The reader logs a failure. What could not be routed counts as one, so that the wait grows.
        _ = reader.SettleAsync(held.Hold, isRouted ? Settlement.Accept : Settlement.Fail,
            isRouted ? default : PauseOf(held.Hold.Failures));
    }

    private Task<PublishOutcome> PublishingAsync(HeldMessage held)
    {
        lock (_publishing)
        {
            if (_publishing.TryGetValue(KeyOf(held), out var running))
                return running;
            var publishing = PublishAndForgetAsync(held);
            // Where it has completed here, it has removed itself before.
            if (!publishing.IsCompleted)
                _publishing[KeyOf(held)] = publishing;
            return publishing;
        }
    }

    private async Task<PublishOutcome> PublishAndForgetAsync(HeldMessage held)
    {
        try
        {
            return await PublishInPlaceAsync(held).ConfigureAwait(false);
        }
        finally
        {
            lock (_publishing)
                _publishing.Remove(KeyOf(held));
        }
    }

    private async Task<PublishOutcome> PublishAgainAsync(HeldMessage held)
    {
        if (!await _again.WaitAsync(AnswerTime).ConfigureAwait(false))
            return PublishOutcome.Unknown;
        try
        {
            return await PublishAsync(held).ConfigureAwait(false);
        }
        finally
        {
            _again.Release();
        }
    }

    private async Task<PublishOutcome> PublishInPlaceAsync(HeldMessage held)
    {
        if (!await _places.TryTakeAsync(held.Message.RoutedBy).ConfigureAwait(false))
            return PublishOutcome.Unknown;
        try
        {
            return held.Hold.Failures == 0 ? await PublishAsync(held).ConfigureAwait(false)
                : await PublishAgainAsync(held).ConfigureAwait(false);
        }
        finally
        {
            _places.Give(held.Message.RoutedBy);
        }
    }

    private async Task<PublishOutcome> PublishAsync(HeldMessage held)
    {
        var stored = _partial.Take(held.Hold);
        var outcome = await _registry.RouteAsync(_virtualHost, held.Message with
        {
            // What it has waited does not count to its time to live.
            Published = _registry.Time.GetUtcNow().ToUnixTimeMilliseconds(),
        }, stored).ConfigureAwait(false);
        if (outcome is PublishOutcome.Unknown or PublishOutcome.Refused)
            _partial.Keep(held.Hold, stored);
        return outcome;
    }

    private static (Guid Queue, long Position) KeyOf(HeldMessage held) => (held.Hold.Queue, held.Hold.Position);

    private static TimeSpan PauseOf(int failures) => MinAgainPause * (1 << Math.Min(failures, 6)) is var pause && pause < MaxAgainPause
        ? pause : MaxAgainPause;
}
