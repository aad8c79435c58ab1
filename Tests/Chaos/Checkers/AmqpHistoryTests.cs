using OrleansMq.Tests.Chaos.Amqp;
using OrleansMq.Tests.Chaos.Verification;

namespace OrleansMq.Tests.Chaos.Checkers;

/// <summary>Checker of AMQP: each broken promise is detected, and correct queues are not accused.</summary>
public sealed class AmqpHistoryTests
{
    private const int Messages = 40;

    private readonly Violations _violations = new();
    private readonly AmqpHistory _history;
    private readonly int _publisher;
    private readonly int _work;
    private readonly int _single;
    private readonly int _letters;

    public AmqpHistoryTests()
    {
        _history = new AmqpHistory(_violations);
        _publisher = _history.NewPublisher();
        (_work, _single, _letters) = (_history.Open(AmqpLoad.Work), _history.Open(AmqpLoad.Single), _history.Open(AmqpLoad.Letters));
    }

    [Fact]
    public void Correct_queues_are_not_accused()
    {
        for (var number = 0; number < Messages; number++)
        {
            foreach (var (queue, channel) in new[] { (AmqpLoad.Work, _work), (AmqpLoad.Single, _single) })
                Consume(channel, Publish(queue));
        }
        Assert.Empty(Judge());
    }

    [Fact]
    public void Message_without_a_confirm_may_be_missing()
    {
        _history.Publish(_publisher, AmqpLoad.Work);
        Assert.Empty(Judge());
    }

    [Fact]
    public void Confirmed_message_that_was_never_delivered_is_detected()
    {
        Publish(AmqpLoad.Work);
        Assert.Equal([ViolationKind.Lost], Judge());
    }

    [Fact]
    public void Confirmed_message_that_was_delivered_and_not_accepted_is_detected()
    {
        Deliver(_work, Publish(AmqpLoad.Work));
        Assert.Equal([ViolationKind.Lost], Judge());
    }

    [Fact]
    public void Dead_letter_that_was_not_accepted_is_detected()
    {
        var id = Refused(AmqpLoad.Single);
        Reject(_single, id);
        Deliver(_letters, id, reason: "rejected");
        Assert.Equal([ViolationKind.Lost], Judge());
    }

    [Fact]
    public void Rejected_message_without_a_dead_letter_is_detected()
    {
        Reject(_single, Refused(AmqpLoad.Single));
        Assert.Equal([ViolationKind.LetterMissing], Judge());
    }

    [Fact]
    public void Message_that_came_back_as_unroutable_is_detected()
    {
        _history.Unroutable(_history.Publish(_publisher, AmqpLoad.Work));
        Assert.Equal([ViolationKind.Lost], Judge());
    }

    [Fact]
    public void Body_of_no_message_is_detected()
    {
        _history.Deliver(_work, new AmqpDelivery(null, false));
        Assert.Equal([ViolationKind.Damaged], Judge());
    }

    [Fact]
    public void Message_that_was_not_published_to_the_queue_is_detected()
    {
        Consume(_single, Publish(AmqpLoad.Single));
        Deliver(_work, new MessageId(AmqpLoad.Single, _publisher, 0));
        Assert.Equal([ViolationKind.NeverSent], Judge());
    }

    [Fact]
    public void Message_that_was_never_published_is_detected()
    {
        Deliver(_work, new MessageId(AmqpLoad.Work, _publisher, 0));
        Assert.Equal([ViolationKind.NeverSent], Judge());
    }

    [Fact]
    public void Committed_message_that_comes_to_a_later_channel_is_detected()
    {
        var id = Publish(AmqpLoad.Work);
        Consume(_work, id);
        Deliver(_history.Open(AmqpLoad.Work), id, isRedelivered: true);
        Assert.Equal([ViolationKind.SettledAgain], Judge());
    }

    [Fact]
    public void Committed_message_that_comes_after_one_that_was_published_later_is_detected()
    {
        var other = _history.Open(AmqpLoad.Work);
        var id = Publish(AmqpLoad.Work);
        Consume(_work, id);
        Consume(other, Publish(AmqpLoad.Work));
        Deliver(other, id, isRedelivered: true);
        Assert.Equal([ViolationKind.SettledAgain], Judge());
    }

    [Fact]
    public void Committed_message_that_comes_again_to_the_same_channel_is_detected()
    {
        var id = Publish(AmqpLoad.Work);
        Consume(_work, id);
        Deliver(_work, id, isRedelivered: true);
        Assert.Equal([ViolationKind.SettledAgain], Judge());
    }

