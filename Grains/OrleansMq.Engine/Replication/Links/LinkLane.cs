using OrleansMq.Records;

namespace OrleansMq.Replication.Links;

/// <summary>
/// One lane of a <see cref="ReplicaLink"/>. Messages collect in one bundle while others are in flight, so that more messages need fewer
/// calls. Batches are read only when there is room for them here, so a slow broker takes a bounded amount of memory, however many
/// partitions it follows. The lane never resends: the roles send again what a failed call lost.
/// </summary>
internal sealed class LinkLane(ReplicaLink link, ReplicaLinks links, TimeProvider time, PushLane lane)
{
    /// <summary>The most bundles in flight: one being written by the receiver, one on its way, and the others to hide the round
    /// trip.</summary>
    private const int MaxInFlight = 4;
    /// <summary>With this many in flight a small bundle waits for a broker that is near: it grows meanwhile, and the next answer is not
    /// far.</summary>
    private const int MaxSmallInFlight = 1;
    /// <summary>The round trip from which a broker is not near: waiting for the answer would cost an append more time than calls cost the
    /// processor. Calls within a rack take less, those between availability zones often more.</summary>
    private static readonly TimeSpan LongRoundTrip = TimeSpan.FromMilliseconds(1);
    /// <summary>The size from which a bundle is no longer small.</summary>
    private const int SmallBytes = 64 << 10;
    /// <summary>Batches are read while fewer bytes than this wait. With a push of 1 MiB on top, and occasionally a larger batch, a bundle
    /// stays near 4 MB.</summary>
    private const int FillBelowBytes = 1 << 20;
    /// <summary>The most bytes read for one push, unless its first batch is larger: enough for the disk's full speed, but not so much that
    /// it delays others.</summary>
    private const int MaxPushBytes = 1 << 20;
    /// <summary>The most pushes of a bundle that gives way: enough to serve many partitions with little traffic at a time, and few enough
    /// that the other broker takes them within some milliseconds.</summary>
    private const int MaxPushesGivingWay = 64;
    /// <summary>How long a bundle that gives way is filled: reads of a slow disk are a few to a bundle.</summary>
    private static readonly TimeSpan LongestFilling = TimeSpan.FromMilliseconds(20);
    /// <summary>The most waiting bytes; messages beyond it are dropped. Answers and heartbeats of ten thousand partitions take a few
    /// MB.</summary>
    private const int MaxWaitingBytes = 16 << 20;
    /// <summary>The interval of checks whether waiting work may proceed, since a limit may have been lifted.</summary>
    private static readonly TimeSpan LongestWait = TimeSpan.FromSeconds(1);
    /// <summary>The time limit of a call.</summary>
    private static readonly TimeSpan DeliveryTimeout = TimeSpan.FromSeconds(10);

    private readonly bool _givesWay = lane == PushLane.CatchUp;
    private readonly Lock _lock = new();
    private readonly Queue<(Replica Replica, LeaderReplica Leader, FillPush Fill)> _fills = new();
    private readonly ShortestRoundTrip _roundTrip = new();
    private readonly long _began = time.GetTimestamp();
    private PooledBuffer _waiting = new();
    private int _inFlight;
    private bool _filling;
    private bool _resting;
    // Whether the other broker has live traffic, by its last answer. Before an answer it is assumed.
    private volatile bool _isLiveThere = true;
    private TaskCompletionSource? _idle;

    /// <summary>Adds a message to the next bundle.</summary>
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

    /// <summary>Queues a read of batches for a push.</summary>
    public void Fill(Replica replica, LeaderReplica leader, FillPush fill)
    {
        lock (_lock)
            _fills.Enqueue((replica, leader, fill));
        StartFilling();
    }

    /// <summary>Completes when nothing is in flight any more.</summary>
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

    /// <summary>Starts queued reads, as far as there is room.</summary>
    public void StartFilling()
    {
        lock (_lock)
        {
            if (_filling || _resting || _fills.Count == 0 || !MayFill(0, time.GetTimestamp()))
                return;
            _filling = true;
        }
        ThreadPool.UnsafeQueueUserWorkItem(static lane => lane.FillWhatFits(), this, preferLocal: false);
    }

