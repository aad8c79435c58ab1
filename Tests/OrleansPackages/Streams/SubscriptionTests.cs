using OrleansMq.Consumers;
using OrleansMq.Streams;

namespace OrleansMq.Tests.OrleansPackages.Streams;

/// <summary>The table of explicit subscriptions, and how its readers share rounds.</summary>
public sealed class SubscriptionTests
{
    private static readonly StreamId Orders = StreamId.Create("orders", "k");
    private readonly SubscriptionTable _table = new();

    [Fact]
    public void Table_has_what_the_records_say()
    {
        var (first, second) = (Guid.NewGuid(), Guid.NewGuid());
        Write("orders", first, "reader/1");
        Write("orders", second, "reader/2");
        Write("bills", Guid.NewGuid(), "reader/3");
        Assert.Equal(new[] { first, second }.Order(), _table.Find(Orders).Select(found => found.Id));
        Assert.Equal(["bills", "orders"], _table.Topics.Order(StringComparer.Ordinal));
        Remove("orders", first);
        Assert.Equal(GrainId.Parse("reader/2"), Assert.Single(_table.Find(Orders)).Grain);
        Remove("orders", second);
        Assert.Empty(_table.Find(Orders));
        Assert.Equal("bills", Assert.Single(_table.Topics));
    }

    [Fact]
    public void Record_that_comes_twice_changes_nothing()
    {
        var id = Guid.NewGuid();
        Write("orders", id, "reader/1");
        Write("orders", id, "reader/1");
        Remove("orders", id);
        Remove("orders", id);
        Assert.Empty(_table.Topics);
    }

    [Fact]
    public void Subscription_receives_what_was_appended_after_it()
    {
        var queue = Guid.NewGuid();
        var subscription = new ExplicitSubscription(Guid.NewGuid(), GrainId.Parse("reader/1"), 2, queue, 10);
        Assert.False(_table.PartOf(subscription, 2, queue).Takes(9));
        Assert.True(_table.PartOf(subscription, 2, queue).Takes(10));
        // Another partition, and another incarnation of the topic, which is newer.
        Assert.True(_table.PartOf(subscription, 1, queue).Takes(0));
        Assert.True(_table.PartOf(subscription, 2, Guid.NewGuid()).Takes(0));
    }

    [Fact]
    public void Subscription_that_is_replayed_receives_from_the_shared_cursor_what_comes_after_the_replay()
    {
        var (id, queue, replay) = (Guid.NewGuid(), Guid.NewGuid(), new Replay(Guid.NewGuid(), 1, Guid.NewGuid(), 5));
        Assert.Null(_table.FindStep(replay.Id));
        Write("orders", id, "reader/1", queue, first: 10, replay);
        Assert.Equal((ReplayStep.Replaying, false), Part(12));
        Assert.Equal(id, Assert.Single(_table.Replays).Subscription.Id);
        Write(replay, ReplayStep.Joining, 0);
        Assert.Equal((ReplayStep.Joining, false), Part(12));
        Assert.Single(_table.Replays);
        Write(replay, ReplayStep.Joined, 12);
        Assert.Equal((ReplayStep.Joined, false), Part(11));
        Assert.Equal((ReplayStep.Joined, true), Part(12));
        Assert.Empty(_table.Replays);
        // A silo that was slower.
        Write(replay, ReplayStep.Joining, 0);
        Assert.Equal(ReplayStep.Joined, _table.FindStep(replay.Id));
        // Another topic of that name is delivered from its beginning by the shared cursor.
        Assert.True(_table.PartOf(_table.Find(Orders)[0], 0, Guid.NewGuid()).Takes(0));

        (ReplayStep, bool) Part(long offset) => _table.PartOf(_table.Find(Orders)[0], 0, queue) is var part
            ? (part.Step, part.Takes(offset)) : default;
    }

    [Fact]
    public void Later_replay_of_a_subscription_takes_the_place_of_the_earlier_one()
    {
        var (id, queue) = (Guid.NewGuid(), Guid.NewGuid());
        var (first, second) = (new Replay(Guid.NewGuid(), 1, Guid.NewGuid(), 5), new Replay(Guid.NewGuid(), 2, Guid.NewGuid(), 3));
        Write("orders", id, "reader/1", queue, first: 10, first);
        Write(first, ReplayStep.Joined, 12);
        Write("orders", id, "reader/1", queue, first: 14, second);
        Assert.Null(_table.FindStep(first.Id));
        Assert.Equal(ReplayStep.Replaying, _table.FindStep(second.Id));
        Write(first, ReplayStep.Joined, 12);
        Assert.Equal(ReplayStep.Replaying, _table.PartOf(_table.Find(Orders)[0], 0, queue).Step);
        Remove("orders", id);
        Assert.Empty(_table.Replays);
        Assert.Null(_table.FindStep(second.Id));
    }

