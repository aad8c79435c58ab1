using OrleansMq.Records;

namespace OrleansMq.Replication.Links;

/// <summary>
/// One lane of a <see cref="ReplicaLink"/>: what is to be sent collects in one bundle while others are under way, so that the more there is
/// to say, the fewer calls say it. Batches are read only when there is room for them here, so a slow broker costs a bounded amount of
/// memory, however many partitions it follows. Nothing is sent twice: what is lost with a call that fails, the roles send again.
/// </summary>
internal sealed class LinkLane(ReplicaLink link, ReplicaLinks links, TimeProvider time, PushLane lane)
{
    /// <summary>Bundles under way: one is written down over there, one is on its way, and the rest hides the way back.</summary>
    private const int MaxInFlight = 4;
    /// <summary>With so many under way a small bundle waits: it grows meanwhile, and the next answer is near.</summary>
    private const int MaxSmallInFlight = 1;
    /// <summary>What is no longer small.</summary>
    private const int SmallBytes = 64 << 10;
    /// <summary>Batches are read while less than this waits: with a push of 1 MiB on top, and a larger batch now and then, a bundle stays
    /// near 4 MB.</summary>
    private const int FillBelowBytes = 1 << 20;
    /// <summary>The most that is read for one push, unless its first batch is larger: enough for a disk's speed, not so much that it stands
    /// in the way of others.</summary>
    private const int MaxPushBytes = 1 << 20;
    /// <summary>What waits beyond this is dropped: answers and heartbeats of ten thousand partitions take a few MB.</summary>
    private const int MaxWaitingBytes = 16 << 20;
    /// <summary>Who has to wait is looked at again after so long: a limit may have been lifted.</summary>
    private static readonly TimeSpan LongestWait = TimeSpan.FromSeconds(1);
    /// <summary>A call that takes longer is given up.</summary>
    private static readonly TimeSpan DeliveryTimeout = TimeSpan.FromSeconds(10);

    private readonly bool _givesWay = lane == PushLane.CatchUp;
    private readonly Lock _lock = new();
    private readonly Queue<(Replica Replica, LeaderReplica Leader, FillPush Fill)> _fills = new();
    private PooledBuffer _waiting = new();
    private int _inFlight;
    private bool _filling;
    private bool _resting;
    // Whether the other broker has live traffic, as it said last. As long as it has said nothing: perhaps.
    private volatile bool _isLiveThere = true;
    private TaskCompletionSource? _idle;

    /// <summary>Adds a message to what goes out next.</summary>
    public void Send(ReplicaKey key, ReplicationMessage message)
    {
        lock (_lock)
        {
            if (links.IsClosed || (_waiting.Length > 0 && _waiting.Length + BundleWriter.SizeOf(message) > MaxWaitingBytes))
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

    /// <summary>Reads what is to be read, where there is room for it.</summary>
    public void StartFilling()
    {
        lock (_lock)
        {
            if (_filling || _resting || _fills.Count == 0 || !MayFill)
                return;
            _filling = true;
        }
        ThreadPool.UnsafeQueueUserWorkItem(static lane => lane.FillWhatFits(), this, preferLocal: false);
    }

    // Catch-up where there is live traffic, here or there: one small push at a time, so that nobody waits long for it, and what it takes
    // can be measured.
    private bool GivesWay => _givesWay && (links.Pace.IsLive || (_isLiveThere && links.Pace.LiveShare < CatchUpPace.WholeTime));

    private bool MayFill => link.IsReachable && (GivesWay ? _waiting.Length == 0 && _inFlight == 0 : _waiting.Length < FillBelowBytes);

    private int MostInFlight => GivesWay ? 1 : _waiting.Length < SmallBytes ? MaxSmallInFlight : MaxInFlight;

    // What somebody waits for is neither limited nor rested from.
    private TimeSpan Wait()
    {
        var throttle = lane == PushLane.Live ? TimeSpan.Zero : links.CatchUp.Wait();
        return _givesWay && links.Pace.Wait() is var rest && rest > throttle ? rest : throttle;
    }

    private int MostBytes() =>
        lane == PushLane.Live ? MaxPushBytes : links.CatchUp.Portion(GivesWay ? CatchUpPace.LivePushBytes : MaxPushBytes);

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
            if (_waiting.Length == 0 || _inFlight >= MostInFlight)
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
        if (_givesWay)
            BundleFormat.Mark(bundle.WrittenSpan, BundleMarks.CatchUp);
        var began = time.GetTimestamp();
        var isFree = true;
        try
        {
            using var timeout = new CancellationTokenSource(DeliveryTimeout, time);
            using var either = CancellationTokenSource.CreateLinkedTokenSource(timeout.Token, links.Closing);
            var answers = await link.DeliverAsync(bundle.WrittenMemory, either.Token).ConfigureAwait(false);
            if (_givesWay && !answers.IsEmpty)
                _isLiveThere = BundleFormat.MarksOf(answers.Span).HasFlag(BundleMarks.SenderIsLive);
        }
        catch (Exception fault)
        {
            link.Failed(fault);
            // It may be on its way still: the memory is left to the garbage collector, or another bundle's bytes would be sent in its
            // place.
            isFree = false;
        }
        if (isFree)
            bundle.Dispose();
        if (_givesWay)
            links.Pace.Worked(time.GetElapsedTime(began));
        lock (_lock)
        {
            _inFlight--;
            if (_inFlight == 0)
                _idle?.TrySetResult();
        }
        SendWhatWaits();
        StartFilling();
    }

    private void FillWhatFits()
    {
        while (true)
        {
            (Replica Replica, LeaderReplica Leader, FillPush Fill) next;
            lock (_lock)
            {
                var wait = Wait();
                if (wait > TimeSpan.Zero || !MayFill || !_fills.TryDequeue(out next))
                {
                    _filling = false;
                    _resting = wait > TimeSpan.Zero && _fills.Count > 0;
                    if (_resting)
                        _ = LetOnAsync(wait);
                    return;
                }
            }
            var began = time.GetTimestamp();
            next.Replica.Fill(next.Leader, next.Fill, MostBytes());
            if (_givesWay)
                links.Pace.Worked(time.GetElapsedTime(began));
        }
    }

    private async Task LetOnAsync(TimeSpan wait)
    {
        await Task.Delay(wait < LongestWait ? wait : LongestWait, time,
            links.Closing).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing | ConfigureAwaitOptions.ForceYielding);
        lock (_lock)
            _resting = false;
        if (!links.IsClosed)
            StartFilling();
    }
}
