using Microsoft.Extensions.DependencyInjection;
using Orleans.Streams;
using OrleansMq.Client;
using OrleansMq.Streams;

namespace OrleansMq.Tests.OrleansPackages.Streams;

/// <summary>Tokens of subscriptions by attribute, on one silo: the activation receives from its token on, in order, and then what
/// comes.</summary>
public sealed class ActivationReplayTests : IAsyncLifetime
{
    private const int Attempts = 3;
    private const int Replays = 2;

    private readonly TempDirectory _data = new();
    private TestSilo _silo = null!;
    private OrleansMqClient _client = null!;

    public async Task InitializeAsync()
    {
        _silo = await TestSilo.StartAsync(_data.Path, static silo => silo.AddOrleansMqStreams("test", static options => options with
        {
            MaxAttempts = Attempts,
            RetryDelay = TimeSpan.FromMilliseconds(20),
            RefreshInterval = TimeSpan.FromMilliseconds(100),
            MaxBatch = 7,
            MaxReplays = Replays,
        }));
        _client = new OrleansMqClient(_silo.Inside);
    }

    public async Task DisposeAsync()
    {
        await _silo.DisposeAsync();
        _data.Dispose();
    }

    [Fact]
    public async Task Activation_with_a_token_receives_from_that_event_on_and_then_what_comes()
    {
        const string Topic = "positioned-from";
        var tokens = await CreateAsync(Topic, events: 40, others: 3);
        await ReceivedAsync(Topic, Enumerable.Range(0, 40));
        PositionedGrain.Tokens[$"{Topic}/k"] = tokens[10];
        await _silo.DeactivateAsync(Grain(Topic));
        // A call activates the grain, and no event.
        await Grain(Topic).ActivateAsync();
        await ReceivedAsync(Topic, [.. Enumerable.Range(0, 40), .. Enumerable.Range(10, 30)]);
        await SendAsync(Topic, 40, 60);
        await ReceivedAsync(Topic, [.. Enumerable.Range(0, 40), .. Enumerable.Range(10, 50)]);
        // Events activate the grain while others come.
        await _silo.DeactivateAsync(Grain(Topic));
        await SendAsync(Topic, 60, 80);
        await ReceivedAsync(Topic, [.. Enumerable.Range(0, 40), .. Enumerable.Range(10, 50), .. Enumerable.Range(10, 70)]);
        await SettledAsync(Topic);
    }

    [Fact]
    public async Task Grain_that_gives_the_token_of_its_last_event_each_time_misses_nothing_and_leaves_nothing_behind()
    {
        const string Topic = "positioned-last";
        await _client.Admin.CreateTopicAsync(Topic, 1);
        StreamScript.On(Topic, static (happened, grain) =>
        {
            if (PositionedGrain.Last.TryGetValue(grain.GetPrimaryKeyString(), out var last))
                PositionedGrain.Tokens[grain.GetPrimaryKeyString()] = last;
            if (happened.Number % 10 == 7)
                ((IGrainBase)grain).DeactivateOnIdle();
            return Task.CompletedTask;
        });
        await SendAsync(Topic, 0, 60, others: 1);
        await Wait.UntilAsync(() => Received(Topic).Distinct().Count() == 60, "all");
        StreamAssert.IsInOrder(Received(Topic));
        await SettledAsync(Topic);
        Assert.Equal([QueueOf(Topic)], (await _silo.Inside.Queues.ListAsync(new TopicPartition(Topic, 0))).Select(static queue =>
            queue.Name));
        Assert.DoesNotContain(await _silo.Inside.ListTopicsAsync(), static topic => topic.Name.StartsWith(SubscriptionLog.Prefix,
            StringComparison.Ordinal));
    }

