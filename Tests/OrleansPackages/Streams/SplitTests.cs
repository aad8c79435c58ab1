using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Orleans.Streams;
using OrleansMq.Api;
using OrleansMq.Client;
using OrleansMq.Streams;

namespace OrleansMq.Tests.OrleansPackages.Streams;

/// <summary>Explicit subscriptions that do not keep pace with others of their stream, on one silo: they continue on their own, hold no
/// other, and join them again.</summary>
public sealed class SplitTests : IAsyncLifetime
{
    private readonly TempDirectory _data = new();
    private TestSilo _silo = null!;
    private OrleansMqClient _client = null!;
    private FaultyStreamBroker _broker = null!;

    public Task InitializeAsync() => StartAsync(static options => options);

    public async Task DisposeAsync()
    {
        await _silo.DisposeAsync();
        _data.Dispose();
    }

    [Fact]
    public async Task Subscriber_that_hangs_holds_no_other_and_joins_again_when_it_has_caught_up()
    {
        var gate = new TaskCompletionSource();
        StreamScript.On("split-hangs", (happened, grain) => happened.Number == 3 && IsFirst(grain) ? gate.Task : Task.CompletedTask);
        var (reader, other) = await SubscribeAsync("split-hangs");
        await SendAsync("split-hangs", 0, 50);
        await ReceivedAsync(other, 50);
        await SendAsync("split-hangs", 50, 100);
        await ReceivedAsync(other, 100);
        Assert.Equal([0, 1, 2], Received(reader));
        await SplitAsync("split-hangs");
        // A subscription that is made now is not held, either.
        var late = Reader("split-hangs/k/3");
        await late.SubscribeAsync();
        await SendAsync("split-hangs", 100, 120);
        await Wait.UntilAsync(() => Received(late).Length == 20, "the late one");

        gate.SetResult();

        await ReceivedAsync(reader, 120);
        await JoinedAsync("split-hangs");
        await SendAsync("split-hangs", 120, 140);
        await ReceivedAsync(reader, 140);
        await ReceivedAsync(other, 140);
        Assert.Equal(Enumerable.Range(100, 40), Received(late));
        Assert.Empty(await ReplayQueuesAsync("split-hangs"));
    }

    [Fact]
    public async Task Subscriber_that_fails_holds_no_other_and_its_attempts_count_over_the_split()
    {
        const int Attempts = 4;
        await RestartAsync(static options => options with { MaxAttempts = Attempts, RetryDelay = TimeSpan.FromMilliseconds(60) });
        var thrown = new System.Collections.Concurrent.ConcurrentDictionary<int, int>();
        StreamScript.On("split-fails", (happened, grain) =>
        {
            if (!IsFirst(grain))
                return Task.CompletedTask;
            thrown.AddOrUpdate(happened.Number, 1, static (_, count) => count + 1);
            throw new InvalidOperationException("never");
        });
        var (_, other) = await SubscribeAsync("split-fails");
        await SendAsync("split-fails", 0, 3);
        await ReceivedAsync(other, 3);
        await Wait.UntilAsync(async () => await LettersAsync("split-fails") == 3, "every event is dead-lettered");
        Assert.Equal(new Dictionary<int, int> { [0] = Attempts, [1] = Attempts, [2] = Attempts }, thrown);
        await JoinedAsync("split-fails");
    }

    [Fact]
    public async Task Subscription_without_an_observer_holds_no_other()
    {
        // So many attempts take hours.
        await RestartAsync(static options => options with { MaxAttempts = 1_000 });
        await _client.Admin.CreateTopicAsync("split-deaf", 1);
        await _silo.Client.GetGrain<IDeafGrain>("split-deaf/k/1").SubscribeAsync();
        var other = Reader("split-deaf/k/2");
        await other.SubscribeAsync();
        await SendAsync("split-deaf", 0, 20);
        await ReceivedAsync(other, 20);
        Assert.Equal(0, await LettersAsync("split-deaf"));
    }

