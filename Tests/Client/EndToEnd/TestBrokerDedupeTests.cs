using OrleansMq.Api;
using OrleansMq.Client;
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

    /// <summary>Letters of two groups on one record are two, though the dead-letter topic has a window. Each is sent back once by a
    /// redrive, and again by another one.</summary>
    [Fact]
    public async Task Dead_letters_and_redriven_records_are_messages_of_their_own()
    {
        await using var broker = await TestBroker.StartAsync();
        var window = new Dictionary<string, string> { ["dedupe.window.ms"] = "600000" };
        await broker.Client.Admin.CreateTopicAsync("orders", partitions: 1, configs: window);
        await broker.Client.Admin.CreateTopicAsync("letters", partitions: 1, configs: window);
        await using (var producer = broker.Client.CreateProducer<Ignore, string>())
            await producer.SendAsync(new ProducerRecord<Ignore, string>("orders", default, "order 7") { MessageId = "7" }).SoonAsync();
        foreach (var group in (string[])["bills", "parcels"])
        {
            await using var processor = broker.Client.CreateProcessor<Ignore, string>(
                new ConsumerOptions { GroupId = group, AutoOffsetReset = AutoOffsetReset.Earliest },
                new MessageHandlingOptions
                {
                    Topics = ["orders"],
                    Retry = new RetryPolicy { MaxAttempts = 1 },
                    DeadLetterTopic = static _ => "letters",
                }, static (_, _) => throw new InvalidDataException("cannot be handled"));
            processor.Start();
            await Wait.UntilAsync(() => processor.Statistics.DeadLettered == 1, $"the letter of {group}");
        }
        Assert.Equal(["omq.dead-letter.message-id=7", "omq.dead-letter.message-id=7"], await IdsAsync("letters", 2));

        var admin = broker.Client.Admin;
        Assert.Equal(2, (await admin.RedriveAsync("letters").SoonAsync()).Redriven);
        Assert.Equal(2, (await admin.RedriveAsync("letters", new RedriveOptions { GroupId = "again" }).SoonAsync()).Redriven);
        Assert.Equal(Enumerable.Repeat("omq.message-id=7", 5), await IdsAsync("orders", 5));
        // Its progress was lost: what it sent is known.
        await broker.Broker.Groups.DeleteGroupAsync("again").SoonAsync();
        Assert.Equal(2, (await admin.RedriveAsync("letters", new RedriveOptions { GroupId = "again" }).SoonAsync()).Redriven);
        await using (var producer = broker.Client.CreateProducer<Ignore, string>())
            await producer.SendAsync(new ProducerRecord<Ignore, string>("orders", default, "last") { MessageId = "8" }).SoonAsync();
        Assert.Equal("omq.message-id=8", (await IdsAsync("orders", 6))[^1]);

        async Task<IReadOnlyList<string>> IdsAsync(string topic, int count)
        {
            await using var reader = broker.Client.CreatePartitionReader<Ignore, string>();
            reader.Assign(new TopicPartition(topic, 0), ReadFrom.Earliest);
            var ids = new List<string>();
            while (ids.Count < count)
            {
                var record = await reader.ReadAsync().SoonAsync();
                ids.Add(string.Join(", ", record.Headers.Where(static header => header.Name().EndsWith("message-id",
                    StringComparison.Ordinal)).Select(static header => $"{header.Name()}={header.TextValue()}")));
            }
            return ids;
        }
    }
}
