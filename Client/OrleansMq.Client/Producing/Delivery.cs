using System.Collections.Concurrent;
using System.Threading.Tasks.Sources;

namespace OrleansMq.Client;

/// <summary>
/// The result source of one awaited record, pooled. It is completed by the producer with a report, or by the caller's token with a
/// cancellation; the first one wins. It returns to its pool when its result was taken and the producer is done with it too, which is never
/// the case after a cancellation.
/// </summary>
internal sealed class Delivery : IValueTaskSource<DeliveryReport>, IValueTaskSource<StampedReport>
{
    // One pool per process, bounded: further objects are garbage collected.
    private const int MaxPooled = 8192;
    private static readonly ConcurrentQueue<Delivery> Pool = new();
    private static int _pooled;

    private const int Waiting = 0;
    private const int Ended = 1;

    private ManualResetValueTaskSourceCore<DeliveryReport> _core = new() { RunContinuationsAsynchronously = true };
    private int _state;
    private bool _isAppendTime;
    private bool _cancelled;
    private CancellationToken _token;
    private CancellationTokenRegistration _registration;
    private PendingRecord? _pending;

    public static Delivery Rent()
    {
        if (!Pool.TryDequeue(out var delivery))
            return new Delivery();
        Interlocked.Decrement(ref _pooled);
        return delivery;
    }

    public ValueTask<DeliveryReport> Task => new(this, _core.Version);

    /// <summary>The same with where the report's time is from. One of the two is awaited.</summary>
    public ValueTask<StampedReport> Stamped => new(this, _core.Version);

    /// <summary>From here on the token can cancel the wait. <paramref name="pending"/> is the record to withdraw if it waits for
    /// room.</summary>
    public void ObserveCancellation(CancellationToken token, PendingRecord? pending)
    {
        if (!token.CanBeCanceled)
            return;
        _token = token;
        _pending = pending;
        _registration = token.UnsafeRegister(static state => ((Delivery)state!).OnCancelled(), this);
    }

    /// <summary>Completes the wait with a report. Called once, by the producer.</summary>
    /// <param name="report">The report.</param>
    /// <param name="isAppendTime">Whether its time is that of the append.</param>
    public void Complete(in DeliveryReport report, bool isAppendTime)
    {
        if (Interlocked.Exchange(ref _state, Ended) != Waiting)
            return;
        _isAppendTime = isAppendTime;
        if (report.Error is { } error)
            _core.SetException(error);
        else
            _core.SetResult(report);
    }

    DeliveryReport IValueTaskSource<DeliveryReport>.GetResult(short token) => GetResult(token).Report;

    StampedReport IValueTaskSource<StampedReport>.GetResult(short token) => GetResult(token);

    private StampedReport GetResult(short token)
    {
        var version = _core.Version;
        try
        {
            return new StampedReport(_core.GetResult(token), _isAppendTime);
        }
        finally
        {
            // A wrong token threw above. The object then belongs to another caller and stays untouched.
            if (token == version)
                Return();
        }
    }

    /// <inheritdoc/>
    public ValueTaskSourceStatus GetStatus(short token) => _core.GetStatus(token);

    /// <inheritdoc/>
    public void OnCompleted(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        _core.OnCompleted(continuation, state, token, flags);

    private void OnCancelled()
    {
        if (Interlocked.Exchange(ref _state, Ended) != Waiting)
            return;
        _cancelled = true;
        _pending?.Topic.Producer.Withdraw(_pending);
        _core.SetException(new OperationCanceledException("The wait for a record's delivery was cancelled; the record may be delivered "
            + "nevertheless.", _token));
    }

    private void Return()
    {
        // Waits for a running callback, so that it cannot touch the object's next use.
        _registration.Dispose();
        _registration = default;
        if (_cancelled || Volatile.Read(ref _pooled) >= MaxPooled)
            return;
        _token = default;
        _pending = null;
        _core.Reset();
        Volatile.Write(ref _state, Waiting);
        Interlocked.Increment(ref _pooled);
        Pool.Enqueue(this);
    }
}