    [Fact]
    public async Task Subscription_without_an_observer_dead_letters_its_events()
    {
        await RestartAsync(static options => options with { MaxAttempts = 3, RetryDelay = TimeSpan.FromMilliseconds(80) });
        await _client.Admin.CreateTopicAsync("split-deaf-letters", 1);
        await _silo.Client.GetGrain<IDeafGrain>("split-deaf-letters/k/1").SubscribeAsync();
        var other = Reader("split-deaf-letters/k/2");
        await other.SubscribeAsync();
        await SendAsync("split-deaf-letters", 0, 3);
        await ReceivedAsync(other, 3);
        await Wait.UntilAsync(async () => await LettersAsync("split-deaf-letters") == 3, "every event is dead-lettered");
    }

    [Fact]
    public async Task Subscription_that_is_removed_while_it_is_split_receives_nothing_more_and_leaves_no_queue()
    {
        await RestartAsync(static options => options with { MaxAttempts = 1_000 });
        var calls = 0;
        StreamScript.On("split-leaves", (_, grain) => IsFirst(grain) && Interlocked.Increment(ref calls) > 0
            ? throw new InvalidOperationException("not yet") : Task.CompletedTask);
        await _client.Admin.CreateTopicAsync("split-leaves", 1);
        var (reader, other) = (Reader("split-leaves/k/1"), Reader("split-leaves/k/2"));
        var handle = await reader.SubscribeAsync();
        await other.SubscribeAsync();
        await SendAsync("split-leaves", 0, 5);
        await ReceivedAsync(other, 5);
        await SplitAsync("split-leaves");
        await reader.UnsubscribeAsync(handle);
        var before = calls;
        await Wait.UntilAsync(async () => (await ReplayQueuesAsync("split-leaves")).Count == 0, "no queue is left");
        await SendAsync("split-leaves", 5, 10);
        await ReceivedAsync(other, 10);
        // The call that was under way.
        Assert.InRange(calls, before, before + 1);
        Assert.Equal(0, await reader.CountAsync());
        Assert.Equal(0, await LettersAsync("split-leaves"));
    }

    [Fact]
    public async Task Subscription_that_is_resumed_from_a_token_while_it_is_split_receives_from_there_on()
    {
        await RestartAsync(static options => options with { MaxAttempts = 1_000 });
        var isRefused = true;
        StreamScript.On("split-rewinds", (happened, grain) => IsFirst(grain) && happened.Number == 5 && isRefused
            ? throw new InvalidOperationException("not yet") : Task.CompletedTask);
        await _client.Admin.CreateTopicAsync("split-rewinds", 1);
        var (reader, other) = (Reader("split-rewinds/k/1"), Reader("split-rewinds/k/2"));
        var handle = await reader.SubscribeAsync();
        await other.SubscribeAsync();
        await SendAsync("split-rewinds", 0, 20);
        await ReceivedAsync(other, 20);
        await SplitAsync("split-rewinds");
        Assert.Equal(Enumerable.Range(0, 5), Received(reader));
        isRefused = false;
        await reader.ResumeFromAsync(handle, new StreamOffset(0, 2));
        await Wait.UntilAsync(() => Received(reader) is [.., 19] received && received[^18..].SequenceEqual(Enumerable.Range(2, 18)),
            "from the token on");
        await SendAsync("split-rewinds", 20, 25);
        await Wait.UntilAsync(() => Received(reader) is [.., 24] received && received[^23..].SequenceEqual(Enumerable.Range(2, 23)),
            "and what comes");
        await JoinedAsync("split-rewinds");
    }

    [Fact]
    public async Task Subscriber_that_hangs_while_it_joins_holds_no_other()
    {
        var gate = new TaskCompletionSource();
        StreamScript.On("split-joins", (happened, grain) => happened.Number == 3 && IsFirst(grain) ? gate.Task : Task.CompletedTask);
        var (reader, other) = await SubscribeAsync("split-joins");
        var offsets = await SendAsync("split-joins", 0, 10);
        await ReceivedAsync(other, 10);
        await SplitAsync("split-joins", reader);
        // As if it had been near the end before it hung.
        var split = Assert.Single(Table.Replays).Subscription.Replay!;
        await Provider.Subscriptions.WriteAsync(new ReplayKey(split.Id, ReplayStep.Joining), new ReplayValue(0), CancellationToken.None);
        await SendAsync("split-joins", 10, 20);
        await ReceivedAsync(other, 20);
        var again = Assert.Single(Table.Replays).Subscription.Replay!;
        Assert.Equal((split.Number + 1, split.Origin), (again.Number, again.Origin));
        Assert.InRange(again.From, split.From, offsets[3]);
        gate.SetResult();
        await ReceivedAsync(reader, 20);
        await JoinedAsync("split-joins");
    }

