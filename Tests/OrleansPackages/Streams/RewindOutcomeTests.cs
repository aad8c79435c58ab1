using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging.Abstractions;
using Orleans.Streams;
using OrleansMq.Api;
using OrleansMq.Client;
using OrleansMq.Consumers;
using OrleansMq.Streams;

namespace OrleansMq.Tests.OrleansPackages.Streams;

/// <summary>Subscriptions that are made, or resumed from tokens, while answers about their records are lost, on one silo: no event is lost,
/// and no stream waits for ever.</summary>
public sealed class RewindOutcomeTests : IAsyncLifetime
{
    private readonly TempDirectory _data = new();
    private TestSilo _silo = null!;
    private OrleansMqClient _client = null!;
    private FaultyStreamBroker _broker = null!;

    public async Task InitializeAsync()
    {
        _silo = await TestSilo.StartAsync(_data.Path, silo =>
        {
            FaultyStreamBroker.AddTo(silo, broker => _broker = broker);
            silo.AddOrleansMqStreams("test", static options => options with
            {
                RetryDelay = TimeSpan.FromMilliseconds(20),
                SplitAfter = TimeSpan.FromMilliseconds(100),
                RefreshInterval = TimeSpan.FromMilliseconds(100),
            });
        }, static client => client.AddOrleansMqStreams("test"));
        _client = new OrleansMqClient(_silo.Inside);
    }

    public async Task DisposeAsync()
    {
        await _silo.DisposeAsync();
        _data.Dispose();
    }

    [Theory]
    [InlineData("rewind-written", true)]
    [InlineData("rewind-lost", false)]
    public async Task Token_whose_write_is_not_answered_is_in_force_and_written_once_when_the_call_returns(string topic, bool isWritten)
    {
        var (reader, handle, tokens) = await CreateAsync(topic);
        var writes = 0;
        _broker.OnWrite = async write =>
        {
            if (Interlocked.Increment(ref writes) > 1)
                return await write();
            if (isWritten)
                await write();
            throw new InvalidOperationException("no answer");
        };
        await reader.ResumeFromAsync(handle, tokens[2]);
        Assert.Equal(1, await CountReplaysAsync(topic));
        await ReceivedAsync(reader, [.. Enumerable.Range(0, 10), .. Enumerable.Range(2, 8)]);
        await SendAsync(topic, 10, 15);
        await ReceivedAsync(reader, [.. Enumerable.Range(0, 10), .. Enumerable.Range(2, 13)]);
        await EndedAsync(topic);
    }

    [Fact]
    public async Task Subscription_whose_token_was_given_up_and_never_written_goes_on_and_is_resumed_by_the_next_call()
    {
        var (reader, handle, tokens) = await CreateAsync("rewind-never");
        var usual = GiveUpSoon();
        _broker.OnWrite = static _ => Task.FromException<ProduceResult>(new InvalidOperationException("no answer"));
        await Assert.ThrowsAnyAsync<Exception>(() => reader.ResumeFromAsync(handle, tokens[2]));
        (_broker.OnWrite, Provider.SubscribeTimeout) = (null, usual);
        await SendAsync("rewind-never", 10, 15);
        await ReceivedAsync(reader, Enumerable.Range(0, 15));
        await reader.ResumeFromAsync(handle, tokens[7]);
        await ReceivedAsync(reader, [.. Enumerable.Range(0, 15), .. Enumerable.Range(7, 8)]);
    }

    [Fact]
    public async Task Subscription_goes_on_where_two_calls_that_interleave_have_given_up_their_tokens()
    {
        var (reader, handle, tokens) = await CreateAsync("rewind-beside");
        var usual = GiveUpSoon();
        var tries = new TaskCompletionSource();
        _broker.OnWrite = _ =>
        {
            tries.TrySetResult();
            return Task.FromException<ProduceResult>(new InvalidOperationException("no answer"));
        };
        var first = reader.ResumeBesideAsync(handle, tokens[2]);
        await tries.Task.WaitAsync(Wait.Deadline);
        var second = reader.ResumeBesideAsync(handle, tokens[5]);
        await Assert.ThrowsAnyAsync<Exception>(() => first);
        await Assert.ThrowsAnyAsync<Exception>(() => second);
        (_broker.OnWrite, Provider.SubscribeTimeout) = (null, usual);
        await SendAsync("rewind-beside", 10, 15);
        await ReceivedAsync(reader, Enumerable.Range(0, 15));
        await reader.ResumeBesideAsync(handle, tokens[7]);
        await ReceivedAsync(reader, [.. Enumerable.Range(0, 15), .. Enumerable.Range(7, 8)]);
    }