    [Fact]
    public void First_split_of_a_subscription_is_in_force_and_none_of_one_that_was_removed_or_replayed_meanwhile()
    {
        var (id, queue, replay) = (Guid.NewGuid(), Guid.NewGuid(), new Replay(Guid.NewGuid(), 3, Guid.NewGuid(), 5));
        Write("orders", id, "reader/1", queue, first: 10, replay);
        var before = _table.Find(Orders, id)!;
        var (first, second) = (before.Split(replay.TopicId, 7, failures: 2), before.Split(replay.TopicId, 6, failures: 0));
        Write(id, queue, first);
        Write(id, queue, second);
        Assert.Equal(first, _table.Find(Orders, id)!.Replay);
        Assert.Equal((4, replay.Id, 2, 0), (first.Number, first.Origin, first.FailuresAt(7), first.FailuresAt(8)));
        Assert.Equal(ReplayStep.Replaying, _table.PartOf(_table.Find(Orders, id)!, 0, queue).Step);
        Assert.Equal(1, _table.CountSplits("orders"));
        Assert.Null(_table.FindStep(second.Id));
        // A split of a split goes on with the same events.
        var third = _table.Find(Orders, id)!.Split(replay.TopicId, 9, failures: 0);
        Write(first, ReplayStep.Joined, 9);
        Assert.Equal(0, _table.CountSplits("orders"));
        Write(id, queue, third);
        Assert.Equal((5, replay.Id), (_table.Find(Orders, id)!.Replay!.Number, third.Origin));
        Assert.Equal(ReplayStep.Replaying, _table.PartOf(_table.Find(Orders, id)!, 0, queue).Step);
        // A token in the meantime, whose call saw an earlier replay.
        var late = _table.Find(Orders, id)!.Split(replay.TopicId, 9, failures: 0);
        var token = new Replay(Guid.NewGuid(), 5, replay.TopicId, 0);
        Write("orders", id, "reader/1", queue, first: 10, token);
        Write(id, queue, late);
        Assert.Equal(token, _table.Find(Orders, id)!.Replay);
        // A removal in the meantime.
        var last = _table.Find(Orders, id)!.Split(replay.TopicId, 9, failures: 0);
        Remove("orders", id);
        Write(id, queue, last);
        Assert.Empty(_table.Find(Orders));
        Assert.Empty(_table.Topics);
        Assert.Empty(_table.Replays);
    }

    [Fact]
    public void First_token_of_a_generation_is_in_force_and_none_that_comes_after_a_later_one_or_a_removal()
    {
        var (id, queue, topic) = (Guid.NewGuid(), Guid.NewGuid(), Guid.NewGuid());
        Write("orders", id, "reader/1");
        var before = Current();
        var (first, second) = (before.Rewind(topic, 5), before.Rewind(topic, 100));
        Write(id, queue, first, partition: 3);
        Write(id, queue, second);
        Assert.Equal((first, 3, queue), (Current().Replay, Current().Partition, Current().Queue));
        Assert.Equal(ReplayStep.Replaying, _table.FindStep(first.Id));
        // Splits go on with it, whatever comes late.
        var (split, late) = (Current().Split(topic, 7, failures: 0), before.Split(topic, 2, failures: 0));
        Write(id, queue, split);
        Write(id, queue, late);
        Write(id, queue, second);
        Assert.Equal((split, first.Id, 1), (Current().Replay, split.Origin, split.Generation));
        Write(id, queue, Current().Split(topic, 8, failures: 0));
        // Of a later generation, with a lower number.
        var third = before with { Replay = first };
        Write(id, queue, third.Rewind(topic, 0));
        Assert.Equal((2, 2), (Current().Replay!.Generation, Current().Replay!.Number));
        Assert.Equal(3, _table.FindLeft().Select(static key => NextReplayKey.TryParse(key)!.Id).Intersect([first.Id, second.Id, split.Id])
            .Count());
        Remove("orders", id);
        Write(id, queue, third.Rewind(topic, 0) with { Generation = 3 });
        Assert.Empty(_table.Find(Orders));
        Assert.Empty(_table.Replays);

        ExplicitSubscription Current() => _table.Find(Orders, id)!;
    }

