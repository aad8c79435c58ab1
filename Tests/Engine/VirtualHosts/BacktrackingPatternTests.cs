using OrleansMq.Tests.Engine.Partitions;
using OrleansMq.VirtualHosts;

namespace OrleansMq.Tests.Engine.VirtualHosts;

/// <summary>Patterns that need backtracking, with a clock and matches that a test sets.</summary>
public sealed class BacktrackingPatternTests
{
    private const string Slow = "slow";
    private const string Cheap = "cheap";

    private readonly ManualClock _clock = new();
    private readonly List<TimeSpan> _limits = [];
    private readonly BacktrackingPattern _pattern;

    public BacktrackingPatternTests() => _pattern = new BacktrackingPattern((name, limit) => Match(name, limit), _clock);

    // Replaced by tests. The names of the others are cheap, or exceed every limit.
    private Func<string, TimeSpan, bool?>? Script { get; set; }

    [Fact]
    public void Match_that_the_machine_interrupts_is_tried_again_and_counts_for_nothing()
    {
        // Wall time that passes while the thread does not run.
        Script = static (_, limit) => limit == BacktrackingPattern.Limit ? null : true;
        for (var match = 0; match < 100; match++)
            Assert.True(_pattern.TryMatch(Cheap));
        Assert.False(_pattern.IsHurried);
    }

    [Fact]
    public void Overruns_shorten_the_limits_for_a_time_and_other_names_keep_matching()
    {
        for (var overrun = 0; overrun < BacktrackingPattern.MaxOverruns; overrun++)
        {
            Assert.False(_pattern.IsHurried);
            Assert.Null(_pattern.TryMatch(Slow));
            Assert.Equal([BacktrackingPattern.Limit, BacktrackingPattern.SecondLimit], Taken());
        }
        Assert.True(_pattern.IsHurried);
        Assert.True(_pattern.TryMatch(Cheap));
        Assert.Equal([BacktrackingPattern.HurriedLimit], Taken());
        Assert.Null(_pattern.TryMatch(Slow));
        Assert.Equal([BacktrackingPattern.HurriedLimit, BacktrackingPattern.HurriedLimit], Taken());
        _clock.Advance(BacktrackingPattern.HurriedFor);
        Assert.False(_pattern.IsHurried);
        Assert.Null(_pattern.TryMatch(Slow));
        Assert.Equal([BacktrackingPattern.Limit, BacktrackingPattern.SecondLimit], Taken());
        Assert.False(_pattern.IsHurried);
    }

    [Fact]
    public void Overruns_that_are_further_apart_shorten_nothing()
    {
        for (var overrun = 0; overrun < 10; overrun++)
        {
            Assert.Null(_pattern.TryMatch(Slow));
            _clock.Advance(BacktrackingPattern.Period / (BacktrackingPattern.MaxOverruns - 1));
        }
        Assert.False(_pattern.IsHurried);
    }

    [Fact]
    public void Second_attempt_that_answers_late_is_an_overrun()
    {
        Script = (_, limit) =>
        {
            _clock.Advance(limit == BacktrackingPattern.Limit ? limit : 2 * BacktrackingPattern.Limit);
            return limit == BacktrackingPattern.Limit ? null : true;
        };
        for (var match = 0; match < BacktrackingPattern.MaxOverruns; match++)
            Assert.True(_pattern.TryMatch(Cheap));
        Assert.True(_pattern.IsHurried);
    }

    private bool? Match(string name, TimeSpan limit)
    {
        _limits.Add(limit);
        return Script is { } script ? script(name, limit) : name == Slow ? null : true;
    }

    private List<TimeSpan> Taken()
    {
        var taken = _limits.ToList();
        _limits.Clear();
        return taken;
    }
}