    [Fact]
    public async Task Activation_that_fails_after_its_token_leaves_no_reading_that_activates_its_grain()
    {
        const string Topic = "positioned-inactive";
        PositionedGrain.Tokens[$"{Topic}/k"] = new StreamOffset(0, 0);
        PositionedGrain.Activations[$"{Topic}/k"] = (2, 0);
        await CreateAsync(Topic, events: 5);
        await ReceivedAsync(Topic, Enumerable.Range(0, 5));
        await SettledAsync(Topic);
        // A call of the replay that is on its way would activate the grain, too.
        await Wait.UntilAsync(() => Places.CurrentCount == Replays, "the replay is over");
        var began = PositionedGrain.Activations[$"{Topic}/k"].Began;
        PositionedGrain.Activations[$"{Topic}/k"] = (1, 0);
        await _silo.DeactivateAsync(Grain(Topic));
        await Assert.ThrowsAnyAsync<Exception>(Grain(Topic).ActivateAsync);
        // Long enough for a reading that goes on to call its grain again.
        await Task.Delay(TimeSpan.FromSeconds(1.5));
        Assert.Equal((3, 1), (began, PositionedGrain.Activations[$"{Topic}/k"].Began));
    }

    [Fact]
    public async Task Token_beyond_what_the_class_has_had_passes_over_what_is_before_it()
    {
        const string Topic = "positioned-ahead";
        await _client.Admin.CreateTopicAsync(Topic, 1);
        PositionedGrain.Tokens[$"{Topic}/k"] = new StreamOffset(0, 0);
        var (inCall, begin) = (new TaskCompletionSource(), new TaskCompletionSource());
        StreamScript.On(Topic, (happened, _) =>
        {
            if (happened.Number != 0)
                return Task.CompletedTask;
            inCall.TrySetResult();
            return begin.Task;
        });
        var tokens = await SendAsync(Topic, 0, 20);
        await inCall.Task.WaitAsync(Wait.Deadline);
        await Grain(Topic).SubscribeBesideAsync(tokens[15]);
        begin.SetResult();
        // The first one was on its way.
        await ReceivedAsync(Topic, [0, .. Enumerable.Range(15, 5)]);
        await SettledAsync(Topic);
        await SendAsync(Topic, 20, 25);
        await ReceivedAsync(Topic, [0, .. Enumerable.Range(15, 10)]);
        Assert.Equal(0, await LettersAsync(Topic));
    }

    [Fact]
    public async Task Later_token_takes_the_place_of_an_earlier_one_in_its_middle()
    {
        const string Topic = "positioned-again";
        var tokens = await CreateAsync(Topic, events: 30);
        await ReceivedAsync(Topic, Enumerable.Range(0, 30));
        var (inCall, gate) = (new TaskCompletionSource(), new TaskCompletionSource());
        StreamScript.On(Topic, (happened, _) =>
        {
            if (happened.Number != 12)
                return Task.CompletedTask;
            inCall.TrySetResult();
            return gate.Task;
        });
        await Grain(Topic).ResumeFromAsync(tokens[10]);
        await inCall.Task.WaitAsync(Wait.Deadline);
        await Grain(Topic).SubscribeBesideAsync(tokens[3]);
        // Two at once: they take turns.
        await Task.WhenAll(Grain(Topic).SubscribeBesideAsync(tokens[5]), Grain(Topic).SubscribeBesideAsync(tokens[5]));
        gate.SetResult();
        await SendAsync(Topic, 30, 35);
        await ReceivedAsync(Topic, [.. Enumerable.Range(0, 30), 10, 11, 12, .. Enumerable.Range(5, 30)]);
    }