    [Theory]
    [InlineData("split-blind", false)]
    [InlineData("split-blind-held", true)]
    public async Task Stream_goes_on_where_it_cannot_be_told_how_far_a_subscriber_is_that_joins(string topic, bool isHeld)
    {
        var gate = new TaskCompletionSource();
        StreamScript.On(topic, (happened, grain) => happened.Number == 3 && IsFirst(grain) ? gate.Task : Task.CompletedTask);
        var (reader, other) = await SubscribeAsync(topic);
        var offsets = await SendAsync(topic, 0, 10);
        await ReceivedAsync(other, 10);
        await SplitAsync(topic, reader);
        _broker.Unproven = topic;
        // Nor does the stream wait until the replay's consumer has left its queue.
        var detaching = new TaskCompletionSource();
        if (isHeld)
            _broker.FaultyQueues.Detaching = detaching.Task;
        var split = Assert.Single(Table.Replays).Subscription.Replay!;
        await Provider.Subscriptions.WriteAsync(new ReplayKey(split.Id, ReplayStep.Joining), new ReplayValue(0), CancellationToken.None);
        await SendAsync(topic, 10, 20);
        await ReceivedAsync(other, 20);
        var again = Assert.Single(Table.Replays).Subscription.Replay!;
        Assert.Equal((split.Number + 1, split.Origin), (again.Number, again.Origin));
        Assert.InRange(again.From, split.From, offsets[3]);
        _broker.Unproven = null;
        detaching.SetResult();
        gate.SetResult();
        await ReceivedAsync(reader, 20);
        await JoinedAsync(topic);
    }

    [Theory]
    [InlineData("split-written", true)]
    [InlineData("split-lost", false)]
    public async Task Split_whose_write_is_not_answered_is_tried_again_with_its_own_cursor(string topic, bool isWritten)
    {
        var gate = new TaskCompletionSource();
        StreamScript.On(topic, (happened, grain) => happened.Number == 3 && IsFirst(grain) ? gate.Task : Task.CompletedTask);
        var (reader, other) = await SubscribeAsync(topic);
        var writes = 0;
        _broker.OnWrite = async write =>
        {
            if (Interlocked.Increment(ref writes) > 1)
                return await write();
            if (isWritten)
                await write();
            throw new InvalidOperationException("no answer");
        };
        await SendAsync(topic, 0, 10);
        await ReceivedAsync(other, 10);
        await SplitAsync(topic);
        Assert.InRange(writes, 1, int.MaxValue);
        gate.SetResult();
        await ReceivedAsync(reader, 10);
        // No queue waits for the sweep.
        await JoinedAsync(topic);
    }

    [Fact]
    public async Task Split_is_served_before_the_next_round()
    {
        var gate = new TaskCompletionSource();
        StreamScript.On("split-at-once", (happened, grain) => happened.Number == 3 && IsFirst(grain) ? gate.Task : Task.CompletedTask);
        await SubscribeAsync("split-at-once");
        await RestartAsync(static options => options with { RefreshInterval = TimeSpan.FromHours(1) });
        var (reader, other) = (Reader("split-at-once/k/1"), Reader("split-at-once/k/2"));
        await SendAsync("split-at-once", 0, 10);
        await ReceivedAsync(other, 10);
        await SplitAsync("split-at-once");
        // The call under way has the others.
        await SendAsync("split-at-once", 10, 20);
        await ReceivedAsync(other, 20);
        gate.SetResult();
        await ReceivedAsync(reader, 20);
    }

