using OrleansMq.Records;
using OrleansMq.Schedules;
using OrleansMq.Tests.Chaos.Queues.Schedules;
using OrleansMq.Tests.Chaos.Running;
using OrleansMq.Tests.Chaos.Verification;

namespace OrleansMq.Tests.Chaos.Checkers;

/// <summary>Checker of schedules: each broken promise is detected, and correct schedules are not accused.</summary>
public sealed class ScheduleHistoryTests
{
    private static readonly Guid Topic = Guid.NewGuid();

    private readonly Violations _violations = new();
    private readonly ScheduleHistory _history;

    public ScheduleHistoryTests()
    {
        _history = new ScheduleHistory(_violations);
        _history.Schedule("one", 1_000);
        _history.Stored("one");
        _history.Repeat("each", 1_000);
    }

    [Fact]
    public void Correct_schedules_are_not_accused()
    {
        _history.Take("one", 1_000);
        // Missed firings are left out.
        Fire(1_000, 2_000, 9_000);
        Append(1_001, 8_999, 9_000);
        Assert.Empty(_history.Missing(8_999));
        Assert.Empty(_history.Pending());
        Assert.Empty(Judge());
    }

    [Fact]
    public void Record_that_comes_twice_is_detected()
    {
        _history.Take("one", 1_000);
        _history.Take("one", 1_001);
        Assert.Equal([ViolationKind.Doubled], Judge());
    }

    [Fact]
    public void Record_that_comes_early_is_detected()
    {
        _history.Take("one", 999);
        Assert.Equal([ViolationKind.Early], Judge());
    }

    [Fact]
    public void Answered_record_that_does_not_come_is_detected()
    {
        Assert.Equal(2, _history.Missing(0).Count);
        Assert.Equal([ViolationKind.Lost], Judge());
    }

    [Fact]
    public void Record_whose_answer_was_lost_comes_once_or_never()
    {
        _history.Take("one", 1_000);
        _history.Schedule("two", 1_000);
        Assert.Empty(Judge());
        _history.Take("two", 1_000);
        Assert.Empty(Judge());
        _history.Take("two", 1_000);
        Assert.Equal([ViolationKind.Doubled], Judge());
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Record_that_comes_although_its_cancellation_was_answered_is_detected(bool comes)
    {
        _history.Cancelling("one");
        _history.Cancelled("one");
        if (comes)
            _history.Take("one", 1_000);
        Assert.Equal(comes ? [ViolationKind.CameThoughCancelled] : [], Judge());
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Cancellation_without_an_answer_allows_no_conclusion(bool comes)
    {
        _history.Cancelling("one");
        if (comes)
            _history.Take("one", 1_000);
        Assert.Single(_history.Missing(0));
        Assert.Empty(Judge());
    }

    [Fact]
    public void Record_that_was_never_scheduled_is_detected()
    {
        _history.Take("one", 1_000);
        _history.Take("another", 1_000);
        Assert.Equal([ViolationKind.NeverSent], Judge());
    }

    [Fact]
    public void Firing_that_is_decided_twice_is_detected()
    {
        _history.Take("one", 1_000);
        Fire(1_000, 2_000, 2_000);
        Append(1_000, 2_000, 2_001);
        Assert.Equal([ViolationKind.Doubled], Judge());
    }

    [Fact]
    public void Firing_with_two_records_is_detected()
    {
        _history.Take("one", 1_000);
        Fire(1_000, 2_000);
        Append(1_000, 2_000, 2_001);
        Assert.Single(_history.Pending());
        Assert.Equal([ViolationKind.Doubled], Judge());
    }

    [Fact]
    public void Firing_without_a_record_is_detected()
    {
        _history.Take("one", 1_000);
        Fire(1_000, 2_000);
        Append(1_000);
        Assert.Single(_history.Missing(1_000));
        Assert.Equal([ViolationKind.Lost], Judge());
    }

    [Fact]
    public void Firing_before_its_time_is_detected()
    {
        _history.Take("one", 1_000);
        Fire(1_000, 2_000);
        Append(1_000, 1_999);
        Assert.Equal([ViolationKind.Early], Judge());
    }

    [Fact]
    public void Firing_at_a_time_that_the_expression_does_not_name_is_detected()
    {
        _history.Take("one", 1_000);
        Fire(1_500);
        Append(1_500);
        Assert.Equal([ViolationKind.NeverSent], Judge());
    }

    [Fact]
    public void Decisions_are_read_from_the_schedules_log()
    {
        using var directory = new TemporaryDirectory();
        _history.Take("one", 1_000);
        var timers = new[] { 1_000L, 2_000 }.Select(static due => new ScheduledTimer(
            new ScheduleHandle(due, ScheduledPayload.HashOf(Topic, "each")), 3)).ToArray();
        var intent = ScheduleRecords.OfIntent(new ScheduleIntent(new ScheduleTarget(Topic, 1), 5, 6, timers));
        var other = ScheduleRecords.OfIntent(new ScheduleIntent(new ScheduleTarget(Guid.NewGuid(), 1), 5, 6, timers));
        using var builder = new RecordBatchBuilder();
        foreach (var record in new[] { intent, other, ScheduleRecords.OfSequence(new ScheduleTarget(Topic, 1), 7) })
            builder.Add(1, record.Key, true, record.Value!.Value.Span, true);
        File.WriteAllBytes(directory["00000000000000000000.log"], builder.Build().ToArray());
        DecidedFirings.Read(directory.FullName, Topic, _history);
        Assert.Equal(["'each': 2 decided, 0 appended"], _history.Pending());
        Append(1_000, 2_000);
        Assert.Empty(Judge());
        _history.BeginDecisions();
        Assert.Equal(["'each': 0 decided, 2 appended"], _history.Pending());
    }

    private void Fire(params long[] times)
    {
        foreach (var due in times)
            _history.Decide(Topic, ScheduleHistory.HashOf(Topic, "each"), due);
    }

    private void Append(params long[] times)
    {
        foreach (var at in times)
            _history.Take("each", at);
    }

    private ViolationKind[] Judge()
    {
        _history.Judge();
        return [.. Enum.GetValues<ViolationKind>().Where(kind => _violations.Count(kind) > 0)];
    }
}
