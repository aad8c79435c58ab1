using OrleansMq.Groups;

namespace OrleansMq.Tests.Engine.Groups.Lag;

/// <summary>The target offset of a reset: always within the log; exceptions are reported.</summary>
public sealed class OffsetResetsTests
{
    private static readonly DateTimeOffset Now = new(2026, 1, 1, 0, 1, 0, TimeSpan.Zero);

    private static PlannedReset Plan(OffsetTarget target, long? committed = 50, long start = 10, long end = 100, long atTime = -1) =>
        OffsetResets.Plan(new ResetPosition(new("orders", 1), Guid.Empty, committed, start, end, atTime), target);

    public static TheoryData<OffsetTarget, long> Within => new()
    {
        { OffsetTarget.Earliest, 10 },
        { OffsetTarget.Latest, 100 },
        { OffsetTarget.Current, 50 },
        { OffsetTarget.ToOffset(10), 10 },
        { OffsetTarget.ToOffset(100), 100 },
        { OffsetTarget.ShiftBy(-40), 10 },
        { OffsetTarget.ShiftBy(50), 100 },
        { OffsetTarget.ShiftBy(0), 50 },
    };

    [Theory]
    [MemberData(nameof(Within))]
    public void Target_within_the_log_is_kept(OffsetTarget target, long expected) =>
        Assert.Equal((50, expected, null), (Plan(target).Committed, Plan(target).Target, Plan(target).Note));

    public static TheoryData<OffsetTarget, long, long, string> Outside => new()
    {
        { OffsetTarget.ToOffset(9), 50, 10, "below the first record there is, 10" },
        { OffsetTarget.ToOffset(101), 50, 100, "beyond the end of the log, 100" },
        { OffsetTarget.ToOffset(long.MaxValue), 50, 100, "beyond" },
        { OffsetTarget.ShiftBy(-41), 50, 10, "below" },
        { OffsetTarget.ShiftBy(long.MinValue), 50, 10, "below" },
        { OffsetTarget.ShiftBy(long.MaxValue), 50, 100, "beyond" },
        { OffsetTarget.Current, 3, 10, "Offset 3 is below" },
        { OffsetTarget.Current, 300, 100, "Offset 300 is beyond" },
    };

    [Theory]
    [MemberData(nameof(Outside))]
    public void Target_outside_the_log_is_clamped_and_the_plan_says_so(OffsetTarget target, long committed, long expected,
        string said)
    {
        var plan = Plan(target, committed);
        Assert.Equal(expected, plan.Target);
        Assert.Contains(said, plan.Note, StringComparison.Ordinal);
    }

    [Fact]
    public void Timestamp_target_is_the_first_record_at_it_or_the_end()
    {
        Assert.Equal((42, null), (Plan(OffsetTarget.ToTime(Now), atTime: 42).Target, Plan(OffsetTarget.ToTime(Now), atTime: 42).Note));
        var late = Plan(OffsetTarget.ByDuration(TimeSpan.FromSeconds(1)), atTime: -1);
        Assert.Equal(100, late.Target);
        Assert.Contains("No record is that late", late.Note, StringComparison.Ordinal);
    }

    [Fact]
    public void Relative_target_without_a_commit_is_refused()
    {
        foreach (var target in new[] { OffsetTarget.Current, OffsetTarget.ShiftBy(1) })
        {
            var plan = Plan(target, committed: null);
            Assert.Null(plan.Target);
            Assert.Contains("Nothing is committed", plan.Note, StringComparison.Ordinal);
        }
        Assert.Equal(10, Plan(OffsetTarget.Earliest, committed: null).Target);
    }

    [Fact]
    public void Empty_log_has_one_target()
    {
        foreach (var target in new[] { OffsetTarget.Earliest, OffsetTarget.Latest, OffsetTarget.ToOffset(0), OffsetTarget.ShiftBy(7) })
            Assert.Equal(20, Plan(target, start: 20, end: 20).Target);
    }

    [Fact]
    public void Duration_is_relative_to_now_and_never_before_1970()
    {
        Assert.Equal(Now.ToUnixTimeMilliseconds() - 60_000, OffsetTarget.ByDuration(TimeSpan.FromMinutes(1)).TimeToFind(Now));
        Assert.Equal(0, OffsetTarget.ByDuration(TimeSpan.FromDays(100_000)).TimeToFind(Now));
        Assert.Equal(Now.ToUnixTimeMilliseconds(), OffsetTarget.ToTime(Now).TimeToFind(DateTimeOffset.MaxValue));
        Assert.Null(OffsetTarget.Earliest.TimeToFind(Now));
    }

    [Fact]
    public void Invalid_targets_name_the_problem()
    {
        Assert.Contains("-1", OffsetTarget.ToOffset(-1).Fault, StringComparison.Ordinal);
        Assert.Contains("-5 ms", new OffsetTarget(OffsetTargetKind.Time, -5).Fault, StringComparison.Ordinal);
        Assert.Contains("-5 ms", new OffsetTarget(OffsetTargetKind.Duration, -5).Fault, StringComparison.Ordinal);
        Assert.Contains("Unknown", new OffsetTarget(OffsetTargetKind.Unknown).Fault, StringComparison.Ordinal);
        Assert.Null(OffsetTarget.ShiftBy(-5).Fault);
        Assert.Throws<ArgumentException>(() => Plan(new OffsetTarget((OffsetTargetKind)99)));
    }
}
