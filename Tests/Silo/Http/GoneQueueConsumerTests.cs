using OrleansMq.Api;
using OrleansMq.Client;
using OrleansMq.Gateways.Http;
using OrleansMq.Gateways.Http.Queueing;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Silo.Http;

/// <summary>Consumers of queues whose client is gone, and clients that attach too many.</summary>
public sealed class GoneQueueConsumerTests : IAsyncLifetime
{
    private static readonly QueueAttachOptions Options = new() { SessionTimeout = TimeSpan.FromMinutes(5) };
    private readonly List<string> _calls = [];
    private RunningBroker _broker = null!;
    private HttpBroker _client = null!;

    public async Task InitializeAsync()
    {
        _broker = new RunningBroker { Engine = engine => CallRecorder.Of(engine, _calls) };
        await _broker.InitializeAsync();
        _client = new HttpBroker(_broker.Http.BaseAddress!);
    }

    public async Task DisposeAsync()
    {
        _client.Dispose();
        await _broker.DisposeAsync();
    }

    [Fact]
    public async Task Record_that_arrives_for_a_receive_without_a_client_goes_to_another_consumer()
    {
        var partition = await CreateAsync();
        var gone = await _client.Queues.AttachAsync(partition, "mails", Options);
        var exchange = await ReceiveAsync(partition, gone, "max=1&waitMs=600000");
        await UntilAsync(() => _calls.Contains(nameof(IQueues.ReceiveAsync)));
        await exchange.DisposeAsync();
        // The request has ended.
        using (var deadline = new CancellationTokenSource(RunningBroker.Patience))
        {
            while (!(await _broker.Http.GetStringAsync("/metrics", deadline.Token)).Contains("/receive", StringComparison.Ordinal))
                await Task.Delay(20, deadline.Token);
        }
        await ProduceAsync(partition, "one");

        var living = await _client.Queues.AttachAsync(partition, "mails", Options);
        var delivery = await _client.Queues.ReceiveAsync(partition, living, 1, RunningBroker.Patience);
        Assert.Equal(0, Assert.Single(delivery!.Records).Failures);
    }

    [Fact]
    public async Task Records_of_an_answer_that_is_not_taken_whole_go_to_another_consumer_not_as_failed()
    {
        var partition = await CreateAsync();
        // Together more than the sockets of both sides hold.
        const int count = 20;
        var large = new string('x', 400_000);
        for (var number = 0; number < count; number++)
            await ProduceAsync(partition, large);
        var gone = await _client.Queues.AttachAsync(partition, "mails", Options);
        await using (var exchange = await ReceiveAsync(partition, gone, $"max={count}&waitMs=60000"))
            Assert.StartsWith("HTTP/1.1 200", await exchange.ReadAsync(100), StringComparison.Ordinal);

        var living = await _client.Queues.AttachAsync(partition, "mails", Options);
        var received = new List<QueueRecord>();
        while (received.Count < count)
            received.AddRange((await _client.Queues.ReceiveAsync(partition, living, count, RunningBroker.Patience))!.Records);
        // The queue's creation is the first offset.
        Assert.Equal(Enumerable.Range(1, count).Select(static number => ((long)number, 2, 0)),
            received.Select(static record => (record.Offset, record.Deliveries, record.Failures)));
    }

    [Fact]
    public void Client_attaches_only_so_many_consumers_and_those_that_ended_make_room()
    {
        var clock = new Clock();
        var consumers = new AttachedConsumers(clock);
        var here = new TopicPartition("t", 0);
        var ids = Enumerable.Range(0, AttachedConsumers.MostOfOne).Select(static _ => Guid.NewGuid()).ToList();
        foreach (var id in ids)
            Attach(id, "10.0.0.1");
        Assert.Equal(429, Assert.Throws<RequestException>(() => consumers.Take("10.0.0.1")).Status);
        consumers.Take("10.0.0.2").Dispose();
        Assert.Equal(AttachedConsumers.MostOfOne, consumers.Count);

        // At another partition it was not detached.
        consumers.Forget(ids[0], new TopicPartition("t", 1));
        Assert.Equal(AttachedConsumers.MostOfOne, consumers.Count);
        consumers.Forget(ids[0], here);
        consumers.Forget(ids[0], here);
        Attach(Guid.NewGuid(), "10.0.0.1");
        clock.Now += TimeSpan.FromSeconds(20);
        consumers.Heard(ids[1], TimeSpan.FromSeconds(30));
        clock.Now += TimeSpan.FromSeconds(20);
        consumers.Take("10.0.0.1").Dispose();
        Assert.Equal(1, consumers.Count);

        void Attach(Guid id, string client)
        {
            using var place = consumers.Take(client);
            place.Use(id, here, TimeSpan.FromSeconds(30));
        }
    }

    private async Task<TopicPartition> CreateAsync()
    {
        var partition = new TopicPartition(await _broker.CreateTopicAsync(), 0);
        await _client.Queues.CreateAsync(partition, new NewQueue("mails"));
        return partition;
    }

    private async Task ProduceAsync(TopicPartition partition, string value) =>
        Assert.Equal(ErrorCode.None, (await _broker.Script.ProduceAsync(partition, TestBatches.Of(value), Acks.All)).Error);

    private Task<RawExchange> ReceiveAsync(TopicPartition partition, Guid consumer, string query) => RawExchange.SendAsync(_broker,
        $"POST /api/queue-consumers/{partition.Topic}/0/{consumer}/receive?{query} HTTP/1.1\r\nHost: localhost\r\n"
        + "Content-Length: 0\r\n\r\n");

    private async Task UntilAsync(Func<bool> condition)
    {
        using var deadline = new CancellationTokenSource(RunningBroker.Patience);
        while (true)
        {
            lock (_calls)
            {
                if (condition())
                    return;
            }
            await Task.Delay(10, deadline.Token);
        }
    }

    private sealed class Clock : TimeProvider
    {
        public DateTimeOffset Now { get; set; } = DateTimeOffset.UnixEpoch;

        public override DateTimeOffset GetUtcNow() => Now;
    }
}
