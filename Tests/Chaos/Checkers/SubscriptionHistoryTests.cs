using OrleansMq.Tests.Chaos.Subscriptions;

namespace OrleansMq.Tests.Chaos.Checkers;

/// <summary>Checker of explicit subscriptions: a history that is right, and one thing that is wrong in it.</summary>
public sealed class SubscriptionHistoryTests
{
    private const int Stream = 3;
    private const int Subscriber = 7;
    private const int Records = 10;

    // Event n is sent at 100 n, and acknowledged 10 later. Offsets are in twos: other streams are in the partition, too.
    private readonly SubscriptionHistory _history = new();
    private readonly Guid _stays = Guid.NewGuid();
    private readonly Guid _leaves = Guid.NewGuid();

    public SubscriptionHistoryTests()
    {
        _history.Log[Stream] = [.. Enumerable.Range(0, Records).Select(static number => new StreamRecord(1, 2 * number, number))];
        foreach (var number in Enumerable.Range(0, Records))
            _history.Sent[(Stream, number)] = new SentEvent(100 * number, (100 * number) + 10);
        // Made after event 1, and before event 2.
        _history.Events.Add(Event(SubscriptionEventKind.Subscribed, _stays, 120, 150));
        Observe(_stays, "a", 2, 3, 4);
        // The next activation observes one again.
        Observe(_stays, "b", 4, 5, 6, 7, 8, 9);
        _history.Events.Add(Event(SubscriptionEventKind.Subscribed, _leaves, 120, 150));
        Observe(_leaves, "a", 2, 3, 4);
        _history.Events.Add(Event(SubscriptionEventKind.Leaving, _leaves, 520, 520));
        _history.Events.Add(Event(SubscriptionEventKind.Left, _leaves, 520, 530));
        _history.Listed[(Subscriber, Stream)] = [_stays];
    }

    [Fact]
    public void Correct_subscriptions_are_not_accused()
    {
        Assert.Empty(_history.Judge());
        Assert.Empty(_history.Behind());
    }

    [Fact]
    public void Acknowledged_event_that_the_topic_lacks_is_detected()
    {
        _history.Sent[(Stream, Records)] = new SentEvent(1_000, 1_010);
        Detects("is not in the topic");
    }

    [Fact]
    public void Event_that_is_not_acknowledged_may_be_missing()
    {
        _history.Sent[(Stream, Records)] = new SentEvent(1_000, null);
        Assert.Empty(_history.Judge());
    }

    [Theory]
    [InlineData(2, "before 1 event(s): 2@4")]
    [InlineData(6, "before 1 event(s): 6@12")]
    public void Event_that_is_passed_over_is_detected(int number, string what)
    {
        _history.Events.RemoveAll(one => one.Subscription == _stays && one.Number == number);
        Detects(what);
    }

    [Fact]
    public void Events_that_are_missing_at_the_end_are_detected()
    {
        _history.Events.RemoveAll(one => one.Subscription == _stays && one.Number >= 8);
        Assert.Single(_history.Behind());
        Detects("did not observe 2 event(s): 8@16 9@18");
    }

    [Fact]
    public void Subscription_that_observes_nothing_is_detected()
    {
        _history.Events.RemoveAll(one => one.Subscription == _stays && one.Kind == SubscriptionEventKind.Observed);
        Detects("did not observe 8 event(s)");
    }

    [Fact]
    public void Gap_of_a_subscription_whose_call_failed_is_detected()
    {
        _history.Events.RemoveAll(one => one.Subscription == _stays && (one.Kind == SubscriptionEventKind.Subscribed || one.Number == 6));
        Detects("observed event 7 before 1 event(s): 6@12");
    }

    [Fact]
    public void Subscription_whose_removal_has_begun_may_miss_what_follows()
    {
        _history.Events.RemoveAll(one => one.Subscription == _leaves && (one.Kind == SubscriptionEventKind.Left || one.Number == 4));
        Assert.Empty(_history.Judge());
    }

    [Theory]
    [InlineData("a", 5)] // The activation that unsubscribed.
    [InlineData("b", 5)] // One that began later.
    [InlineData("c", 6)] // One beside, with an event that was sent later.
    public void Event_after_an_unsubscribe_is_detected(string activation, int number)
    {
        ObserveFrom(510, _leaves, "c", 4);
        ObserveFrom(610, _leaves, activation, number);
        Detects($"observed event {number} after its unsubscribe had returned (activation {activation})");
    }

