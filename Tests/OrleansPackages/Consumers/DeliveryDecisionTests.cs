using OrleansMq.Consumers;

namespace OrleansMq.Tests.OrleansPackages.Consumers;

/// <summary>What is done with an event, from the answers of its subscribers.</summary>
public sealed class DeliveryDecisionTests
{
    private static readonly DeliveryOptions Options = new()
    {
        MaxAttempts = 3,
        RetryDelay = TimeSpan.FromSeconds(1),
        MaxRetryDelay = TimeSpan.FromSeconds(5),
    };

    [Fact]
    public void Event_without_subscribers_is_settled() => Assert.Equal(DeliveryAction.Complete, Decide(0).Action);

    [Fact]
    public void Event_that_all_have_served_is_settled() =>
        Assert.Equal(DeliveryAction.Complete, Decide(0, DeliveryOutcome.Served, DeliveryOutcome.Served).Action);

    [Theory]
    [InlineData(nameof(DeliveryOutcome.Failed))]
    [InlineData(nameof(DeliveryOutcome.NotObserved))]
    public void Failure_is_retried_up_to_the_limit_and_then_dead_lettered(string name)
    {
        var outcome = Enum.Parse<DeliveryOutcome>(name);
        Assert.Equal(DeliveryAction.Retry, Decide(0, outcome, DeliveryOutcome.Served).Action);
        Assert.Equal(DeliveryAction.Retry, Decide(1, outcome).Action);
        Assert.Equal(DeliveryAction.DeadLetter, Decide(2, outcome).Action);
        // A silo that died counts too: the limit may be passed already.
        Assert.Equal(DeliveryAction.DeadLetter, Decide(9, outcome).Action);
    }

    [Fact]
    public void Event_that_cannot_be_read_is_dead_lettered_at_once() =>
        Assert.Equal(DeliveryAction.DeadLetter, Decide(0, DeliveryOutcome.Unreadable, DeliveryOutcome.Served).Action);

    [Fact]
    public void Event_that_cannot_be_read_by_one_is_retried_for_another() =>
        Assert.Equal(DeliveryAction.Retry, Decide(0, DeliveryOutcome.Unreadable, DeliveryOutcome.Failed).Action);

    [Theory]
    [InlineData(0)]
    [InlineData(2)]
    [InlineData(500)]
    public void Subscriber_that_was_not_reached_is_waited_for_however_long(int failures)
    {
        Assert.Equal(DeliveryAction.Release, Decide(failures, DeliveryOutcome.Unreachable).Action);
        Assert.Equal(DeliveryAction.Release, Decide(failures, DeliveryOutcome.Unreachable, DeliveryOutcome.Unreadable).Action);
    }

    [Fact]
    public void Subscriber_that_was_not_reached_for_the_longest_wait_ends_it_with_its_cause()
    {
        var options = Options with { UnreachableTimeout = TimeSpan.FromSeconds(22) };
        var (old, unreached) = (TimeSpan.FromSeconds(22), new DeliveryAnswer(0, DeliveryOutcome.Unreachable, "away"));
        // The waits are 1, 2, 4, 5, 5 and 5 seconds.
        Assert.Equal(new(DeliveryAction.Release, TimeSpan.FromSeconds(5), "away"), Decide(6, old, options));
        var over = Decide(7, old, options);
        Assert.Equal(DeliveryAction.DeadLetter, over.Action);
        Assert.Equal("Its grain was not reached for 00:00:22, which is the UnreachableTimeout.\naway", over.Cause);
        // A record that came back often without a wait, and one whose timestamp is ahead of the clock.
        Assert.Equal(DeliveryAction.Release, Decide(7_000, old - TimeSpan.FromTicks(1), options).Action);
        Assert.Equal(DeliveryAction.DeadLetter, Decide(7, TimeSpan.FromTicks(-1), options).Action);
        Assert.Equal(DeliveryAction.Release, Decide(int.MaxValue, TimeSpan.FromDays(10_000), options with { UnreachableTimeout = null })
            .Action);
        // One that may be tried again is.
        Assert.Equal(DeliveryAction.Retry, DeliveryDecision.Of([unreached, new(0, DeliveryOutcome.Failed)], 0, 7, old, options).Action);

        DeliveryDecision Decide(int deliveries, TimeSpan age, DeliveryOptions with) =>
            DeliveryDecision.Of([unreached], 0, deliveries, age, with);
    }