    [Fact]
    public void Subscription_that_is_abandoned_is_gone_unless_an_activation_has_resumed_it_before()
    {
        var (gone, kept) = (Guid.NewGuid(), Guid.NewGuid());
        Write("orders", gone, "reader/1", Guid.Empty, first: 0, new Replay(Guid.NewGuid(), 1, Guid.NewGuid(), 5));
        Write("orders", kept, "reader/2");
        var (abandoned, late) = (Claim(gone, SubscriptionClaim.Abandoned), Claim(gone, SubscriptionClaim.Resumed));
        var (resumed, refused) = (Claim(kept, SubscriptionClaim.Resumed), Claim(kept, SubscriptionClaim.Abandoned));
        var again = Claim(kept, SubscriptionClaim.Resumed);
        Assert.Equal(kept, Assert.Single(_table.Find(Orders)).Id);
        Assert.Equal((true, false), (_table.IsAbandoned(gone), _table.IsResumed(gone)));
        Assert.Equal((false, true), (_table.IsAbandoned(kept), _table.IsResumed(kept)));
        Assert.Empty(_table.Replays);
        // A copy of its record does not bring it back.
        Write("orders", gone, "reader/1");
        Assert.Single(_table.Find(Orders));
        Assert.Equal(Keys(KeyOf("orders", gone).ToBytes(), late.ToBytes(), refused.ToBytes(), again.ToBytes()), Keys(_table.FindLeft()));
        Sweep();
        // It decides until the subscription's own record is removed.
        Assert.Equal(Keys(abandoned.ToBytes()), Keys(_table.FindLeft()));
        Sweep();
        Assert.Empty(_table.FindLeft());
        Assert.False(_table.IsAbandoned(gone));
        Remove("orders", kept);
        Assert.False(_table.IsResumed(kept));
        Assert.Equal(Keys(resumed.ToBytes()), Keys(_table.FindLeft()));

        void Sweep()
        {
            foreach (var left in _table.FindLeft())
                _table.Apply(left, null);
        }
    }

    [Fact]
    public void Claims_decide_the_same_whatever_sweeps_and_compaction_have_removed()
    {
        for (var seed = 0; seed < 500; seed++)
        {
            var (random, id) = (new Random(seed), Guid.NewGuid());
            var (log, first) = (new List<(byte[] Key, byte[]? Value)>(), new SubscriptionTable());
            Append(KeyOf("orders", id).ToBytes(), new SubscriptionValue("reader/1", 0, Guid.Empty, 0).ToBytes());
            for (var step = 0; step < 12; step++)
            {
                var left = first.FindLeft();
                if (random.Next(3) == 0 && left.Count > 0)
                    Append(left[random.Next(left.Count)], null);
                else if (random.Next(4) == 0 && first.IsAbandoned(id))
                    Append(KeyOf("orders", id).ToBytes(), null);
                else
                {
                    var claim = new ClaimKey(Guid.NewGuid(), (SubscriptionClaim)random.Next(1, 3), KeyOf("orders", id));
                    Append(claim.ToBytes(), ClaimKey.Value.ToArray());
                }
                // What a later record of its key has replaced may be there yet, or not.
                var later = new SubscriptionTable();
                for (var index = 0; index < log.Count; index++)
                {
                    var (key, value) = log[index];
                    if (random.Next(2) == 0 || !log.Skip(index + 1).Any(other => other.Key.AsSpan().SequenceEqual(key)))
                        later.Apply(key, value is null ? default(ReadOnlyMemory<byte>?) : value);
                }
                Assert.True(first.Find(Orders).Length == later.Find(Orders).Length, $"seed {seed}, step {step}");
            }

            void Append(byte[] key, byte[]? value)
            {
                log.Add((key, value));
                first.Apply(key, value is null ? default(ReadOnlyMemory<byte>?) : value);
            }
        }
    }

