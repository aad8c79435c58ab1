using OrleansMq.Tests.Chaos.Queues;
using OrleansMq.Tests.Chaos.Queues.Shares;
using OrleansMq.Tests.Chaos.Verification;

namespace OrleansMq.Tests.Chaos.Checkers;

/// <summary>Checker of share groups.</summary>
public sealed class ShareHistoryTests
{
    private readonly Ledger _ledger = new();
    private readonly Violations _violations = new();
    private readonly ShareHistory _history;

    public ShareHistoryTests()
    {
        _history = new ShareHistory(_ledger, _violations);
        _ledger.Acknowledge(0, _ledger.Send(0, _ledger.NewProducer(isOrdered: true)), 7);
    }

    [Theory]
    [InlineData(99, 0)]
    [InlineData(101, 1)]
    public void Record_that_was_fetched_after_its_settlement_is_detected(long fetched, int violations)
    {
        Take(QueueEventKind.Delivered, 10);
        Take(QueueEventKind.Tried, 0);
        Take(QueueEventKind.Settled, 100);
        Take(QueueEventKind.Delivered, fetched);
        _history.Judge();
        Assert.Equal(violations, _violations.Count(ViolationKind.SettledAgain));
        Assert.Empty(_history.Missing(1));
    }

    [Fact]
    public void Record_that_no_member_settled_is_missing()
    {
        Assert.Single(_history.Missing(1));
        Take(QueueEventKind.Delivered, 10);
        Assert.Single(_history.Missing(1));
        Take(QueueEventKind.Tried, 0);
        Assert.Empty(_history.Missing(1));
    }

    [Fact]
    public void Record_that_was_never_sent_is_detected()
    {
        _history.Take(new ShareEvent(QueueEventKind.Delivered, 0, 8, new RecordId(0, 0), 10));
        Assert.Equal(1, _violations.Count(ViolationKind.NeverSent));
    }

    [Fact]
    public void Event_is_read_from_its_line()
    {
        Assert.Equal(new ShareEvent(QueueEventKind.Settled, 2, 3, new RecordId(4, 5), 7),
            ShareEvent.Parse("share-event Settled 2 3 4 5 6 7"));
        Assert.Null(ShareEvent.Parse("a line of a log"));
    }

    private void Take(QueueEventKind kind, long nanos) => _history.Take(new ShareEvent(kind, 0, 7, new RecordId(0, 0), nanos));
}
