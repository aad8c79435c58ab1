using OrleansMq.Partitions;
using OrleansMq.Timing;

namespace OrleansMq.Gateways.Kafka.Partitions;

/// <summary>
/// When fetches that wait are to be answered at the latest: one timer for all of them, set for whatever is due first. A wait that ended
/// otherwise is dropped when its time comes, so that ending one costs nothing. Thread safe.
/// </summary>
internal sealed class FetchDeadlines : IDisposable
{
    private readonly Lock _lock = new();
    private readonly PriorityQueue<FetchWait, long> _due = new();
    private readonly TimeProvider _clock;
    private readonly WakeTimer _timer;
    private long _armedFor = long.MaxValue;

    public FetchDeadlines(TimeProvider clock)
    {
        _clock = clock;
        _timer = new WakeTimer(clock, Expire);
    }

    /// <summary>Wakes a fetch when <paramref name="time"/> is over.</summary>
    public void Add(FetchWait wait, TimeSpan time)
    {
        lock (_lock)
        {
            var due = _clock.GetTimestamp() + (long)(time.TotalSeconds * _clock.TimestampFrequency);
            _due.Enqueue(wait, due);
            Arm(due);
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _timer.Dispose();
        lock (_lock)
        {
            while (_due.TryDequeue(out var wait, out _))
                wait.Wake();
        }
    }

    private void Expire()
    {
        lock (_lock)
        {
            _armedFor = long.MaxValue;
            var now = _clock.GetTimestamp();
            while (_due.TryPeek(out var wait, out var due))
            {
                if (due > now && !wait.IsOver)
                {
                    Arm(due);
                    return;
                }
                _due.Dequeue();
                wait.Wake();
            }
        }
    }

    private void Arm(long due)
    {
        if (due >= _armedFor)
            return;
        _armedFor = due;
        var now = _clock.GetTimestamp();
        _timer.Set(_clock.GetElapsedTime(now, due), now);
    }
}