    [Fact]
    public async Task Dead_letter_topic_that_is_deleted_is_created_again_for_the_queue_of_a_split()
    {
        const string Letters = "split-letters.dead-letter";
        await RestartAsync(static options => options with { MaxAttempts = 2 });
        var gate = new TaskCompletionSource();
        StreamScript.On("split-letters", (_, grain) => IsFirst(grain) ? gate.Task : Task.CompletedTask);
        var (_, other) = await SubscribeAsync("split-letters");
        var deleted = (await _silo.Inside.DescribeTopicAsync(Letters)).TopicId;
        var (before, given) = (new TaskCompletionSource(), new TaskCompletionSource());
        _broker.FaultyQueues.OnAlter = async (queue, alter) =>
        {
            var isCreated = await IsCreatedAsync();
            var altered = await alter();
            if (queue.Contains('@', StringComparison.Ordinal))
                (isCreated ? given : before).TrySetResult();
            return altered;
        };
        await SendAsync("split-letters", 0, 1);
        await ReceivedAsync(other, 1);
        await SplitAsync("split-letters");
        await before.Task.WaitAsync(Wait.Deadline);
        await _client.Admin.DeleteTopicAsync(Letters);
        // Until its event is settled the split does not join, and no other queue has it.
        await given.Task.WaitAsync(Wait.Deadline);
        gate.SetException(new InvalidOperationException("never"));
        await Wait.UntilAsync(async () => await LettersAsync("split-letters") > 0, "the event is dead-lettered");

        // As the topic's grain says. The list of topics may lack one whose id the queue was given: it is not altered for that one again.
        async Task<bool> IsCreatedAsync()
        {
            try
            {
                return (await _silo.Inside.DescribeTopicAsync(Letters)).TopicId != deleted;
            }
            catch (BrokerException missing) when (missing.Code == ErrorCode.UnknownTopicOrPartition)
            {
                return false;
            }
        }
    }

    [Fact]
    public async Task Look_that_takes_long_counts_for_nothing_where_another_silo_has_joined_the_subscription_meanwhile()
    {
        const string Topic = "split-looks";
        var (first, second) = (new TaskCompletionSource(), new TaskCompletionSource());
        var hangs = new TaskCompletionSource();
        StreamScript.On(Topic, (happened, grain) =>
        {
            if (happened.Number == 10 && IsFirst(grain))
                hangs.TrySetResult();
            return happened.Number == 3 && IsFirst(grain) ? first.Task : happened.Number == 10 ? second.Task : Task.CompletedTask;
        });
        var (reader, other) = await SubscribeAsync(Topic);
        await SendAsync(Topic, 0, 10);
        await ReceivedAsync(other, 10);
        await SplitAsync(Topic, reader);
        var split = Assert.Single(Table.Replays).Subscription.Replay!;
        // None counts as failed before.
        Provider.LongestLook = Wait.Deadline * 2;
        var (looks, goesOn) = (new TaskCompletionSource(), new TaskCompletionSource());
        _broker.OnFindOffset = async (partition, spec, find) =>
        {
            if (partition.Topic == Topic && spec == OffsetSpec.LatestProven)
            {
                looks.TrySetResult();
                await goesOn.Task;
            }
            return await find();
        };
        await Provider.Subscriptions.WriteAsync(new ReplayKey(split.Id, ReplayStep.Joining), new ReplayValue(0), CancellationToken.None);
        await looks.Task.WaitAsync(Wait.Deadline);
        // The replay catches up, and another silo finds that first. Both subscribers hang at the next event: none is split again.
        first.SetResult();
        await ReceivedAsync(reader, 10);
        await Wait.UntilAsync(async () => (await PeekAsync()).Count == 0, "the replay has caught up");
        await Provider.Subscriptions.WriteAsync(new ReplayKey(split.Id, ReplayStep.Joined), new ReplayValue(10), CancellationToken.None);
        await SendAsync(Topic, 10, 11);
        await hangs.Task.WaitAsync(Wait.Deadline);
        // The call under way does not have the others, and the queue of the replay passes over them.
        await SendAsync(Topic, 11, 20);
        await Wait.UntilAsync(async () => (await PeekAsync()).Count == 0, "the replay's queue has passed over the events", async () =>
            $"{string.Join(' ', (await PeekAsync()).Select(static record => $"{record.Offset}"))}; step {Table.FindStep(split.Id)}");
        goesOn.SetResult();
        await Wait.UntilAsync(async () => !(await ReplayQueuesAsync(Topic)).Contains(QueueOf(split)), "the replay is over");
        second.SetResult();
        await ReceivedAsync(other, 20);
        await ReceivedAsync(reader, 20);

        ValueTask<IReadOnlyList<QueueRecord>> PeekAsync() =>
            _silo.Inside.Queues.PeekAsync(new TopicPartition(Topic, 0), QueueOf(split), 20);
    }