    [Fact]
    public async Task Event_that_fails_in_a_replay_is_passed_over_and_dead_lettered_where_the_class_has_not_had_it()
    {
        const string Topic = "positioned-fails";
        var tokens = await CreateAsync(Topic, events: 10);
        await ReceivedAsync(Topic, Enumerable.Range(0, 10));
        await SettledAsync(Topic);
        var tries = 0;
        StreamScript.On(Topic, (happened, _) => happened.Number == 4 ? throw new InvalidOperationException($"try {++tries}")
            : Task.CompletedTask);
        await Grain(Topic).SubscribeFromAsync(tokens[2]);
        await ReceivedAsync(Topic, [.. Enumerable.Range(0, 10), 2, 3, 5, 6, 7, 8, 9]);
        Assert.Equal(Attempts, tries);
        Assert.Contains("offset 4", Assert.Single(PositionedGrain.Errors[$"{Topic}/k"]).Message, StringComparison.Ordinal);
        Assert.Equal(0, await LettersAsync(Topic));
        // One that comes while an earlier one is replayed, and is in its end.
        var (inCall, gate) = (new TaskCompletionSource(), new TaskCompletionSource());
        StreamScript.On(Topic, (happened, _) =>
        {
            if (happened.Number == 11)
                throw new InvalidOperationException("never");
            if (happened.Number != 10)
                return Task.CompletedTask;
            inCall.TrySetResult();
            return gate.Task;
        });
        await SendAsync(Topic, 10, 11);
        await inCall.Task.WaitAsync(Wait.Deadline);
        await SendAsync(Topic, 11, 14);
        await Grain(Topic).SubscribeBesideAsync(tokens[9]);
        gate.SetResult();
        await ReceivedAsync(Topic, [.. Enumerable.Range(0, 10), 2, 3, 5, 6, 7, 8, 9, 10, 9, 10, 12, 13]);
        await SettledAsync(Topic);
        Assert.Equal(1, await LettersAsync(Topic));
    }

