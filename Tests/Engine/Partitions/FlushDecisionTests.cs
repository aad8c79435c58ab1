using System.Text.RegularExpressions;
using OrleansMq.Partitions;
using OrleansMq.Tests.Shared;
using OrleansMq.Topics;

namespace OrleansMq.Tests.Engine.Partitions;

/// <summary>The meaning of each flush policy.</summary>
public sealed partial class FlushDecisionTests
{
    private static readonly TopicConfig None = TopicConfig.DefaultFor(FlushPolicy.None);
    private static readonly TopicConfig Sync = TopicConfig.DefaultFor(FlushPolicy.Sync);
    private static readonly TopicConfig Interval = TopicConfig.Default with { FlushMs = 500, FlushMessages = 100 };

    [Theory]
    [InlineData(FlushPolicy.None, true)]
    [InlineData(FlushPolicy.Interval, true)]
    [InlineData(FlushPolicy.Sync, false)]
    public void Caller_may_write_unless_it_would_wait_for_a_flush(FlushPolicy policy, bool expected) =>
        Assert.Equal(expected, FlushDecision.MayCallerWrite(TopicConfig.DefaultFor(policy)));

    [Theory]
    [InlineData(FlushPolicy.None, false)]
    [InlineData(FlushPolicy.Interval, false)]
    [InlineData(FlushPolicy.Sync, true)]
    public void Records_count_only_when_flushed_under_sync_alone(FlushPolicy policy, bool expected)
    {
        var config = TopicConfig.DefaultFor(policy);
        Assert.Equal((expected, expected), (FlushDecision.MustFlushRound(config), FlushDecision.CountsOnlyFlushed(config)));
    }

    [Theory]
    [InlineData(FlushPolicy.None, false)]
    [InlineData(FlushPolicy.Interval, true)]
    [InlineData(FlushPolicy.Sync, false)]
    public void Background_flush_follows_under_interval_alone(FlushPolicy policy, bool expected) =>
        Assert.Equal(expected, FlushDecision.FlushesInBackground(TopicConfig.DefaultFor(policy)));

    [Fact]
    public void Background_flush_is_never_due_without_records()
    {
        foreach (var config in new[] { None, Interval, Sync })
            Assert.False(FlushDecision.IsBackgroundFlushDue(config, records: 0, since: 0, now: long.MaxValue));
    }

    [Theory]
    [InlineData(1, 499, false)]
    [InlineData(1, 500, true)]
    [InlineData(99, 0, false)]
    [InlineData(100, 0, true)]
    public void Background_flush_under_interval_is_due_by_time_or_by_records(long records, long afterMs, bool expected) =>
        Assert.Equal(expected, FlushDecision.IsBackgroundFlushDue(Interval, records, since: 10_000, now: 10_000 + afterMs));

    [Theory]
    [InlineData(999, false)]
    [InlineData(1000, true)]
    public void Flushed_point_under_sync_is_due_after_one_second(long afterMs, bool expected)
    {
        Assert.Equal(expected, FlushDecision.IsBackgroundFlushDue(Sync, records: 1_000_000, since: 10_000, now: 10_000 + afterMs));
        Assert.Equal(expected, FlushDecision.IsFlushedPointDue(since: 10_000, now: 10_000 + afterMs));
    }

    /// <summary>They were noted under a policy that the topic has left.</summary>
    [Fact]
    public void Noted_records_under_none_are_due_at_once() =>
        Assert.True(FlushDecision.IsBackgroundFlushDue(None, records: 1, since: 10_000, now: 10_000));

    [Fact]
    public void Clock_set_back_makes_flushes_due()
    {
        Assert.True(FlushDecision.IsBackgroundFlushDue(Interval, records: 1, since: 10_000, now: 9_999));
        Assert.True(FlushDecision.IsFlushedPointDue(since: 10_000, now: 9_999));
        Assert.True(FlushDecision.HasPassed(long.MaxValue, since: 10_000, now: 9_999));
    }

    [Fact]
    public void Unknown_configuration_counts_only_flushed_records()
    {
        var config = FlushDecision.UntilConfigured(None with { RetentionMs = 77 });
        Assert.True(FlushDecision.CountsOnlyFlushed(config));
        Assert.Equal(77, config.RetentionMs);
    }

    [Fact]
    public void Flush_policy_is_compared_in_the_decision_only()
    {
        var engine = Path.Combine(ReadmeSection.RepositoryRoot(), "Grains");
        var files = Directory.GetFiles(engine, "*.cs", SearchOption.AllDirectories).Where(file => Value().IsMatch(File.ReadAllText(file)));
        Assert.Equal(["FlushDecision.cs", "TopicConfig.cs"], files.Select(Path.GetFileName).Order());
    }

    [GeneratedRegex(@"\bFlushPolicy\.(None|Interval|Sync)\b")]
    private static partial Regex Value();
}
