using OrleansMq.Api;
using OrleansMq.Tests.Chaos.Queues;
using OrleansMq.Tests.Chaos.Verification;

namespace OrleansMq.Tests.Chaos.Checkers;

/// <summary>Checker of queues: each broken promise is detected, and correct queues are not accused.</summary>
public sealed class QueueHistoryTests
{
    private const int Records = 60;

    private readonly QueueLoad _load = new() { Partitions = 1, MaxFailures = 2 };
    private readonly Ledger _ledger = new();
    private readonly Violations _violations = new();
    private readonly QueueHistory _history;
    private readonly List<Letter> _letters = [];

    public QueueHistoryTests()
    {
        _history = new QueueHistory(_load, _ledger, _violations);
        var producer = _ledger.NewProducer(isOrdered: true);
        for (var number = 0; number < Records; number++)
            _ledger.Acknowledge(0, _ledger.Send(0, producer), number);
    }

    [Fact]
    public void Correct_queues_are_not_accused()
    {
        ConsumeAll();
        Assert.Empty(Judge());
    }

    [Fact]
    public void Settlement_whose_answer_was_lost_allows_no_conclusion()
    {
        ConsumeAll(except: 10);
        Deliver(QueueLoad.Ordered, 10, 10);
        Accept(QueueLoad.Ordered, 10, 10);
        Deliver(QueueLoad.Work, 10, 5);
        Try(QueueLoad.Work, 10, 5, QueueAction.Accept);
        Deliver(QueueLoad.Work, 10, 6);
        Accept(QueueLoad.Work, 10, 6);
        Assert.Empty(Judge());
    }

    [Fact]
    public void Settled_record_that_comes_again_is_detected()
    {
        ConsumeAll();
        Deliver(QueueLoad.Work, 10, 1_000);
        Assert.Equal([ViolationKind.SettledAgain], Judge());
    }

    [Fact]
    public void Settled_record_that_comes_again_from_the_next_leader_is_detected()
    {
        ConsumeAll();
        _history.Take(new QueueEvent(QueueEventKind.Delivered, QueueLoad.Work, 0, new LockPlace(2, 1), 10, 10)
        {
            Id = new RecordId(0, 10),
        });
        Assert.Equal([ViolationKind.SettledAgain], Judge());
    }

    [Fact]
    public void Record_that_left_a_queue_without_a_consumer_is_detected()
    {
        ConsumeAll(except: 10);
        Deliver(QueueLoad.Ordered, 10, 10);
        Accept(QueueLoad.Ordered, 10, 10);
        Deliver(QueueLoad.Work, 10, 500);
        Assert.Equal([ViolationKind.Lost], Judge());
    }

    [Fact]
    public void Missing_dead_letter_is_detected()
    {
        ConsumeAll();
        _letters.RemoveAll(static letter => letter.Offset == 21);
        Assert.Equal([ViolationKind.LetterMissing], Judge());
    }

    [Fact]
    public void Dead_letter_that_is_there_twice_is_detected()
    {
        ConsumeAll();
        _letters.Add(_letters[0]);
        Assert.Equal([ViolationKind.LetterDoubled], Judge());
    }

    [Fact]
    public void Dead_letter_of_a_record_that_was_accepted_is_detected()
    {
        ConsumeAll();
        _letters.Add(new Letter(0, 10, new RecordId(0, 10)));
        Assert.Equal([ViolationKind.LetterWrong], Judge());
    }

    [Theory]
    [InlineData(1, false)]
    [InlineData(2, true)]
    public void Dead_letter_of_an_innocent_record_needs_as_many_deliveries_as_it_may_fail(int deliveries, bool isRight)
    {
        ConsumeAll(except: 10);
        for (var delivery = 0; delivery < deliveries; delivery++)
            Deliver(QueueLoad.Work, 10, 500 + delivery);
        Deliver(QueueLoad.Ordered, 10, 10);
        Accept(QueueLoad.Ordered, 10, 10);
        _letters.Add(new Letter(0, 10, new RecordId(0, 10)));
        Assert.Equal(isRight ? [] : [ViolationKind.LetterWrong], Judge());
    }