    [Fact]
    public void Subscription_that_an_activation_has_given_up_is_no_longer_removed_for_it_when_another_one_has_resumed_it()
    {
        var (id, abandoning) = (Guid.NewGuid(), new TaskCompletionSource());
        var place = new SubscriptionPlace(_table, Orders, id, abandoning: abandoning.Task);
        // Its record may come yet.
        Assert.Equal((false, false), (place.IsGone, place.IsKept));
        Write("orders", id, "reader/1");
        Claim(id, SubscriptionClaim.Resumed);
        Claim(id, SubscriptionClaim.Abandoned);
        Assert.Equal((false, false), (place.IsGone, place.IsKept));
        abandoning.SetResult();
        Assert.Equal((false, true), (place.IsGone, place.IsKept));
        Remove("orders", id);
        Assert.Equal((true, false), (place.IsGone, place.IsKept));
        // One of which the table has not read yet.
        Assert.False(new SubscriptionPlace(_table, Orders, Guid.NewGuid(), static () => false).IsGone);
        var removed = new DeliveryAnswer(0, DeliveryOutcome.Removed);
        Assert.Equal(DeliveryOutcome.Unreachable, StreamSubscribers.AnswerOf(removed).Outcome);
    }

    [Fact]
    public void Step_that_comes_when_its_replay_is_over_leaves_nothing_in_the_table()
    {
        var (id, queue) = (Guid.NewGuid(), Guid.NewGuid());
        Write("orders", id, "reader/1", queue, first: 10, new Replay(Guid.NewGuid(), 1, Guid.NewGuid(), 5));
        var over = _table.Find(Orders, id)!.Replay!;
        var split = _table.Find(Orders, id)!.Split(over.TopicId, 7, failures: 0);
        Write(id, queue, split);
        Write(over, ReplayStep.Joined, 12);
        Assert.Equal(ReplayStep.Replaying, _table.PartOf(new ExplicitSubscription(id, default, 0, queue, 10, over), 0, queue).Step);
        Assert.Equal(over.Id, ReplayKey.TryParse(Assert.Single(_table.FindLeft()))!.Replay);
        _table.Apply(Assert.Single(_table.FindLeft()), null);
        Assert.Empty(_table.FindLeft());
        Write(split, ReplayStep.Joined, 12);
        Assert.Empty(_table.FindLeft());
        Remove("orders", id);
        Write(split, ReplayStep.Joining, 0);
        Assert.Equal(3, _table.FindLeft().Count);
        foreach (var left in _table.FindLeft())
            _table.Apply(left, null);
        Assert.Empty(_table.FindLeft());
        Assert.False(_table.HasRecord(split.Id));
    }

    [Fact]
    public void Activation_goes_back_to_what_it_has_served_unless_the_later_replay_has_delivered()
    {
        var (queue, before) = (Guid.NewGuid(), new KnownReplay(3, Guid.NewGuid(), Guid.Empty));
        var token = new KnownReplay(2, Guid.NewGuid(), Guid.NewGuid(), Generation: 1);
        var events = new ServedEvents();
        events.Deliver(before);
        events.Serve(before, queue, 0, 7);
        // Of a later generation, whatever its number is.
        events.Begin(token);
        Assert.True(events.IsOutdated(before));
        Assert.Null(events.Last(queue, 0));
        Assert.True(events.GoBack(before));
        Assert.Equal((before, 7L), (events.Replay, events.Last(queue, 0)));
        events.Begin(token);
        events.Deliver(token);
        Assert.False(events.GoBack(before));
        Assert.Equal(token, events.Replay);
    }

    [Fact]
    public void Activation_goes_back_to_the_token_that_came_into_force_between_two_that_it_gives_up()
    {
        var (queue, before) = (Guid.NewGuid(), new KnownReplay(1, Guid.NewGuid(), Guid.Empty));
        var (own, other, next) = (Token(1), Token(1), Token(2));
        var events = new ServedEvents();
        events.Deliver(before);
        events.Serve(before, queue, 0, 7);
        events.Begin(own);
        events.Learn(other);
        Assert.Equal(other, events.Replay);
        events.Serve(other, queue, 0, 3);
        events.Begin(next);
        Assert.True(events.GoBack(before));
        Assert.Equal((other, 3L), (events.Replay, events.Last(queue, 0)));
        Assert.True(events.IsOutdated(before));
        // What the table of a silo had before, and a split, which its first delivery begins.
        events.Learn(before);
        events.Learn(other with { Number = other.Number + 1, Id = Guid.NewGuid() });
        Assert.Equal(other, events.Replay);

        static KnownReplay Token(int generation)
        {
            var id = Guid.NewGuid();
            return new KnownReplay(1 + generation, id, id, generation);
        }
    }