    [Fact]
    public void Call_that_is_under_way_at_an_activation_beside_may_end_after_an_unsubscribe()
    {
        ObserveFrom(510, _leaves, "c", 4);
        ObserveFrom(540, _leaves, "c", 5);
        Assert.Empty(_history.Judge());
    }

    [Fact]
    public void Event_from_before_the_subscription_is_detected()
    {
        _history.Events.Insert(1, Observed(_stays, "a", 1, 160));
        Detects("was acknowledged before it was made");
    }

    [Fact]
    public void Event_that_an_activation_observes_again_is_detected()
    {
        ObserveFrom(2_000, _stays, "b", 9);
        Detects("observed event 9 again");
    }

    [Fact]
    public void Event_that_comes_again_by_itself_is_no_gap_where_the_next_activation_goes_on_behind_what_was_observed()
    {
        ObserveFrom(2_000, _stays, "c", 5, 7);
        Assert.Empty(_history.Judge());
    }

    [Fact]
    public void Gap_after_a_redelivery_is_detected()
    {
        _history.Events.RemoveAll(one => one.Subscription == _stays && one.Number == 6);
        ObserveFrom(2_000, _stays, "c", 5, 7);
        Detects("observed event 7 after 5 without 1 event(s): 6@12");
    }

    [Fact]
    public void Rewind_is_right_when_everything_comes_again()
    {
        Rewind(5);
        ObserveFrom(2_100, _stays, "b", 5, 6, 7, 8, 9);
        Assert.Empty(_history.Judge());
    }

    [Fact]
    public void Rewind_that_has_no_effect_or_ends_early_is_detected()
    {
        Rewind(5);
        Detects("did not observe 5 event(s)");
        ObserveFrom(2_100, _stays, "b", 5, 6, 7);
        Detects("did not observe 2 event(s): 8@16 9@18 again");
    }

    [Fact]
    public void Rewind_that_passes_over_an_event_is_detected()
    {
        Rewind(5);
        ObserveFrom(2_100, _stays, "b", 5, 7, 8, 9);
        Detects("observed event 7 after 5 without");
    }

    [Fact]
    public void Missing_subscription_is_detected()
    {
        _history.Listed[(Subscriber, Stream)] = [];
        Detects("was made and does not exist");
    }

    [Fact]
    public void Removed_subscription_that_exists_is_detected()
    {
        _history.Listed[(Subscriber, Stream)] = [_stays, _leaves];
        Detects("exists although its unsubscribe had returned");
    }

    [Fact]
    public void Event_that_was_never_sent_there_is_detected()
    {
        _history.Events.Add(Observed(_leaves, "a", 5, 515) with { Number = 6 });
        Detects("where the topic has another one");
    }

    [Fact]
    public void Event_survives_its_line()
    {
        var observed = Observed(_stays, "a", 5, 600);
        Assert.Equal(observed, SubscriptionEvent.Parse(observed.ToLine()));
    }

    private void Detects(string what) => Assert.Contains(_history.Judge(), wrong => wrong.Contains(what, StringComparison.Ordinal));

    private void Rewind(int number)
    {
        var at = Event(SubscriptionEventKind.Rewinding, _stays, 2_000, 2_000) with { Partition = 1, Offset = 2 * number };
        _history.Events.Add(at);
        _history.Events.Add(at with { Kind = SubscriptionEventKind.Rewound, End = 2_050 });
    }

    private void Observe(Guid subscription, string activation, params int[] numbers) =>
        _history.Events.AddRange(numbers.Select(number => Observed(subscription, activation, number,
            (100 * number) + (activation == "a" ? 20 : 30))));

    private void ObserveFrom(long time, Guid subscription, string activation, params int[] numbers) =>
        _history.Events.AddRange(numbers.Index().Select(one => Observed(subscription, activation, one.Item, time + (10 * one.Index))));

    private static SubscriptionEvent Observed(Guid subscription, string activation, int number, long begin) =>
        Event(SubscriptionEventKind.Observed, subscription, begin, begin + 5) with
        {
            Activation = activation, Partition = 1, Offset = 2 * number, Number = number,
        };

    private static SubscriptionEvent Event(SubscriptionEventKind kind, Guid subscription, long begin, long end) =>
        new(kind, begin, end, subscription, "a", Subscriber, Stream);
}