    [Fact]
    public async Task Rounds_go_on_while_a_sweep_cannot_write()
    {
        var (writes, sweeps, goesOn) = (0, new TaskCompletionSource(), new TaskCompletionSource());
        _broker.OnWrite = async write =>
        {
            if (Interlocked.Increment(ref writes) > 1)
            {
                sweeps.TrySetResult();
                await goesOn.Task;
            }
            return await write();
        };
        Provider.SweepInterval = TimeSpan.FromMilliseconds(100);
        // The record of a replay that its silo did not remove before it died.
        await Provider.Subscriptions.WriteAsync(new ReplayKey(Guid.NewGuid(), ReplayStep.Joined), new ReplayValue(5),
            CancellationToken.None);
        await sweeps.Task.WaitAsync(Wait.Deadline);
        await _client.Admin.CreateTopicAsync("implicit-split-sweep", 1);
        await SendAsync("implicit-split-sweep", 0, 3);
        await Wait.UntilAsync(() => StreamScript.Received("implicit-split-sweep", "k").Length == 3, "the topic is found");
        Assert.Single(Table.FindLeft());
        goesOn.SetResult();
        await Wait.UntilAsync(async () =>
        {
            await Provider.Subscriptions.CatchUpAsync(CancellationToken.None);
            return Table.FindLeft().Count == 0;
        }, "the sweep ends");
    }

    [Fact]
    public async Task Records_of_replays_that_are_over_are_removed_by_a_sweep()
    {
        // No silo sweeps it.
        await using var producer = _client.CreateProducer<byte[]?, byte[]?>();
        var log = new SubscriptionLog(_client, producer, "swept", NullLogger.Instance);
        // As if silos had died before they removed them, or had been slow.
        var (replay, of) = (Guid.NewGuid(), OrleansMqStreamProvider.KeyOf(StreamId.Create("split-sweep", "k"), Guid.NewGuid()));
        await log.WriteAsync(new ReplayKey(replay, ReplayStep.Joined), new ReplayValue(5), CancellationToken.None);
        await log.WriteAsync(new NextReplayKey(replay, of), new NextReplayValue(Guid.NewGuid(), new Replay(replay, 2, Guid.NewGuid(), 5,
            Guid.Empty)), CancellationToken.None);
        await log.CatchUpAsync(CancellationToken.None);
        Assert.Equal(2, log.Table.FindLeft().Count);
        await log.SweepAsync(CancellationToken.None);
        await log.CatchUpAsync(CancellationToken.None);
        Assert.Empty(log.Table.FindLeft());
        Assert.False(log.Table.HasRecord(replay));
    }

