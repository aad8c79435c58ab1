using OrleansMq.Gateways.Connections;
using OrleansMq.Testing;

namespace OrleansMq.Tests.Kafka.Connections;

/// <summary>How slowly a request may arrive.</summary>
public sealed class ReceivePaceTests
{
    private readonly ManualTimeProvider _time = new();
    private readonly RequestFrame _frame = new(100 << 20);
    private readonly ReceivePace _pace;
    private bool _isScarce;

    public ReceivePaceTests()
    {
        _pace = new ReceivePace(_time);
        _frame.Grow();
    }

    [Theory]
    [InlineData(4_000, true)]
    [InlineData(5_000, false)]
    public void Frame_is_too_slow_below_the_least_rate(int bytesPerSecond, bool isTooSlow)
    {
        Assert.False(IsTooSlow());
        for (var second = 0; second < 30; second++)
        {
            Assert.False(IsTooSlow());
            Arrive(bytesPerSecond);
            _time.Advance(TimeSpan.FromSeconds(1));
        }
        Assert.Equal(isTooSlow, IsTooSlow());
    }

    [Fact]
    public void Each_window_is_measured_by_itself()
    {
        Assert.False(IsTooSlow());
        Arrive(500_000);
        _time.Advance(ReceivePace.Window);
        Assert.False(IsTooSlow());
        _time.Advance(ReceivePace.Window);
        Assert.True(IsTooSlow());
    }

    [Fact]
    public void Wait_for_memory_does_not_count()
    {
        Assert.False(IsTooSlow());
        _frame.IsWaiting = true;
        _time.Advance(2 * ReceivePace.Window);
        Assert.False(IsTooSlow());
        _frame.IsWaiting = false;
        _time.Advance(ReceivePace.Window / 2);
        Assert.False(IsTooSlow());
        _time.Advance(ReceivePace.Window / 2);
        Assert.True(IsTooSlow());
    }

    [Fact]
    public void Silent_connection_between_frames_is_not_slow()
    {
        Assert.False(_pace.Check(null, isScarce: true, out var isTooSlow) || isTooSlow);
        _time.Advance(2 * ReceivePace.Window);
        Assert.False(_pace.Check(null, isScarce: true, out isTooSlow) || isTooSlow);
    }

    [Theory]
    [InlineData(8 << 20, 60_000, true)]
    [InlineData(8 << 20, 80_000, false)]
    [InlineData(128 << 10, 5_000, false)]
    public void Frame_that_others_wait_for_must_bring_a_part_of_what_it_holds(int taken, int bytesPerSecond, bool isTooSlow)
    {
        _isScarce = true;
        _frame.Taken = taken;
        Assert.False(IsTooSlow());
        for (var second = 0; second < 30; second++)
        {
            Assert.False(IsTooSlow());
            Arrive(bytesPerSecond);
            _time.Advance(TimeSpan.FromSeconds(1));
        }
        Assert.Equal(isTooSlow, IsTooSlow());
    }

    private bool IsTooSlow()
    {
        _pace.Check(_frame, _isScarce, out var isTooSlow);
        return isTooSlow;
    }

    private void Arrive(int bytes)
    {
        while (bytes > 0)
        {
            if (_frame.MustGrow)
                _frame.Grow();
            var taken = Math.Min(bytes, _frame.Room.Length);
            _frame.Advance(taken);
            bytes -= taken;
        }
    }
}