    [Fact]
    public void Split_and_claim_are_no_subscription_for_an_earlier_version()
    {
        var key = new NextReplayKey(Guid.NewGuid(), new SubscriptionKey("orders", "k"u8.ToArray(), Guid.NewGuid())).ToBytes();
        Assert.Null(ReplayKey.TryParse(key));
        Assert.Null(SubscriptionKey.Parse(key).Topic);
        Assert.Null(ClaimKey.TryParse(key));
        Assert.Null(NextReplayKey.TryParse(KeyOf("orders", Guid.NewGuid()).ToBytes()));
        Assert.Null(ClaimKey.TryParse(KeyOf("orders", Guid.NewGuid()).ToBytes()));
        var claim = new ClaimKey(Guid.NewGuid(), SubscriptionClaim.Resumed, KeyOf("orders", Guid.NewGuid())).ToBytes();
        Assert.Null(ReplayKey.TryParse(claim));
        Assert.Null(NextReplayKey.TryParse(claim));
        Assert.Null(SubscriptionKey.Parse(claim).Topic);
        // Records of earlier versions have no origin.
        Assert.False(SubscriptionValue.Parse("""{"grain":"reader/1","replay":{"id":"8f7f5b0e-9c8b-4f0e-8d5f-4d0a5f1c2b3a","number":1}}"""u8)
            .Replay!.IsSplit);
    }

    [Fact]
    public void Subscriber_is_split_when_it_has_held_others_for_the_time_that_it_may()
    {
        var options = new OrleansMqStreamOptions { SplitAfter = TimeSpan.FromSeconds(1), MaxAttempts = 10 };
        Assert.Equal(TimeSpan.FromSeconds(1), SplitDecision.Left(null, options));
        Assert.Equal(TimeSpan.FromMilliseconds(300), SplitDecision.Left(TimeSpan.FromMilliseconds(700), options));
        Assert.Equal(TimeSpan.Zero, SplitDecision.Left(TimeSpan.FromSeconds(1), options));
        // Waits of 100, 200 and 400 ms: with the next one it would be 1.5 seconds.
        var failed = new DeliveryAnswer(0, DeliveryOutcome.Failed, "cause");
        Assert.False(IsSplit(failed, failures: 2, deliveries: 3));
        Assert.True(IsSplit(failed, failures: 3, deliveries: 4));
        Assert.False(SplitDecision.IsSplit(failed, isAhead: false, 3, 4, options, out _));
        Assert.False(SplitDecision.IsSplit(failed, isAhead: true, 3, 4, options with { MaxSplits = 0 }, out _));
        // What is not reached does not count as failed.
        Assert.True(SplitDecision.IsSplit(new DeliveryAnswer(0, DeliveryOutcome.Unreachable, "cause"), true, 0, 4, options, out var count));
        Assert.Equal(0, count);
        Assert.True(SplitDecision.IsSplit(failed, true, 3, 4, options, out count));
        Assert.Equal(4, count);
        // It is dead-lettered at once.
        Assert.False(IsSplit(failed, failures: 9, deliveries: 10));
        Assert.False(IsSplit(new DeliveryAnswer(0, DeliveryOutcome.Unreadable, "cause"), failures: 3, deliveries: 4));
        Assert.False(IsSplit(new DeliveryAnswer(0, DeliveryOutcome.Waits), failures: 3, deliveries: 9));

        bool IsSplit(DeliveryAnswer answer, int failures, int deliveries) =>
            SplitDecision.IsSplit(answer, isAhead: true, failures, deliveries, options, out _);
    }