    [Fact]
    public async Task Subscriptions_beyond_the_bound_share_the_pace_of_their_stream()
    {
        await RestartAsync(static options => options with { MaxSplits = 1, SplitAfter = TimeSpan.FromMilliseconds(20) });
        var gate = new TaskCompletionSource();
        StreamScript.On("split-bound", (_, grain) => grain.GetPrimaryKeyString().EndsWith('2') ? Task.CompletedTask : gate.Task);
        await _client.Admin.CreateTopicAsync("split-bound", 1);
        var readers = Enumerable.Range(1, 3).Select(number => Reader($"split-bound/k/{number}")).ToList();
        foreach (var reader in readers)
            await reader.SubscribeAsync();
        await SendAsync("split-bound", 0, 1);
        await ReceivedAsync(readers[1], 1);
        await SendAsync("split-bound", 1, 5);
        await SplitAsync("split-bound");
        // The other one that is slow is refused, and holds the stream.
        var stream = StreamId.Create("split-bound", "k");
        var fast = readers[1].GetGrainId();
        var slow = Assert.Single(Table.Find(stream), found => found.Replay is null && found.Grain != fast);
        var log = new LineLogger();
        Assert.False(await new StreamSplits(Provider, _client, log).TrySplitAsync(stream, slow, 0, slow.Queue, 0, 0,
            CancellationToken.None));
        Assert.Contains("Topic split-bound has 1 or more subscriptions that continue on their own", Assert.Single(log.Lines),
            StringComparison.Ordinal);
        Assert.Equal(1, Table.CountSplits("split-bound"));
        Assert.Equal([0], Received(readers[1]));
        gate.SetResult();
        foreach (var reader in readers)
            await ReceivedAsync(reader, 5);
    }

    [Fact]
    public async Task Subscription_that_is_left_alone_by_a_split_is_not_split_for_one_that_continues_on_its_own()
    {
        const string Topic = "split-alone";
        var (first, second, inCall) = (new TaskCompletionSource(), new TaskCompletionSource(), new TaskCompletionSource());
        StreamScript.On(Topic, (happened, grain) =>
        {
            if (happened.Number != 10 || IsFirst(grain))
                return happened.Number == 3 && IsFirst(grain) ? first.Task : Task.CompletedTask;
            inCall.TrySetResult();
            return second.Task;
        });
        var (reader, other) = await SubscribeAsync(Topic);
        await SendAsync(Topic, 0, 10);
        await ReceivedAsync(other, 10);
        await SplitAsync(Topic, reader);
        // The other one works for longer than it may hold one that is ahead; none is.
        await SendAsync(Topic, 10, 11);
        await inCall.Task.WaitAsync(Wait.Deadline);
        for (var clock = 1; clock <= 3; clock++)
        {
            // Splits of another stream tell that the time has passed.
            var (name, gate) = ($"split-clock-{clock}", new TaskCompletionSource());
            StreamScript.On(name, (_, grain) => IsFirst(grain) ? gate.Task : Task.CompletedTask);
            await SubscribeAsync(name);
            await SendAsync(name, 0, 1);
            await Wait.UntilAsync(() => FindSplit(name).Any(), "it is split");
            gate.SetResult();
        }
        Assert.Equal(reader.GetGrainId(), Assert.Single(FindSplit(Topic)).Grain);
        second.SetResult();
        first.SetResult();
        await ReceivedAsync(other, 11);
        await ReceivedAsync(reader, 11);

        IEnumerable<ExplicitSubscription> FindSplit(string topic) =>
            Table.Find(StreamId.Create(topic, "k")).Where(static found => found.Replay is not null);
    }

    [Fact]
    public async Task Subscribers_that_are_slow_together_are_not_split()
    {
        await RestartAsync(static options => options with { SplitAfter = TimeSpan.FromSeconds(1) });
        // A call ends after a second: the first of them waits for the other one, and both are sent the rest.
        StreamScript.On("split-together", static (_, _) => Task.Delay(30));
        var (reader, other) = await SubscribeAsync("split-together");
        await SendAsync("split-together", 0, 90);
        await ReceivedAsync(reader, 90);
        await ReceivedAsync(other, 90);
        Assert.All(Table.Find(StreamId.Create("split-together", "k")), static subscription => Assert.Null(subscription.Replay));
    }

    private static bool IsFirst(Grain grain) => grain.GetPrimaryKeyString().EndsWith('1');

    private async Task StartAsync(Func<OrleansMqStreamOptions, OrleansMqStreamOptions> configure)
    {
        _silo = await TestSilo.StartAsync(_data.Path, silo =>
        {
            FaultyStreamBroker.AddTo(silo, broker => _broker = broker);
            silo.AddOrleansMqStreams("test", options => configure(options with
            {
                RetryDelay = TimeSpan.FromMilliseconds(20),
                SplitAfter = TimeSpan.FromMilliseconds(100),
                RefreshInterval = TimeSpan.FromMilliseconds(100),
            }));
        }, static client => client.AddOrleansMqStreams("test"));
        _client = new OrleansMqClient(_silo.Inside);
    }

