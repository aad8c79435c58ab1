using OrleansMq.Diagnostics;
using OrleansMq.Records;

namespace OrleansMq.Replication.Links;

/// <summary>
/// The way to one other broker: what is to be sent collects in one bundle while others are under way, so that the more there is to say, the fewer calls
/// say it. Batches are read only when there is room for them here, so a slow broker costs a bounded amount of memory, however many partitions it follows.
/// Nothing is sent twice: what is lost with a call that fails, the roles send again.
/// </summary>
internal sealed class ReplicaLink
{
    /// <summary>Bundles under way: one is written down over there, one is on its way, and the rest hides the way back.</summary>
    private const int MaxInFlight = 4;
    /// <summary>With so many under way a small bundle waits: it grows meanwhile, and the next answer is near.</summary>
    private const int MaxSmallInFlight = 1;
    /// <summary>What is no longer small.</summary>
    private const int SmallBytes = 64 << 10;
    /// <summary>Batches are read while less than this waits: with a push of 1 MiB on top, and a larger batch now and then, a bundle stays near 4 MB.</summary>
    private const int FillBelowBytes = 1 << 20;
    /// <summary>What waits beyond this is dropped: answers and heartbeats of ten thousand partitions take a few MB.</summary>
    private const int MaxWaitingBytes = 16 << 20;
    /// <summary>What is throttled is looked at again after so long.</summary>
    private static readonly TimeSpan LongestThrottle = TimeSpan.FromSeconds(1);
    /// <summary>A call that takes longer is given up.</summary>
    private static readonly TimeSpan DeliveryTimeout = TimeSpan.FromSeconds(10);

    private readonly ReplicaLinks _links;
    private readonly int _broker;
    private readonly IReplicationHost _host;
    private readonly TimeProvider _time;
    private readonly EngineLog _log;
    private readonly Lock _lock = new();
    private readonly Queue<(Replica Replica, LeaderReplica Leader, FillPush Fill)> _fills = new();
    // Those of replicas that catch up, until the throttle lets them: the others must not wait behind them.
    private readonly Queue<(Replica Replica, LeaderReplica Leader, FillPush Fill)> _throttled = new();
    private PooledBuffer _waiting = new();
    private int _inFlight;
    private bool _filling;
    private volatile bool _failing;
    private TaskCompletionSource? _idle;

    /// <summary>A link with nothing to say yet.</summary>
    public ReplicaLink(ReplicaLinks links, int broker, IReplicationHost host, TimeProvider time, EngineLog log) =>
        (_links, _broker, _host, _time, _log) = (links, broker, host, time, log);

    /// <summary>Adds a message to what goes out next.</summary>
    public void Send(ReplicaKey key, ReplicationMessage message)
    {
        lock (_lock)
        {
            if (_links.IsClosed || (_waiting.Length > 0 && _waiting.Length + BundleWriter.SizeOf(message) > MaxWaitingBytes))
                return;
            BundleWriter.Add(_waiting, key, message);
        }
        SendWhatWaits();
    }

    /// <summary>Has batches read for a push, in its turn.</summary>
    public void Fill(Replica replica, LeaderReplica leader, FillPush fill)
    {
        lock (_lock)
            _fills.Enqueue((replica, leader, fill));
        StartFilling();
    }

    /// <summary>Completes when nothing is under way any more.</summary>
    public Task CloseAsync()
    {
        lock (_lock)
        {
            if (_inFlight == 0)
                return Task.CompletedTask;
            _idle ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            return _idle.Task;
        }
    }

    private void SendWhatWaits()
    {
        PooledBuffer? bundle;
        while ((bundle = TakeBundle()) is not null)
            _ = DeliverAsync(bundle);
    }

    private PooledBuffer? TakeBundle()
    {
        lock (_lock)
        {
            if (_waiting.Length == 0 || _inFlight >= (_waiting.Length < SmallBytes ? MaxSmallInFlight : MaxInFlight))
                return null;
            var bundle = _waiting;
            _waiting = new PooledBuffer();
            _inFlight++;
            return bundle;
        }
    }

    private async Task DeliverAsync(PooledBuffer bundle)
    {
        // Not on the thread of whoever had something to say.
        await Task.CompletedTask.ConfigureAwait(ConfigureAwaitOptions.ForceYielding);
        StartFilling();
        try
        {
            if (_host.IsAlive(_broker) && !_links.IsClosed)
            {
                using var timeout = new CancellationTokenSource(DeliveryTimeout, _time);
                using var either = CancellationTokenSource.CreateLinkedTokenSource(timeout.Token, _links.Closing);
                var answers = await _host.DeliverAsync(_broker, bundle.WrittenMemory, either.Token).ConfigureAwait(false);
                _failing = false;
                if (!_links.IsClosed)
                    _links.OnAnswers(_broker, answers);
            }
        }
        catch (Exception fault)
        {
            // Told once, until something arrives again.
            if (!_failing && !_links.IsClosed)
                _log.Write(EngineLogLevel.Information, $"Broker {_broker} was not reached: {fault.Message}");
            _failing = true;
        }
        bundle.Dispose();
        lock (_lock)
        {
            _inFlight--;
            if (_inFlight == 0)
                _idle?.TrySetResult();
        }
        SendWhatWaits();
        StartFilling();
    }

    // For a broker that is not there nothing is read, or its partitions would be, again and again: heartbeats find out when it is back.
    private bool MayFill => _waiting.Length < FillBelowBytes && !_failing && _host.IsAlive(_broker);

    private void StartFilling()
    {
        lock (_lock)
        {
            if (_filling || _fills.Count == 0 || !MayFill)
                return;
            _filling = true;
        }
        ThreadPool.UnsafeQueueUserWorkItem(static link => link.FillWhatFits(), this, preferLocal: false);
    }

    private void FillWhatFits()
    {
        while (true)
        {
            (Replica Replica, LeaderReplica Leader, FillPush Fill) next;
            lock (_lock)
            {
                if (!MayFill || !_fills.TryDequeue(out next))
                {
                    _filling = false;
                    return;
                }
                if (next.Fill.IsCatchUp && _links.CatchUp.Wait() is var wait && wait > TimeSpan.Zero)
                {
                    _throttled.Enqueue(next);
                    if (_throttled.Count == 1)
                        _ = LetOnAsync(wait); // May be at it at once, where the wait is next to nothing.
                    continue;
                }
            }
            next.Replica.Fill(next.Leader, next.Fill);
        }
    }

    // Looked at again before a long wait is over: the limit may have been lifted.
    private async Task LetOnAsync(TimeSpan wait)
    {
        await Task.Delay(wait < LongestThrottle ? wait : LongestThrottle, _time, _links.Closing).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        lock (_lock)
        {
            while (_throttled.TryDequeue(out var next))
                _fills.Enqueue(next);
        }
        if (!_links.IsClosed)
            StartFilling();
    }
}
