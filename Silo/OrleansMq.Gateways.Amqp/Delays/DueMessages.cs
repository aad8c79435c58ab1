using OrleansMq.Diagnostics;
using OrleansMq.Gateways.Amqp.Queues;

namespace OrleansMq.Gateways.Amqp.Delays;

/// <summary>Routes the due messages of a virtual host: a loop that receives them, publishes each to the queues that its exchange leads to
/// now, and settles those that every queue has. The others stay, and are tried again: those whose queue cannot be reached before all that
/// come later, those whose queue is full, or whose routing takes too many steps, after a wait that grows with each attempt.</summary>
internal sealed class DueMessages : IAsyncDisposable
{
    private const int MaxReceived = 256;
    private static readonly TimeSpan MaxWait = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(500);
    // Its shortest and longest waits where a queue is full.
    private static readonly TimeSpan MinFullPause = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan MaxFullPause = TimeSpan.FromMinutes(1);

    private readonly CancellationTokenSource _stop = new();
    private readonly QueueRegistry _registry;
    private readonly string _virtualHost;
    private readonly LogQueue _queue;
    private readonly PartialRoutes _partial = new();
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
                while (true)
                    await RouteAsync(reader).ConfigureAwait(false);
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

    // Publishes in order before it waits.
    private async Task RouteAsync(IQueueReader reader)
    {
        var received = await reader.ReceiveAsync(MaxReceived, MaxWait, _stop.Token).ConfigureAwait(false);
        var routed = received.Select(PublishAsync).ToArray();
        var isStuck = false;
        for (var i = 0; i < received.Count; i++)
        {
            var outcome = await routed[i].ConfigureAwait(false);
            isStuck |= outcome == PublishOutcome.Unknown;
            var hold = received[i].Hold;
            // The reader logs a failure. A full queue counts as one, so that the wait grows.
            _ = outcome switch
            {
                PublishOutcome.Unknown => reader.SettleAsync(hold, Settlement.Return),
                PublishOutcome.Refused => reader.SettleAsync(hold, Settlement.Fail, FullPauseOf(hold.Failures)),
                _ => reader.SettleAsync(hold, Settlement.Accept),
            };
        }
        if (isStuck)
            await Task.Delay(Pause, _registry.Time, _stop.Token).ConfigureAwait(false);
    }

    private async Task<PublishOutcome> PublishAsync(HeldMessage held)
    {
        var stored = _partial.Take(held.Hold.Position);
        var outcome = await _registry.RouteAsync(_virtualHost, held.Message with
        {
            // What it has waited does not count to its time to live.
            Published = _registry.Time.GetUtcNow().ToUnixTimeMilliseconds(),
        }, stored).ConfigureAwait(false);
        if (outcome is PublishOutcome.Unknown or PublishOutcome.Refused)
            _partial.Keep(held.Hold.Position, stored);
        return outcome;
    }

    private static TimeSpan FullPauseOf(int failures) => MinFullPause * (1 << Math.Min(failures, 6)) is var pause && pause < MaxFullPause
        ? pause : MaxFullPause;
}
