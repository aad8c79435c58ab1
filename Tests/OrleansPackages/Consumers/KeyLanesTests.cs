using OrleansMq.Consumers;

namespace OrleansMq.Tests.OrleansPackages.Consumers;

/// <summary>The lanes of a dispatcher: which events are delivered together, and which go back after a failure.</summary>
public sealed class KeyLanesTests
{
    private static readonly IdSpan One = IdSpan.Create("1");
    private static readonly IdSpan Two = IdSpan.Create("2");
    private static readonly object Consumer = new();

    // The size of a message is its number, above a hundred.
    private const int MaxTaken = 1_000;
    private readonly KeyLanes<int> _lanes = new(static message => message > 100 ? message : 0, MaxTaken);

    [Fact]
    public void Events_of_one_run_are_taken_together_and_a_lane_without_events_is_over()
    {
        var lane = Add(One, 1, 10, out _);
        Assert.NotNull(lane);
        Assert.NotNull(Add(Two, 1, 11, out _));
        Assert.Null(Add(One, 1, 12, out _));
        Assert.Null(Add(One, 2, 13, out _));
        Assert.Equal([10, 12], Take(lane));
        Assert.Equal([13], Take(lane));
        Assert.Empty(Take(lane));
        // The next event needs a worker.
        Assert.NotNull(Add(One, 3, 14, out _));
    }

    [Fact]
    public void Events_after_a_failed_one_of_their_run_go_back_also_when_they_come_later()
    {
        var lane = Add(One, 1, 10, out _)!;
        Add(Two, 1, 11, out _);
        Assert.Equal([10], Take(lane));
        Add(One, 1, 12, out _);
        Assert.Equal([12], _lanes.Break(lane, isUncounted: false));
        Add(One, 1, 13, out var isBroken);
        Assert.True(isBroken);
        Assert.Null(Add(Two, 1, 14, out isBroken));
        Assert.False(isBroken);
        Assert.Empty(Take(lane));
        // The next run begins with the one that failed.
        lane = Add(One, 2, 10, out isBroken)!;
        Assert.False(isBroken);
        Assert.Equal([10], Take(lane));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Event_that_comes_after_one_that_was_not_served_counts_as_that_one_does(bool isUncounted)
    {
        var lane = Add(One, 1, 10, out _)!;
        Assert.Equal([10], Take(lane));
        Assert.Empty(_lanes.Break(lane, isUncounted));
        Assert.Null(_lanes.Add(0, One, (Consumer, 1), 11, out var isBroken, out var isUncountedToo));
        Assert.Equal((true, isUncounted), (isBroken, isUncountedToo));
    }

    [Fact]
    public void Failure_in_an_earlier_run_holds_back_nothing_of_a_later_one()
    {
        var lane = Add(One, 1, 10, out _)!;
        Assert.Equal([10], Take(lane));
        // Its consumer has ended, and another one received the events.
        Add(One, 2, 10, out _);
        Assert.Empty(_lanes.Break(lane, isUncounted: false));
        Add(One, 2, 11, out var isBroken);
        Assert.False(isBroken);
        Assert.Equal([10, 11], Take(lane));
    }

    [Fact]
    public void Events_beyond_what_a_call_takes_are_taken_next_and_the_first_one_whatever_its_size()
    {
        const int Half = MaxTaken / 2;
        var lane = Add(One, 1, Half, out _)!;
        foreach (var message in (int[])[Half, 101, 3 * Half, 102])
            Add(One, 1, message, out _);
        Assert.Equal([Half, Half], Take(lane));
        Assert.Equal([101], Take(lane));
        Assert.Equal([3 * Half], Take(lane));
        Assert.Equal([102], Take(lane));
        // They are of one run: what was not taken yet goes back with the one that failed.
        Add(One, 2, Half + 1, out _);
        Add(One, 2, Half + 2, out _);
        Assert.Equal([Half + 1], Take(lane));
        Assert.Equal([Half + 2], _lanes.Break(lane, isUncounted: false));
    }

    private KeyLanes<int>.Lane? Add(IdSpan key, long run, int message, out bool isBroken) =>
        _lanes.Add(0, key, (Consumer, run), message, out isBroken, out _);

    private List<int> Take(KeyLanes<int>.Lane lane) => _lanes.Take(lane);
}
