using OrleansMq.Partitions.Cursors;
using OrleansMq.Tests.Engine.Partitions;

namespace OrleansMq.Tests.Engine.Queues;

/// <summary>The session of a consumer that calls over a network.</summary>
public sealed class QueueSessionTests
{
    private static readonly TimeSpan Timeout = TimeSpan.FromSeconds(30);

    [Fact]
    public async Task Timer_that_runs_late_does_not_end_a_session_whose_call_came_and_went()
    {
        await using var rig = await PartitionRig.StartAsync();
        await rig.BeginCursorAsync();
        var (time, ends) = (new LateTimers(), 0);
        var session = new QueueSession(await rig.AttachAsync(), Timeout, time, () => ends++);
        session.Begin();
        time.Now += Timeout;
        // The timer is due, and its callback is on its way.
        Assert.True(session.TryEnter(out var call));
        call.Dispose();
        time.Run();
        Assert.Equal(0, ends);
        Assert.Equal(Timeout, time.DueIn);
        time.Now += Timeout - TimeSpan.FromTicks(1);
        // It may be a little early.
        time.Run();
        Assert.Equal((0, TimeSpan.FromMilliseconds(1)), (ends, time.DueIn));
        time.Now += TimeSpan.FromTicks(1);
        time.Run();
        Assert.Equal(1, ends);
    }

    private sealed class LateTimers : TimeProvider, ITimer
    {
        private Action? _callback;

        public TimeSpan Now { get; set; }
        public TimeSpan DueIn { get; private set; }
        public override long TimestampFrequency => TimeSpan.TicksPerSecond;

        public override long GetTimestamp() => Now.Ticks;

        public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
        {
            _callback = () => callback(state);
            return this;
        }

        public void Run() => _callback!();

        public bool Change(TimeSpan dueTime, TimeSpan period)
        {
            DueIn = dueTime;
            return true;
        }

        public void Dispose()
        {
        }

        public ValueTask DisposeAsync() => ValueTask.CompletedTask;
    }
}