    [Fact]
    public void Count_below_the_failures_that_the_same_channel_committed_is_detected()
    {
        var id = Publish(AmqpLoad.Work);
        Deliver(_work, id);
        _history.Try(_work, id, Answer.Fail);
        _history.Commit(_work, [(id, Answer.Fail)]);
        Deliver(_work, id, isRedelivered: true);
        _history.Try(_work, id, Answer.Accept);
        Assert.Equal([ViolationKind.CountWrong], Judge());
    }

    [Fact]
    public void Delivery_that_may_have_been_on_its_way_before_the_commit_allows_no_conclusion()
    {
        var other = _history.Open(AmqpLoad.Single);
        var (id, later) = (Publish(AmqpLoad.Single), Publish(AmqpLoad.Single));
        Consume(_single, id);
        // Both were published before the commit.
        foreach (var held in new[] { later, id })
        {
            Deliver(other, held, isRedelivered: true);
            _history.Try(other, held, Answer.Accept);
        }
        Assert.Empty(Judge());
    }

    [Fact]
    public void Acknowledgement_without_a_commit_allows_no_conclusion()
    {
        var id = Publish(AmqpLoad.Work);
        Deliver(_work, id);
        _history.Try(_work, id, Answer.Accept);
        Deliver(_history.Open(AmqpLoad.Work), id, isRedelivered: true);
        Assert.Empty(Judge());
        Assert.Equal(1, _history.AcknowledgedInVain);
    }

    [Fact]
    public void Redelivery_without_its_flag_is_detected()
    {
        var id = Publish(AmqpLoad.Work);
        Deliver(_work, id);
        Consume(_history.Open(AmqpLoad.Work), id);
        Assert.Equal([ViolationKind.NotFlagged], Judge());
    }

    [Fact]
    public void Single_consumer_that_gets_a_message_before_an_earlier_one_is_detected()
    {
        var (first, second) = (Publish(AmqpLoad.Single), Publish(AmqpLoad.Single));
        Consume(_single, second);
        // The flag does not excuse it, nor does another channel.
        var next = _history.Open(AmqpLoad.Single);
        Deliver(next, first, isRedelivered: true);
        _history.Try(next, first, Answer.Accept);
        Assert.Equal([ViolationKind.Reordered], Judge());
    }

    [Fact]
    public void Single_consumer_that_gets_messages_again_is_not_accused()
    {
        var (first, second) = (Publish(AmqpLoad.Single), Publish(AmqpLoad.Single));
        Deliver(_single, first);
        Deliver(_single, second);
        _history.End(_single);
        var next = _history.Open(AmqpLoad.Single);
        foreach (var id in new[] { first, second })
        {
            Deliver(next, id, isRedelivered: true);
            _history.Try(next, id, Answer.Accept);
        }
        Assert.Empty(Judge());
    }

    [Theory]
    [InlineData(0, true)]
    [InlineData(1, false)]
    [InlineData(AmqpLoad.MaxFailures, false)]
    [InlineData(AmqpLoad.MaxFailures + 1, true)]
    public void Count_below_the_committed_failures_or_above_the_limit_is_detected(long count, bool isWrong)
    {
        var id = Publish(AmqpLoad.Work);
        Deliver(_work, id);
        _history.Try(_work, id, Answer.Fail);
        _history.Commit(_work, [(id, Answer.Fail)]);
        var next = _history.Open(AmqpLoad.Work);
        _history.Deliver(next, new AmqpDelivery(id, true, count));
        _history.Try(next, id, Answer.Accept);
        Assert.Equal(isWrong ? [ViolationKind.CountWrong] : [], Judge());
    }

    [Theory]
    [InlineData("rejected", AmqpLoad.Work)]
    [InlineData("delivery_limit", AmqpLoad.Work)]
    [InlineData("expired", AmqpLoad.Work)]
    [InlineData(null, AmqpLoad.Work)]
    public void Dead_letter_of_a_message_that_was_not_refused_is_detected(string? reason, string queue)
    {
        var id = Publish(AmqpLoad.Work);
        Consume(_work, id);
        _history.Deliver(_letters, new AmqpDelivery(id, false, 0, reason, queue));
        Assert.Equal([ViolationKind.LetterWrong], Judge());
    }

    [Fact]
    public void Dead_letter_that_names_another_queue_is_detected()
    {
        var id = Refused(AmqpLoad.Single);
        Reject(_single, id);
        _history.Deliver(_letters, new AmqpDelivery(id, false, 0, "rejected", AmqpLoad.Work));
        _history.Try(_letters, id, Answer.Accept);
        Assert.Equal([ViolationKind.LetterWrong], Judge());
    }