    [Fact]
    public void Split_joins_after_a_while_and_is_split_again_when_it_holds_its_stream_then()
    {
        var options = new OrleansMqStreamOptions { SplitAfter = TimeSpan.FromSeconds(1) };
        var token = new Replay(Guid.NewGuid(), 1, Guid.NewGuid(), 0);
        Assert.True(SplitDecision.MayJoin(token, TimeSpan.Zero, options));
        var split = token with { Continues = token.Id };
        Assert.False(SplitDecision.MayJoin(split, TimeSpan.FromSeconds(9), options));
        Assert.True(SplitDecision.MayJoin(split, TimeSpan.FromSeconds(10), options));
        Assert.True(SplitDecision.MayJoin(split, TimeSpan.FromMinutes(1), options with { SplitAfter = TimeSpan.FromMinutes(5) }));
        Assert.False(SplitDecision.SplitsAgain(null, isNear: true, options));
        Assert.True(SplitDecision.SplitsAgain(TimeSpan.FromSeconds(1), isNear: true, options));
        Assert.False(SplitDecision.SplitsAgain(TimeSpan.FromSeconds(2), isNear: false, options));
        Assert.True(SplitDecision.SplitsAgain(TimeSpan.FromSeconds(3), isNear: false, options));
        Assert.False(SplitDecision.SplitsAgain(TimeSpan.FromSeconds(3), isNear: true, options with { MaxSplits = 0 }));
    }

    [Fact]
    public async Task Caller_shares_only_a_round_that_began_after_its_call()
    {
        var gates = new List<TaskCompletionSource>();
        var round = new SharedRound(() =>
        {
            var gate = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            lock (gates)
                gates.Add(gate);
            return gate.Task;
        });
        var first = round.RunAsync();
        await Wait.UntilAsync(() => gates.Count == 1, "the first round runs");
        var (second, third) = (round.RunAsync(), round.RunAsync());
        gates[0].SetResult();
        await first;
        await Wait.UntilAsync(() => gates.Count == 2, "the second round runs");
        Assert.False(second.IsCompleted);
        var fourth = round.RunAsync();
        gates[1].SetException(new TimeoutException());
        await Assert.ThrowsAsync<TimeoutException>(() => second);
        await Assert.ThrowsAsync<TimeoutException>(() => third);
        await Wait.UntilAsync(() => gates.Count == 3, "the third round runs");
        Assert.False(fourth.IsCompleted);
        gates[2].SetResult();
        await fourth;
        Assert.Equal(3, gates.Count);
    }

    [Fact]
    public void Topic_of_subscriptions_with_fewer_replicas_than_brokers_can_hold_is_reported()
    {
        Assert.Equal((1, "2,1,3"), SubscriptionLog.MissingReplicas([2], [1, 2, 3, 4]));
        Assert.Equal((1, "2,1"), SubscriptionLog.MissingReplicas([2], [2, 1]));
        Assert.Null(SubscriptionLog.MissingReplicas([1, 2, 3], [1, 2, 3, 4]));
        Assert.Null(SubscriptionLog.MissingReplicas([1], [1]));
        // A broker without a cluster.
        Assert.Null(SubscriptionLog.MissingReplicas([], [0]));
    }

    private void Write(string topic, Guid id, string grain) => _table.Apply(new SubscriptionKey(topic, "k"u8.ToArray(), id).ToBytes(),
        new SubscriptionValue(grain, 0, Guid.Empty, 0).ToBytes());

    private void Write(string topic, Guid id, string grain, Guid queue, long first, Replay replay) => _table.Apply(
        new SubscriptionKey(topic, "k"u8.ToArray(), id).ToBytes(), new SubscriptionValue(grain, 0, queue, first, replay).ToBytes());

    private void Write(Guid id, Guid queue, Replay next, int? partition = null) => _table.Apply(new NextReplayKey(next.Id,
        new SubscriptionKey("orders", "k"u8.ToArray(), id)).ToBytes(), new NextReplayValue(queue, next, partition).ToBytes());

    private ClaimKey Claim(Guid id, SubscriptionClaim kind)
    {
        var claim = new ClaimKey(Guid.NewGuid(), kind, KeyOf("orders", id));
        _table.Apply(claim.ToBytes(), ClaimKey.Value.ToArray());
        return claim;
    }

    private static SubscriptionKey KeyOf(string topic, Guid id) => new(topic, "k"u8.ToArray(), id);

    private static IEnumerable<string> Keys(params IEnumerable<byte[]> keys) =>
        keys.Select(Convert.ToHexString).Order(StringComparer.Ordinal);

    private void Write(Replay replay, ReplayStep step, long first) =>
        _table.Apply(new ReplayKey(replay.Id, step).ToBytes(), new ReplayValue(first).ToBytes());

    private void Remove(string topic, Guid id) => _table.Apply(new SubscriptionKey(topic, "k"u8.ToArray(), id).ToBytes(), null);
}