    [Fact]
    public async Task Event_that_fails_and_ends_its_activation_each_time_is_passed_over_after_its_attempts()
    {
        const string Topic = "positioned-ends";
        var tokens = await CreateAsync(Topic, events: 6);
        await ReceivedAsync(Topic, Enumerable.Range(0, 6));
        await SettledAsync(Topic);
        var tries = 0;
        StreamScript.On(Topic, (happened, grain) =>
        {
            if (happened.Number != 3)
                return Task.CompletedTask;
            tries++;
            ((IGrainBase)grain).DeactivateOnIdle();
            throw new InvalidOperationException("not now");
        });
        PositionedGrain.Tokens[$"{Topic}/k"] = tokens[2];
        await _silo.DeactivateAsync(Grain(Topic));
        await Wait.UntilAsync(async () =>
        {
            await Grain(Topic).ActivateAsync();
            return Received(Topic).Count(static number => number == 5) == 2;
        }, "the last event again", () => Task.FromResult($"{tries} tries, {string.Join(' ', Received(Topic).Take(20))}"));
        Assert.Equal(Attempts, tries);
        Assert.DoesNotContain(3, Received(Topic)[6..]);
        Assert.Contains("offset 3", Assert.Single(PositionedGrain.Errors[$"{Topic}/k"]).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("positioned-reset", false)]
    [InlineData("positioned-deleted", true)]
    public async Task Queue_that_is_reset_and_topic_that_is_created_again_end_a_replay_and_deliver_from_their_first_event_on(string topic,
        bool isDeleted)
    {
        var tokens = await CreateAsync(topic, events: 300);
        await ReceivedAsync(topic, Enumerable.Range(0, 300));
        // What is left then takes longer than until the replay looks for its queue.
        StreamScript.On(topic, static (happened, _) => happened.Number < 300 ? Task.Delay(10) : Task.CompletedTask);
        await Grain(topic).SubscribeFromAsync(tokens[0]);
        await Wait.UntilAsync(() => Received(topic).Length > 310, "a part");
        if (isDeleted)
        {
            await _client.Admin.DeleteTopicAsync(topic);
            await _client.Admin.CreateTopicAsync(topic, 1);
        }
        else
            await _silo.Inside.Queues.ResetAsync(new TopicPartition(topic, 0), QueueOf(topic), OffsetSpec.Latest);
        await SendAsync(topic, 1_000, 1_010);
        await Wait.UntilAsync(() => Received(topic) is [.., 1_009], "the new events");
        Assert.Equal(Enumerable.Range(1_000, 10), Received(topic).Where(static number => number >= 1_000));
        await SettledAsync(topic);
    }

    [Fact]
    public async Task Replay_ends_before_an_open_transaction_and_passes_over_nothing_behind_it()
    {
        const string Topic = "positioned-open";
        var tokens = await CreateAsync(Topic, events: 10);
        await ReceivedAsync(Topic, Enumerable.Range(0, 10));
        await using var producer = _client.CreateTransactionalProducer<string, string>(Topic);
        await using var transaction = await producer.BeginTransactionAsync();
        await transaction.SendAsync(new(Topic, $"{Topic}/k", """{"number":10}"""));
        await SendAsync(Topic, 11, 20);
        await Grain(Topic).SubscribeFromAsync(tokens[5]);
        await ReceivedAsync(Topic, [.. Enumerable.Range(0, 10), .. Enumerable.Range(5, 5)]);
        await transaction.CommitAsync();
        await ReceivedAsync(Topic, [.. Enumerable.Range(0, 10), .. Enumerable.Range(5, 15)]);
        await SettledAsync(Topic);
    }

    [Fact]
    public async Task Activations_beyond_the_most_that_are_replayed_at_once_take_their_turn_and_miss_nothing()
    {
        const string Topic = "positioned-many";
        await _client.Admin.CreateTopicAsync(Topic, 1);
        var keys = Enumerable.Range(0, 6).Select(static number => $"{Topic}/k{number}").ToArray();
        await using var producer = _client.CreateProducer<string, string>();
        foreach (var key in keys)
            await producer.SendAsync(new(Topic, key, """{"number":0}"""));
        await Wait.UntilAsync(() => keys.All(static key => StreamScript.Received(Topic, key) is [0]), "the first events");
        var (inCall, gate) = (0, new TaskCompletionSource());
        StreamScript.On(Topic, (happened, _) =>
        {
            if (happened.Number != 0)
                return Task.CompletedTask;
            Interlocked.Increment(ref inCall);
            return gate.Task;
        });
        foreach (var key in keys)
            await _silo.Client.GetGrain<IPositionedGrain>(key).SubscribeFromAsync(new StreamOffset(0, 0));
        await Wait.UntilAsync(() => Volatile.Read(ref inCall) == Replays, "as many as may");
        Assert.Equal(0, Places.CurrentCount);
        // What comes meanwhile waits, also for those that have not begun.
        foreach (var key in keys)
            await producer.SendAsync(new(Topic, key, """{"number":1}"""));
        Assert.Equal(Replays, Volatile.Read(ref inCall));
        Assert.All(keys, static key => Assert.Equal([0], StreamScript.Received(Topic, key).Take(1)));
        gate.SetResult();
        await Wait.UntilAsync(() => keys.All(static key => StreamScript.Received(Topic, key) is [.., 1]), "the last events");
        Assert.All(keys, static key => Assert.Equal([0, 0, 1], StreamScript.Received(Topic, key)));
        await SettledAsync(Topic);
        await Wait.UntilAsync(() => Places.CurrentCount == Replays, "the places are free");
    }

    [Fact]
    public async Task Activations_of_a_class_that_all_begin_at_once_are_replayed_each_from_its_token()
    {
        const string Topic = "positioned-restart";
        await _client.Admin.CreateTopicAsync(Topic, 1);
        var keys = Enumerable.Range(0, 60 * Replays).Select(static number => $"{Topic}/k{number}").ToArray();
        await using var producer = _client.CreateProducer<string, string>();
        foreach (var key in keys)
        {
            var written = await producer.SendAsync(new(Topic, key, """{"number":0}"""));
            PositionedGrain.Tokens[key] = new StreamOffset(0, written.Offset);
        }
        await Wait.UntilAsync(() => keys.All(static key => StreamScript.Received(Topic, key).Contains(0)), "the first events");
        await SettledAsync(Topic);
        await Wait.UntilAsync(() => Places.CurrentCount == Replays, "the first replays are over");
        var before = keys.ToDictionary(static key => key, static key => StreamScript.Received(Topic, key).Length);
        foreach (var key in keys)
            await _silo.DeactivateAsync(_silo.Client.GetGrain<IPositionedGrain>(key));
        // Calls and events activate them, and each has a token of an event that its class has settled.
        await Task.WhenAll(keys.Select(key => _silo.Client.GetGrain<IPositionedGrain>(key).ActivateAsync())
            .Concat(keys.Select(key => producer.SendAsync(new(Topic, key, """{"number":1}""")).AsTask())));
        await Wait.UntilAsync(() => keys.All(key => StreamScript.Received(Topic, key) is [.., 1]), "the last events");
        Assert.All(keys, key => Assert.Equal([0, 1], StreamScript.Received(Topic, key)[before[key]..]));
        await SettledAsync(Topic);
        await Wait.UntilAsync(() => Places.CurrentCount == Replays, "the places are free");
    }

    [Fact]
    public async Task Token_of_another_stream_or_provider_is_refused_and_so_is_a_removal()
    {
        const string Topic = "positioned-tokens";
        await _client.Admin.CreateTopicAsync(Topic, 1);
        var grain = Grain(Topic);
        await ThrowsAsync<ArgumentException>("behind the end", () => grain.SubscribeFromAsync(new StreamOffset(0, 1_000)));
        await ThrowsAsync<ArgumentException>("partition 3", () => grain.ResumeFromAsync(new StreamOffset(3, 0)));
        await ThrowsAsync<ArgumentException>("no position", () =>
            grain.SubscribeFromAsync(new Orleans.Providers.Streams.Common.EventSequenceTokenV2(0)));
        await ThrowsAsync<NotSupportedException>("cannot unsubscribe", grain.UnsubscribeAsync);
        await ThrowsAsync<InvalidOperationException>("without a token", () =>
            _silo.Client.GetGrain<IPositionedWorker>("k").SubscribeFromAsync(StreamOffset.Earliest));
        // The position after the last event, and the earliest one.
        await grain.SubscribeFromAsync(new StreamOffset(0, 0));
        await SendAsync(Topic, 0, 3);
        await ReceivedAsync(Topic, Enumerable.Range(0, 3));
        await grain.SubscribeFromAsync(StreamOffset.Earliest);
        await ReceivedAsync(Topic, [0, 1, 2, 0, 1, 2]);

        static async Task ThrowsAsync<T>(string says, Func<Task> call) where T : Exception =>
            Assert.Contains(says, (await Assert.ThrowsAsync<T>(call)).Message, StringComparison.Ordinal);
    }

    private IPositionedGrain Grain(string topic) => _silo.Client.GetGrain<IPositionedGrain>($"{topic}/k");

    private OrleansMqStreamProvider Provider => (OrleansMqStreamProvider)_silo.Services.GetRequiredKeyedService<IStreamProvider>("test");

    private SemaphoreSlim Places => Provider.Replays;

    private string QueueOf(string topic) => Provider.Topics.QueueOf(Grain(topic).GetGrainId().Type);

    private async Task<StreamSequenceToken[]> CreateAsync(string topic, int events, int others = 0)
    {
        await _client.Admin.CreateTopicAsync(topic, 1);
        return await SendAsync(topic, 0, events, others);
    }

    private async Task<StreamSequenceToken[]> SendAsync(string topic, int from, int end, int others = 0)
    {
        var tokens = new List<StreamSequenceToken>();
        await using var producer = _client.CreateProducer<string, string>();
        for (var number = from; number < end; number++)
        {
            for (var other = 0; other < others; other++)
                await producer.SendAsync(new(topic, $"{topic}/other-{other}", $$"""{"number":{{number}}}"""));
            var written = await producer.SendAsync(new(topic, $"{topic}/k", $$"""{"number":{{number}}}"""));
            tokens.Add(new StreamOffset(0, written.Offset));
        }
        return [.. tokens];
    }

    private static int[] Received(string topic) => StreamScript.Received(topic, $"{topic}/k");

    private static async Task ReceivedAsync(string topic, IEnumerable<int> expected)
    {
        var wanted = expected.ToArray();
        await Wait.UntilAsync(() => Task.FromResult(Received(topic).Length >= wanted.Length), $"{wanted.Length} events",
            () => Task.FromResult(string.Join(' ', Received(topic))));
        Assert.Equal(wanted, Received(topic));
    }

    private Task SettledAsync(string topic) => Wait.UntilAsync(async () => (await _silo.Inside.Queues.DescribeAsync(
        new TopicPartition(topic, 0), QueueOf(topic))).Unsettled == 0, "the queue of the class is settled");

    private async Task<long> LettersAsync(string topic) =>
        (await _silo.Inside.DescribeTopicAsync($"{topic}.dead-letter")).Partitions.Sum(static partition => partition.HighWatermark);
}
