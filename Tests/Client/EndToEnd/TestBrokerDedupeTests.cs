using OrleansMq.Api;
using OrleansMq.Client;
using OrleansMq.Dedupe;
using OrleansMq.Testing;

namespace OrleansMq.Tests.Client.EndToEnd;

/// <summary>Message ids of the .NET producer, by the clock of a test.</summary>
public sealed class TestBrokerDedupeTests
{
    [Fact]
    public async Task Message_is_in_its_topic_once_within_the_window_whoever_sends_it()
    {
        var clock = new ManualTimeProvider();
        await using var broker = await TestBroker.StartAsync(new TestBrokerOptions { TimeProvider = clock });
        await broker.Client.Admin.CreateTopicAsync("orders", partitions: 1,
            configs: new Dictionary<string, string> { ["dedupe.window.ms"] = "600000" });

        var first = await SendAsync("order 7");
        Assert.Equal(first.Offset, (await SendAsync("again")).Offset);
        await broker.RestartAsync();
        Assert.Equal(first.Offset, (await SendAsync("and again")).Offset);
        clock.Jump(TimeSpan.FromMinutes(10));
        Assert.True((await SendAsync("much later")).Offset > first.Offset);

        await using var reader = broker.Client.CreatePartitionReader<Ignore, string>();
        reader.Assign(new TopicPartition("orders", 0), ReadFrom.Earliest);
        var record = await reader.ReadAsync().SoonAsync();
        Assert.Equal(("order 7", "trace=1, omq.message-id=7"), (record.Value, string.Join(", ",
            record.Headers.Select(static header => $"{header.Name()}={header.TextValue()}"))));
        Assert.Equal("much later", (await reader.ReadAsync().SoonAsync()).Value);

        async Task<DeliveryReport> SendAsync(string value)
        {
            await using var producer = broker.Client.CreateProducer<Ignore, string>();
            return await producer.SendAsync(new ProducerRecord<Ignore, string>("orders", default, value)
            {
                MessageId = "7",
                Headers = new[] { RecordHeaders.Text("trace", "1") },
            }).SoonAsync();
        }
    }

    /// <summary>Duplicates leave holes in batches, and a batch with nothing but duplicates keeps its producer's sequence.</summary>
    [Fact]
    public async Task Queue_delivers_each_message_once_and_its_producers_go_on()
    {
        await using var broker = await TestBroker.StartAsync();
        await broker.Client.Admin.CreateTopicAsync("jobs", partitions: 1, configs: new Dictionary<string, string>
        {
            ["dedupe.window.ms"] = "600000",
            ["retention.until.settled"] = "true",
        });
        var patience = TimeSpan.FromSeconds(60);
        await using var consumer = broker.Client.CreateQueueConsumer<Ignore, string>(new QueueConsumerOptions
        {
            Topic = "jobs",
            Queue = "work",
            Create = new QueueOptions(),
        });
        Assert.Null(await consumer.ReceiveAsync(TimeSpan.Zero));
        await using (var producer = broker.Client.CreateProducer<Ignore, string>(new ProducerOptions { Linger = TimeSpan.FromSeconds(1) }))
        {
            foreach (var ids in (string[])["1 2 1 3", "2 3", "3 4 4 1"])
            {
                foreach (var id in ids.Split(' '))
                    await producer.EnqueueAsync(new ProducerRecord<Ignore, string>("jobs", default, id) { MessageId = id });
                await producer.FlushAsync().WaitAsync(patience);
            }
        }
        for (var expected = 1; expected <= 4; expected++)
        {
            var message = await consumer.ReceiveAsync().AsTask().WaitAsync(patience);
            Assert.Equal($"{expected}", message.Value);
            await message.CompleteAsync().WaitAsync(patience);
        }
        Assert.Null(await consumer.ReceiveAsync(TimeSpan.Zero));
        // Offsets without a record are found in the background.
        using var stop = new CancellationTokenSource(patience);
        QueueDescription queue;
        while ((queue = await broker.Broker.Queues.DescribeAsync(new TopicPartition("jobs", 0), "work", stop.Token)).Unsettled > 0)
            await Task.Delay(5, stop.Token);
        Assert.Equal(4, queue.Accepted);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(257)]
    public async Task Message_id_of_wrong_length_is_refused_before_it_is_sent(int length)
    {
        await using var broker = await TestBroker.StartAsync();
        await broker.Client.Admin.CreateTopicAsync("orders");
        await using var producer = broker.Client.CreateProducer<Ignore, string>();
        var refused = await Assert.ThrowsAsync<ProduceException>(async () => await producer.SendAsync(
            new ProducerRecord<Ignore, string>("orders", default, "x") { MessageId = new string('i', length) }));
        Assert.Equal(ErrorCode.InvalidRecord, refused.Code);
        Assert.Contains($"The message id has {length} bytes; allowed are 1 to 256.", refused.Message, StringComparison.Ordinal);
    }

    /// <summary>The broker tells a redriven record from its first publish by what the redrive writes.</summary>
    [Fact]
    public void Redrives_header_is_the_one_that_ids_depend_on() => Assert.Equal(DeadLetterHeaders.Redrives, MessageIds.RedrivesHeader);
}