    [Fact]
    public void Dead_letter_of_a_message_that_failed_too_often_is_right()
    {
        var id = Publish(AmqpLoad.Work);
        for (var channels = 0; channels <= AmqpLoad.MaxFailures; channels++)
        {
            var channel = _history.Open(AmqpLoad.Work);
            _history.Deliver(channel, new AmqpDelivery(id, channels > 0, channels));
            _history.End(channel);
        }
        Deliver(_letters, id, reason: "delivery_limit");
        _history.Try(_letters, id, Answer.Accept);
        Assert.Empty(Judge());
    }

    [Theory]
    [InlineData(1, true)]
    [InlineData(2, false)]
    public void Second_dead_letter_needs_a_second_rejection(int rejections, bool isWrong)
    {
        var id = Refused(AmqpLoad.Single);
        for (var rejection = 0; rejection < rejections; rejection++)
            Reject(_single, id, isRedelivered: rejection > 0);
        for (var letter = 0; letter < 2; letter++)
        {
            Deliver(_letters, id, reason: "rejected");
            _history.Try(_letters, id, Answer.Accept);
        }
        Assert.Equal(isWrong ? [ViolationKind.LetterDoubled] : [], Judge());
    }

    [Theory]
    [InlineData(1, true)]
    [InlineData(2, false)]
    public void Committed_dead_letter_that_comes_again_is_detected_unless_there_may_be_another(int rejections, bool isWrong)
    {
        var id = Refused(AmqpLoad.Single);
        for (var rejection = 0; rejection < rejections; rejection++)
            Reject(_single, id, isRedelivered: rejection > 0);
        for (var delivery = 0; delivery < 2; delivery++)
        {
            // Begins to consume after the commit.
            var channel = _history.Open(AmqpLoad.Letters);
            Deliver(channel, id, isRedelivered: delivery > 0, reason: "rejected");
            _history.Try(channel, id, Answer.Accept);
            _history.Commit(channel, [(id, Answer.Accept)]);
        }
        Assert.Equal(isWrong ? [ViolationKind.SettledAgain] : [], Judge());
    }

    [Fact]
    public void Body_names_its_message_and_no_other()
    {
        var id = new MessageId(AmqpLoad.Single, 3, 17);
        Assert.Equal(id, MessageId.Of(id.ToBody()));
        Assert.Null(MessageId.Of(id.ToBody()[..^1]));
        Assert.Null(MessageId.Of("work"u8));
    }

    private MessageId Publish(string queue)
    {
        var id = _history.Publish(_publisher, queue);
        _history.Confirm(id);
        return id;
    }

    // The first message of a queue that is rejected; those before it are accepted.
    private MessageId Refused(string queue)
    {
        while (true)
        {
            var id = Publish(queue);
            if (AmqpLoad.IsRefused(id) && AmqpLoad.AnswerTo(queue, id, false, 0) == Answer.Reject)
                return id;
            Consume(queue == AmqpLoad.Single ? _single : _work, id);
        }
    }

    private void Deliver(int channel, MessageId id, bool isRedelivered = false, string? reason = null) =>
        _history.Deliver(channel, new AmqpDelivery(id, isRedelivered, 0, reason, reason is null ? null : id.Queue));

    private void Reject(int channel, MessageId id, bool isRedelivered = false)
    {
        Deliver(channel, id, isRedelivered);
        _history.Try(channel, id, Answer.Reject);
        _history.Commit(channel, [(id, Answer.Reject)]);
    }

    // Answered as its fate says, in transactions, up to its dead letter.
    private void Consume(int channel, MessageId id)
    {
        var (failures, isRedelivered) = (0, false);
        while (true)
        {
            _history.Deliver(channel, new AmqpDelivery(id, isRedelivered, failures));
            var answer = AmqpLoad.AnswerTo(id.Queue, id, isRedelivered, failures);
            _history.Try(channel, id, answer);
            _history.Commit(channel, [(id, answer)]);
            isRedelivered = true;
            failures += answer == Answer.Fail ? 1 : 0;
            if (answer == Answer.Accept)
                return;
            if (answer != Answer.Reject && failures <= AmqpLoad.MaxFailures)
                continue;
            Deliver(_letters, id, reason: answer == Answer.Reject ? "rejected" : "delivery_limit");
            _history.Try(_letters, id, Answer.Accept);
            _history.Commit(_letters, [(id, Answer.Accept)]);
            return;
        }
    }

    private ViolationKind[] Judge()
    {
        _history.Judge();
        return [.. Enum.GetValues<ViolationKind>().Where(kind => _violations.Count(kind) > 0)];
    }
}