    [Fact]
    public async Task Later_one_of_two_calls_that_interleave_is_in_force()
    {
        var (reader, handle, tokens) = await CreateAsync("rewind-later");
        var (tries, go) = (new TaskCompletionSource(), new TaskCompletionSource());
        _broker.OnWrite = async write =>
        {
            tries.TrySetResult();
            await go.Task;
            return await write();
        };
        var first = reader.ResumeBesideAsync(handle, tokens[2]);
        await tries.Task.WaitAsync(Wait.Deadline);
        var second = reader.ResumeBesideAsync(handle, tokens[5]);
        go.SetResult();
        await first;
        await second;
        await SendAsync("rewind-later", 10, 15);
        await Wait.UntilAsync(() => Received(reader) is [.., 14] received && received[^10..].SequenceEqual(Enumerable.Range(5, 10)),
            "from the later token on");
        await EndedAsync("rewind-later");
        var stream = StreamId.Create("rewind-later", "k");
        Assert.Equal(((StreamOffset)tokens[5]).Offset, Assert.Single(Provider.Subscriptions.Table.Find(stream)).Replay!.From);
    }

    [Fact]
    public async Task Token_that_is_written_after_its_call_was_given_up_and_its_subscription_was_split_twice_is_replayed()
    {
        var (reader, handle, tokens) = await CreateAsync("rewind-late");
        GiveUpSoon();
        var (writes, go) = (0, new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously));
        _broker.OnWrite = async write =>
        {
            if (Interlocked.Increment(ref writes) == 1)
                await go.Task;
            return await write();
        };
        var unknown = await Assert.ThrowsAnyAsync<Exception>(() => reader.ResumeFromAsync(handle, tokens[2]));
        Assert.Contains("is not known", unknown.Message, StringComparison.Ordinal);
        // Another silo splits the subscription, and once more.
        var outside = new OrleansMqClient(_silo.Outside);
        await using var producer = outside.CreateProducer<byte[]?, byte[]?>();
        var log = new SubscriptionLog(outside, producer, "test", NullLogger.Instance);
        var stream = StreamId.Create("rewind-late", "k");
        for (var split = 0; split < 2; split++)
        {
            await log.CatchUpAsync(CancellationToken.None);
            var found = Assert.Single(log.Table.Find(stream));
            var replay = found.Split((await _silo.Inside.DescribeTopicAsync("rewind-late")).TopicId, 10, failures: 0);
            await log.WriteAsync(new NextReplayKey(replay.Id, OrleansMqStreamProvider.KeyOf(stream, found.Id)),
                new NextReplayValue(found.Queue, replay), CancellationToken.None);
        }
        await SendAsync("rewind-late", 10, 15);
        await ReceivedAsync(reader, Enumerable.Range(0, 15));
        await log.CatchUpAsync(CancellationToken.None);
        Assert.Equal(2, Assert.Single(log.Table.Find(stream)).Replay!.Number);

        go.SetResult();