    [Theory]
    [InlineData(nameof(DeliveryOutcome.Undecided))]
    [InlineData(nameof(DeliveryOutcome.Waits))]
    public void Event_of_which_it_is_not_known_whom_it_concerns_is_released_however_long_it_waits(string name)
    {
        var options = Options with { UnreachableTimeout = TimeSpan.FromSeconds(22) };
        var open = new DeliveryAnswer(0, Enum.Parse<DeliveryOutcome>(name), "not now");
        var over = new DeliveryAnswer(0, DeliveryOutcome.Unreachable, "away");
        Assert.Equal(DeliveryAction.DeadLetter, Decide(over));
        Assert.Equal(DeliveryAction.Release, Decide(open));
        Assert.Equal(DeliveryAction.Release, Decide(open, over));

        DeliveryAction Decide(params DeliveryAnswer[] answers) =>
            DeliveryDecision.Of(answers, 0, 1_000, TimeSpan.FromDays(1), options).Action;
    }

    [Fact]
    public void Subscriber_that_was_not_reached_is_not_skipped_when_another_has_failed_too_often() =>
        Assert.Equal(DeliveryAction.Release, Decide(2, DeliveryOutcome.Failed, DeliveryOutcome.Unreachable).Action);

    [Fact]
    public void Event_that_waits_for_a_change_of_cursors_alone_comes_soon_and_its_delivery_does_not_count()
    {
        var waits = new DeliveryDecision(DeliveryAction.Release, TimeSpan.FromMilliseconds(100), null) { IsUncounted = true };
        Assert.Equal(waits, Decide(0, DeliveryOutcome.Waits, DeliveryOutcome.Served));
        Assert.Equal(waits, Decide(9, DeliveryOutcome.Waits, DeliveryOutcome.Waits));
    }

    [Theory]
    [InlineData(nameof(DeliveryOutcome.Unreachable), nameof(DeliveryOutcome.Served))]
    [InlineData(nameof(DeliveryOutcome.Undecided), nameof(DeliveryOutcome.Served))]
    [InlineData(nameof(DeliveryOutcome.Unreachable), nameof(DeliveryOutcome.Waits))]
    [InlineData(nameof(DeliveryOutcome.Undecided), nameof(DeliveryOutcome.Waits))]
    public void Delivery_after_which_the_event_waits_longer_each_time_counts(string one, string other)
    {
        var decision = Decide(0, Enum.Parse<DeliveryOutcome>(one), Enum.Parse<DeliveryOutcome>(other));
        Assert.Equal((DeliveryAction.Release, TimeSpan.FromSeconds(1), false), (decision.Action, decision.Delay, decision.IsUncounted));
    }

    [Fact]
    public void Events_before_the_first_one_that_a_subscriber_has_not_served_are_settled()
    {
        var failed = new DeliveryAnswer(3, DeliveryOutcome.Failed, "third");
        var answer = RunAnswer.Of(5, [new(5, DeliveryOutcome.Served), failed, new(4, DeliveryOutcome.Unreadable, "fourth")]);
        Assert.Equal(3, answer.Count);
        Assert.Equal(failed, Assert.Single(answer.Unserved));
        // A subscriber that took long is called again at once, whatever the others say of later events.
        Assert.Empty(RunAnswer.Of(5, [new(2, DeliveryOutcome.Served), failed]).Unserved);
        Assert.Equal(5, RunAnswer.Of(5, []).Count);
    }

    [Fact]
    public void Exceptions_of_an_activation_are_told_from_those_of_the_way_to_it()
    {
        Assert.False(GrainCaller.IsOfActivation(new SiloUnavailableException()));
        Assert.False(GrainCaller.IsOfActivation(new OrleansException("No active nodes are compatible.")));
        Assert.True(GrainCaller.IsOfActivation(new Orleans.Storage.InconsistentStateException("etag")));
        // A silo of an earlier deployment, without the provider.
        Assert.False(GrainCaller.IsOfActivation(new GrainExtensionNotInstalledException("none")));
        Assert.True(GrainCaller.IsOfActivation(new InvalidOperationException("no")));
    }

    [Fact]
    public void Delay_doubles_up_to_the_longest()
    {
        Assert.Equal([1, 2, 4, 5, 5],
            new[] { 0, 1, 2, 3, 1_000_000 }.Select(earlier => DeliveryDecision.DelayOf(earlier, Options).TotalSeconds));
        Assert.Equal(TimeSpan.FromSeconds(2), Decide(1, DeliveryOutcome.Failed).Delay);
    }

    [Fact]
    public void Causes_of_all_subscribers_are_named() => Assert.Equal("cause 0\ncause 2",
        Decide(2, DeliveryOutcome.Failed, DeliveryOutcome.Served, DeliveryOutcome.Unreadable).Cause);

    private static DeliveryDecision Decide(int failures, params DeliveryOutcome[] outcomes) => DeliveryDecision.Of(
        RunAnswer.Of(1, [.. outcomes.Select((outcome, index) => new DeliveryAnswer(outcome == DeliveryOutcome.Served ? 1 : 0, outcome,
            $"cause {index}"))]).Unserved, failures, 1, TimeSpan.Zero, Options);
}
