namespace OrleansMq.Consumers;

/// <summary>
/// Finds calls that are lost: a request or an answer is lost where the connection of two live silos breaks. A call without an
/// answer is asked about at its grain, by a question that waits behind the calls that the grain has. A grain that then has no such delivery
/// has answered it, or never had it. Most calls are answered before that: they share one timer. Thread-safe.
/// </summary>
internal sealed class LostCalls
{
    /// <summary>How long a call has no answer before its grain is asked, and asked again.</summary>
    public static readonly TimeSpan DefaultInterval = TimeSpan.FromSeconds(10);

    // A call is asked about at most half an interval late.
    private const int LooksPerInterval = 2;
    // Of the interval: how long an answer may arrive after that of a question.
    private const int GraceShare = 10;

    private readonly IGrainFactory _grains;
    private readonly TimeSpan _interval;
    private readonly TimeProvider _time;
    private readonly Lock _lock = new();
    private readonly HashSet<PendingCall> _calls = [];
    // Is set while there are calls. One that is not set holds nothing, so it needs no disposal.
    private readonly ITimer _timer;
    private bool _isLooking;

    /// <summary>Creates it.</summary>
    /// <param name="grains">The grains.</param>
    /// <param name="interval">How long a call has no answer before its grain is asked, and asked again.</param>
    /// <param name="time">The clock.</param>
    public LostCalls(IGrainFactory grains, TimeSpan interval, TimeProvider time)
    {
        (_grains, _interval, _time) = (grains, interval, time);
        _timer = time.CreateTimer(static calls => ((LostCalls)calls!).Look(), this, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
    }

    /// <summary>Begins to wait for the answer of a call. It is asked about until that is disposed of.</summary>
    /// <param name="grain">The grain.</param>
    /// <param name="delivery">What it is called for.</param>
    /// <param name="call">The call.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    public PendingCall Begin(GrainId grain, IGrainDelivery delivery, Task<DeliveryAnswer> call, CancellationToken cancellationToken)
    {
        var pending = new PendingCall(this, grain, delivery, call, cancellationToken);
        if (pending.HasEnded)
            return pending;
        lock (_lock)
        {
            pending.Since = _time.GetTimestamp();
            _calls.Add(pending);
            if (!_isLooking)
                LookLater();
        }
        return pending;
    }

    /// <summary>A call is waited for no more.</summary>
    public void End(PendingCall call)
    {
        lock (_lock)
            _calls.Remove(call);
    }

    private void LookLater()
    {
        _isLooking = true;
        _timer.Change(_interval / LooksPerInterval, Timeout.InfiniteTimeSpan);
    }

    private void Look()
    {
        var late = new List<PendingCall>();
        lock (_lock)
        {
            _isLooking = false;
            if (_calls.Count == 0)
                return;
            LookLater();
            var now = _time.GetTimestamp();
            foreach (var call in _calls)
            {
                if (call.Since is not { } since || _time.GetElapsedTime(since, now) < _interval)
                    continue;
                call.Since = null;
                late.Add(call);
            }
        }
        foreach (var call in late)
            _ = AskAsync(call);
    }

    private async Task AskAsync(PendingCall call)
    {
        if (await IsLostAsync(call).ConfigureAwait(false))
        {
            // The grain may have answered the call just before the question.
            await Task.WhenAny(call.Answer, Task.Delay(_interval / GraceShare, _time)).ConfigureAwait(false);
            call.Lose();
        }
        lock (_lock)
            call.Since = _time.GetTimestamp();
    }

    private async Task<bool> IsLostAsync(PendingCall call)
    {
        try
        {
            // A grain at work answers this one at once. The other question would time out behind the work.
            var current = await call.Delivery.FindCurrentAsync(_grains, call.Grain).ConfigureAwait(false);
            if (call.HasEnded || (current is { } offset && call.Delivery.Offsets.Contains(offset)))
                return false;
            return !await call.Delivery.IsDeliveringAsync(_grains, call.Grain).ConfigureAwait(false);
        }
        catch (Exception)
        {
            // It cannot tell now: the grain is busy or begins, or its silo is of an earlier version. An activation that fails throws what
            // it likes.
            return false;
        }
    }
}