        await ReceivedAsync(reader, [.. Enumerable.Range(0, 15), .. Enumerable.Range(2, 13)]);
        await SendAsync("rewind-late", 15, 20);
        await ReceivedAsync(reader, [.. Enumerable.Range(0, 15), .. Enumerable.Range(2, 18)]);
        await EndedAsync("rewind-late");
    }

    [Fact]
    public async Task Subscription_whose_call_has_failed_stays_where_a_new_activation_has_resumed_it()
    {
        var (reader, writes, go) = await FailToSubscribeAsync("subscribe-resumed");
        var stream = StreamId.Create("subscribe-resumed", "k");
        // On another silo.
        var outside = new OrleansMqClient(_silo.Outside);
        await using var producer = outside.CreateProducer<byte[]?, byte[]?>();
        var log = new SubscriptionLog(outside, producer, "test", NullLogger.Instance);
        await log.CatchUpAsync(CancellationToken.None);
        var found = Assert.Single(log.Table.Find(stream), found => found.Grain == reader.GetGrainId());
        await log.ClaimAsync(OrleansMqStreamProvider.KeyOf(stream, found.Id), CancellationToken.None);
        await reader.DeactivateAsync();
        Assert.Equal(1, await reader.CountAsync());
        go.SetResult();
        await Wait.UntilAsync(() => writes() >= 2, "the call that has failed abandons the subscription");
        await SendAsync("subscribe-resumed", 0, 5);
        await ReceivedAsync(reader, Enumerable.Range(0, 5));
        Assert.Equal(1, await reader.CountAsync());
        Assert.Equal(2, writes());
    }

    [Fact]
    public async Task Subscription_that_a_new_activation_has_resumed_is_known_to_stay()
    {
        var (reader, _, _) = await CreateAsync("subscribe-known");
        var id = Assert.Single(Provider.Subscriptions.Table.Find(StreamId.Create("subscribe-known", "k"))).Id;
        var writes = 0;
        _broker.OnWrite = write =>
        {
            Interlocked.Increment(ref writes);
            return write();
        };
        Assert.False(Provider.Subscriptions.Table.IsResumed(id));
        for (var activation = 1; activation <= 2; activation++)
        {
            await reader.DeactivateAsync();
            await SendAsync("subscribe-known", 10 * activation, 10 * activation + 5);
            await Wait.UntilAsync(() => Received(reader).LastOrDefault() == 10 * activation + 4, "the new activation receives the events");
            Assert.True(Provider.Subscriptions.Table.IsResumed(id));
        }
        // Once.
        Assert.Equal(1, writes);
    }

    [Fact]
    public async Task Subscription_whose_call_has_failed_is_removed_where_no_activation_has_resumed_it()
    {
        var (reader, _, go) = await FailToSubscribeAsync("subscribe-abandoned");
        var stream = StreamId.Create("subscribe-abandoned", "k");
        Assert.Equal(1, await reader.CountAsync());
        go.SetResult();
        await Wait.UntilAsync(async () => await reader.CountAsync() == 0, "the subscription is removed");
        Assert.Empty(Provider.Subscriptions.Table.Find(stream));
        // The sweep would remove the record of the subscription where the call's silo was lost.
        await Wait.UntilAsync(async () =>
        {
            await Provider.Subscriptions.SweepAsync(CancellationToken.None);
            await Provider.Subscriptions.CatchUpAsync(CancellationToken.None);
            return Provider.Subscriptions.Table.FindLeft().Count == 0;
        }, "nothing of it is left");
        await reader.SubscribeAsync();
        await SendAsync("subscribe-abandoned", 0, 5);
        await ReceivedAsync(reader, Enumerable.Range(0, 5));
    }

    [Fact]
    public async Task Event_of_an_unknown_subscription_does_not_keep_its_activation_waiting_for_the_topic_of_subscriptions()
    {
        await CreateAsync("subscribe-unknown");
        var usual = Provider.LongestAsk;
        Provider.LongestAsk = TimeSpan.FromMilliseconds(100);
        var go = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        _broker.OnFindOffset = async (partition, _, find) =>
        {
            if (partition.Topic == Provider.Subscriptions.Topic)
                await go.Task;
            return await find();
        };
        var consumer = new StreamConsumer(new StreamConsumerTests.OneGrain(), _silo.Services);
        var delivery = new StreamDelivery("test", StreamId.Create("subscribe-unknown", "k"), Guid.NewGuid(), Guid.NewGuid(), 0,
            [new StreamItem(0, null)]);
        Assert.Equal(DeliveryOutcome.Unreachable, (await consumer.DeliverAsync(delivery).WaitAsync(Wait.Deadline)).Outcome);
        Provider.LongestAsk = usual;
        go.SetResult();
        await Wait.UntilAsync(async () => (await consumer.DeliverAsync(delivery)).Outcome == DeliveryOutcome.Removed, "it is removed");
    }

    // The record of the subscription is written, and the call hears nothing of it.
    private async Task<(IReaderGrain Reader, Func<int> Writes, TaskCompletionSource Go)> FailToSubscribeAsync(string topic)
    {
        await _client.Admin.CreateTopicAsync(topic, 1);
        var reader = _silo.Client.GetGrain<IReaderGrain>($"{topic}/k/1");
        Assert.Equal(0, await reader.CountAsync());
        var usual = GiveUpSoon();
        var (writes, go) = (0, new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously));
        _broker.OnWrite = async write =>
        {
            Interlocked.Increment(ref writes);
            var written = await write();
            await go.Task;
            return written;
        };
        await Assert.ThrowsAnyAsync<Exception>(() => reader.SubscribeAsync());
        Provider.SubscribeTimeout = usual;
        return (reader, () => Volatile.Read(ref writes), go);
    }

    private OrleansMqStreamProvider Provider =>
        (OrleansMqStreamProvider)_silo.Services.GetRequiredKeyedService<IStreamProvider>("test");

    // Lets calls give up after a time that writes which are answered may need, too. Returns the time that calls had.
    private TimeSpan GiveUpSoon()
    {
        var usual = Provider.SubscribeTimeout;
        Provider.SubscribeTimeout = TimeSpan.FromSeconds(1.5);
        return usual;
    }

    // A subscription that has received ten events.
    private async Task<(IReaderGrain Reader, StreamSubscriptionHandle<Happened> Handle, StreamSequenceToken[] Tokens)> CreateAsync(
        string topic)
    {
        await _client.Admin.CreateTopicAsync(topic, 1);
        var reader = _silo.Client.GetGrain<IReaderGrain>($"{topic}/k/1");
        var handle = await reader.SubscribeAsync();
        var tokens = await SendAsync(topic, 0, 10);
        await ReceivedAsync(reader, Enumerable.Range(0, 10));
        return (reader, handle, tokens);
    }

    private async Task<StreamSequenceToken[]> SendAsync(string topic, int from, int end)
    {
        var tokens = new List<StreamSequenceToken>();
        await using var producer = _client.CreateProducer<string, string>();
        for (var number = from; number < end; number++)
            tokens.Add(new StreamOffset(0, (await producer.SendAsync(new(topic, "k", $$"""{"number":{{number}}}"""))).Offset));
        return [.. tokens];
    }

    // The records of further replays that the topic of subscriptions has.
    private async Task<int> CountReplaysAsync(string topic)
    {
        var partition = new TopicPartition(Provider.Subscriptions.Topic, 0);
        await using var reader = _client.CreatePartitionReader<byte[]?, byte[]?>();
        reader.Assign(partition, ReadFrom.Earliest);
        var end = await _client.Admin.FindOffsetAsync(partition, ReadFrom.Latest);
        for (var count = 0; ;)
        {
            var read = await reader.ReadAsync().AsTask().WaitAsync(Wait.Deadline);
            if (NextReplayKey.TryParse(read.Key) is { } key && key.Of.Topic == topic && read.Value is not null)
                count++;
            if (read.Offset + 1 >= end)
                return count;
        }
    }

    private static async Task ReceivedAsync(IReaderGrain reader, IEnumerable<int> expected)
    {
        var wanted = expected.ToArray();
        await Wait.UntilAsync(() => Task.FromResult(Received(reader).Length >= wanted.Length),
            $"{wanted.Length} events of {reader.GetPrimaryKeyString()}", () => Task.FromResult(string.Join(' ', Received(reader))));
        Assert.Equal(wanted, Received(reader));
    }

    private static int[] Received(IReaderGrain reader)
    {
        var parts = reader.GetPrimaryKeyString().Split('/');
        return StreamScript.Received(parts[0], parts[1], reader.GetGrainId().ToString());
    }

    private Task EndedAsync(string topic) => Wait.UntilAsync(async () => !(await _silo.Inside.Queues.ListAsync(
        new TopicPartition(topic, 0))).Any(static queue => queue.Name.Contains('@', StringComparison.Ordinal)),
        $"the replays of {topic} leave no queue");
}
