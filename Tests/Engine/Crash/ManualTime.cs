namespace OrleansMq.Tests.Engine.Crash;

/// <summary>A clock that advances on command.</summary>
public sealed class ManualTime(long nowMs = 1_700_000_000_000) : TimeProvider
{
    private long _nowMs = nowMs;

    /// <summary>Milliseconds since 1970.</summary>
    public long NowMs => Interlocked.Read(ref _nowMs);

    public override long TimestampFrequency => 1000;

    public override long GetTimestamp() => NowMs;

    public override DateTimeOffset GetUtcNow() => DateTimeOffset.FromUnixTimeMilliseconds(NowMs);

    public void Advance(long ms) => Interlocked.Add(ref _nowMs, ms);

    /// <summary>Timers never fire; tests call the callbacks directly.</summary>
    public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period) => new NoTimer();

    private sealed class NoTimer : ITimer
    {
        public bool Change(TimeSpan dueTime, TimeSpan period) => true;

        public void Dispose()
        {
        }

        public ValueTask DisposeAsync() => default;
    }
}