    [Fact]
    public void Dead_letter_with_another_value_is_detected()
    {
        ConsumeAll();
        _letters[0] = _letters[0] with { Id = null };
        Assert.Equal([ViolationKind.LetterWrong], Judge());
    }

    [Fact]
    public void Record_before_an_earlier_one_of_its_key_is_detected()
    {
        ConsumeAll(except: 30);
        Deliver(QueueLoad.Work, 30, 500);
        Accept(QueueLoad.Work, 30, 500);
        // Of the same key as 10 and 50.
        Deliver(QueueLoad.Ordered, 30, 1_000);
        Accept(QueueLoad.Ordered, 30, 1_000);
        Assert.Equal([ViolationKind.KeyReordered], Judge());
    }

    [Fact]
    public void Two_records_of_a_key_in_one_delivery_are_detected()
    {
        ConsumeAll(except: 30);
        Deliver(QueueLoad.Work, 30, 500);
        Accept(QueueLoad.Work, 30, 500);
        Deliver(QueueLoad.Ordered, 30, 50);
        Accept(QueueLoad.Ordered, 30, 50);
        Assert.Equal([ViolationKind.KeyReordered], Judge());
    }

    [Theory]
    [InlineData(1_000, 1_000, null)]
    [InlineData(999, 1_000, ViolationKind.Early)]
    [InlineData(1_000, 0, ViolationKind.Damaged)]
    public void Deferred_record_that_comes_before_its_time_is_detected(long at, long deliverAt, object? violation)
    {
        ConsumeAll(except: 25);
        Deliver(QueueLoad.Ordered, 25, 25);
        Accept(QueueLoad.Ordered, 25, 25);
        Deliver(QueueLoad.Work, 25, 25, at, deliverAt);
        Accept(QueueLoad.Work, 25, 25);
        Assert.Equal(violation is null ? [] : [(ViolationKind)violation], Judge());
    }

    [Fact]
    public void Event_survives_its_line()
    {
        var seen = new QueueEvent(QueueEventKind.Settled, QueueLoad.Work, 3, new LockPlace(7, 11), 13, 17)
        {
            Action = QueueAction.Reject,
            Id = new RecordId(2, 19),
            At = 23,
            DeliverAt = 29,
        };
        Assert.Equal(seen, QueueEvent.Parse(seen.ToLine()));
        Assert.Null(QueueEvent.Parse("warn: a line of a log"));
    }

    // Each record under a lock with the number of its offset.
    private void ConsumeAll(int except = -1)
    {
        foreach (var queue in QueueLoad.Queues)
        {
            for (var offset = 0; offset < Records; offset++)
            {
                if (offset == except)
                    continue;
                Deliver(queue, offset, offset);
                switch (QueueLoad.FateOf(queue, new RecordId(0, offset)))
                {
                    case RecordFate.AlwaysFails:
                        _letters.Add(new Letter(0, offset, new RecordId(0, offset)));
                        break;
                    case RecordFate.Rejected:
                        Settle(queue, offset, offset, QueueAction.Reject);
                        _letters.Add(new Letter(0, offset, new RecordId(0, offset)));
                        break;
                    default:
                        Accept(queue, offset, offset);
                        break;
                }
            }
        }
    }

    private void Deliver(string queue, long offset, long number, long at = 1, long deliverAt = 1) =>
        _history.Take(new QueueEvent(QueueEventKind.Delivered, queue, 0, new LockPlace(1, number), offset, offset)
        {
            Id = new RecordId(0, offset),
            At = at,
            DeliverAt = deliverAt,
        });

    private void Accept(string queue, long offset, long number) => Settle(queue, offset, number, QueueAction.Accept);

    private void Settle(string queue, long offset, long number, QueueAction action)
    {
        Try(queue, offset, number, action);
        _history.Take(new QueueEvent(QueueEventKind.Settled, queue, 0, new LockPlace(1, number), offset, offset) { Action = action });
    }

    private void Try(string queue, long offset, long number, QueueAction action) =>
        _history.Take(new QueueEvent(QueueEventKind.Tried, queue, 0, new LockPlace(1, number), offset, offset) { Action = action });

    private ViolationKind[] Judge()
    {
        _history.Judge(_letters);
        return [.. Enum.GetValues<ViolationKind>().Where(kind => _violations.Count(kind) > 0)];
    }
}