    // With live traffic, here or there, catch-up sends one small bundle at a time. So no live push waits long for it, and its duration can
    // be measured.
    private bool GivesWay => _givesWay && (links.Pace.IsLive || (_isLiveThere && links.Pace.LiveShare < CatchUpPace.WholeTime));

    // A bundle that gives way is filled before it is sent. Each of its pushes has room for a good part of it.
    private bool MayFill(int pushes, long began) => link.IsReachable && (GivesWay
        ? _inFlight == 0 && pushes < MaxPushesGivingWay && time.GetElapsedTime(began) < LongestFilling
            && _waiting.Length < CatchUpPace.LiveBundleBytes / 2
        : _waiting.Length < FillBelowBytes);

    private int MostInFlight => GivesWay ? _filling ? 0 : 1
        : _waiting.Length < SmallBytes && !_roundTrip.IsAtLeast(LongRoundTrip) ? MaxSmallInFlight
        : MaxInFlight;

    // The live lane is neither limited nor rests.
    private TimeSpan Wait()
    {
        var throttle = lane == PushLane.Live ? TimeSpan.Zero : links.CatchUp.Wait();
        return _givesWay && links.Pace.Wait() is var rest && rest > throttle ? rest : throttle;
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
        // Not on the sender's thread.
        await Task.CompletedTask.ConfigureAwait(ConfigureAwaitOptions.ForceYielding);
        StartFilling();
        if (_givesWay)
            BundleFormat.Mark(bundle.WrittenSpan, BundleMarks.CatchUp);
        var began = time.GetTimestamp();
        var (isFree, isAnswered) = (true, false);
        try
        {
            using var timeout = new CancellationTokenSource(DeliveryTimeout, time);
            using var either = CancellationTokenSource.CreateLinkedTokenSource(timeout.Token, links.Closing);
            var answers = await link.DeliverAsync(bundle.WrittenMemory, either.Token).ConfigureAwait(false);
            if (_givesWay && !answers.IsEmpty)
                _isLiveThere = BundleFormat.MarksOf(answers.Span).HasFlag(BundleMarks.SenderIsLive);
            // What could not be sent takes no time.
            isAnswered = !answers.IsEmpty;
        }
        catch (Exception fault)
        {
            link.Failed(fault);
            // The bundle may still be on its way. Its memory is left to the garbage collector, since reusing it could send another bundle's
            // bytes.
            isFree = false;
        }
        if (isFree)
            bundle.Dispose();
        var took = time.GetElapsedTime(began);
        if (_givesWay)
            links.Pace.Worked(took);
        lock (_lock)
        {
            if (isAnswered)
                _roundTrip.Took(time.GetElapsedTime(_began), took);
            _inFlight--;
            if (_inFlight == 0)
            {
                _idle?.TrySetResult();
                _idle = null;
            }
        }
        SendWhatWaits();
        StartFilling();
    }

    private void FillWhatFits()
    {
        var began = time.GetTimestamp();
        for (var pushes = 0; ; pushes++)
        {
            (Replica Replica, LeaderReplica Leader, FillPush Fill) next;
            int room;
            lock (_lock)
            {
                // Of one bundle all is read, unless bytes are limited.
                var wait = pushes > 0 && GivesWay ? links.CatchUp.Wait() : Wait();
                if (wait > TimeSpan.Zero || !MayFill(pushes, began) || !_fills.TryDequeue(out next))
                {
                    _filling = false;
                    _resting = wait > TimeSpan.Zero && _fills.Count > 0;
                    if (_resting)
                        _ = LetOnAsync(wait);
                    break;
                }
                room = GivesWay ? CatchUpPace.LiveBundleBytes - _waiting.Length : MaxPushBytes;
            }
            next.Replica.Fill(next.Leader, next.Fill, lane == PushLane.Live ? MaxPushBytes : links.CatchUp.Portion(room));
        }
        if (!_givesWay)
            return;
        links.Pace.Worked(time.GetElapsedTime(began));
        SendWhatWaits();
        // Where no push came of what was read, nothing is in flight, and no answer goes on.
        StartFilling();
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