    private async Task RestartAsync(Func<OrleansMqStreamOptions, OrleansMqStreamOptions> configure)
    {
        await _silo.DisposeAsync();
        await StartAsync(configure);
    }

    private OrleansMqStreamProvider Provider =>
        (OrleansMqStreamProvider)_silo.Services.GetRequiredKeyedService<IStreamProvider>("test");

    private SubscriptionTable Table => Provider.Subscriptions.Table;

    private string QueueOf(Replay replay) => Provider.Topics.QueueOf(replay);

    private IReaderGrain Reader(string key) => _silo.Client.GetGrain<IReaderGrain>(key);

    private async Task<(IReaderGrain Reader, IReaderGrain Other)> SubscribeAsync(string topic)
    {
        await _client.Admin.CreateTopicAsync(topic, 1);
        var (reader, other) = (Reader($"{topic}/k/1"), Reader($"{topic}/k/2"));
        await reader.SubscribeAsync();
        await other.SubscribeAsync();
        return (reader, other);
    }

    // Returns their offsets. Those of a topic with a queue are not its events' numbers: what the queue hands out is written among them.
    private async Task<long[]> SendAsync(string topic, int from, int end)
    {
        var offsets = new List<long>();
        await using var producer = _client.CreateProducer<string, string>();
        for (var number = from; number < end; number++)
            offsets.Add((await producer.SendAsync(new(topic, "k", $$"""{"number":{{number}}}"""))).Offset);
        return [.. offsets];
    }

    private static int[] Received(IReaderGrain reader)
    {
        var parts = reader.GetPrimaryKeyString().Split('/');
        return StreamScript.Received(parts[0], parts[1], reader.GetGrainId().ToString());
    }

    // Each once: the activation lives.
    private static async Task ReceivedAsync(IReaderGrain reader, int count)
    {
        await Wait.UntilAsync(() => Task.FromResult(Received(reader).Length >= count), $"{count} events of {reader.GetPrimaryKeyString()}",
            () => Task.FromResult(string.Join(' ', Received(reader))));
        Assert.Equal(Enumerable.Range(0, count), Received(reader));
    }

    private async Task<List<string>> ReplayQueuesAsync(string topic) => [.. (await _silo.Inside.Queues.ListAsync(
        new TopicPartition(topic, 0))).Select(static queue => queue.Name)
        .Where(static name => name.Contains('@', StringComparison.Ordinal))];

    private async Task SplitAsync(string topic)
    {
        await Wait.UntilAsync(() => Table.Replays.Any(), "one is split");
        Assert.Single(await ReplayQueuesAsync(topic));
    }

    // Another one may have been split for a moment, too, where it was slow.
    private Task SplitAsync(string topic, IReaderGrain reader)
    {
        var grain = reader.GetGrainId();
        return Wait.UntilAsync(async () => Table.Find(StreamId.Create(topic, "k")).Where(static found => found.Replay is not null).ToList()
            is [var split] && split.Grain == grain && (await ReplayQueuesAsync(topic)).Count == 1, "the reader alone is split");
    }

    private Task JoinedAsync(string topic) => Wait.UntilAsync(async () => !Table.Replays.Any()
        && (await ReplayQueuesAsync(topic)).Count == 0, $"the subscriptions of {topic} have joined, and leave no queue");

    private async Task<long> LettersAsync(string topic) =>
        (await _silo.Inside.DescribeTopicAsync($"{topic}.dead-letter")).Partitions.Sum(static partition => partition.HighWatermark);

    private sealed class LineLogger : ILogger
    {
        public List<string> Lines { get; } = [];

        public IDisposable? BeginScope<TState>(TState state) where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception,
            Func<TState, Exception?, string> formatter) => Lines.Add(formatter(state, exception));
    }
}
