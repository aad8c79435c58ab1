using OrleansMq.Tests.Chaos.Queues.Publishes;
using OrleansMq.Tests.Chaos.Verification;

namespace OrleansMq.Tests.Chaos.Checkers;

/// <summary>Checker of repeated publishes.</summary>
public sealed class PublishHistoryTests
{
    private readonly Violations _violations = new();
    private readonly PublishHistory _history;

    public PublishHistoryTests()
    {
        _history = new PublishHistory(_violations);
        _history.Send(0, 5);
        _history.Send(0, 5);
        _history.Acknowledge(0, 5, 7);
    }

    [Fact]
    public void Id_that_is_in_the_log_once_is_right()
    {
        Take(7, 5);
        Assert.Empty(Judge());
        Assert.Equal(1, _history.Repeated);
    }

    [Fact]
    public void Id_that_is_in_the_log_twice_is_detected()
    {
        Take(7, 5);
        Take(9, 5);
        Assert.Equal([ViolationKind.Doubled], Judge());
    }

    [Fact]
    public void Unacknowledged_id_may_be_missing_and_not_be_there_twice()
    {
        Take(7, 5);
        _history.Send(0, 6);
        Assert.Empty(Judge());
        Take(10, 6);
        Take(11, 6);
        Assert.Equal([ViolationKind.Doubled], Judge());
    }

    [Fact]
    public void Acknowledged_id_that_is_missing_is_detected() => Assert.Equal([ViolationKind.Lost], Judge());

    [Fact]
    public void Id_at_another_offset_than_a_repetition_was_told_is_detected()
    {
        Take(7, 5);
        _history.Acknowledge(0, 5, 8);
        Assert.Equal([ViolationKind.Changed], Judge());
    }

    [Fact]
    public void Id_that_was_never_sent_there_is_detected()
    {
        Take(7, 5);
        Take(8, 6);
        _history.Take(1, 3, RecordValue.Of(new RecordId(0, 5), 20));
        Assert.Equal([ViolationKind.NeverSent], Judge());
        Assert.Equal(2, _violations.Count(ViolationKind.NeverSent));
    }

    [Fact]
    public void Value_that_was_never_sent_is_detected()
    {
        Take(7, 5);
        _history.Take(0, 8, new byte[20]);
        _history.Take(0, 9, null);
        Assert.Equal([ViolationKind.Damaged], Judge());
    }

    private void Take(long offset, long number) => _history.Take(0, offset, RecordValue.Of(new RecordId(0, number), 20));

    private ViolationKind[] Judge()
    {
        _history.Judge();
        return [.. Enum.GetValues<ViolationKind>().Where(kind => _violations.Count(kind) > 0)];
    }
}
