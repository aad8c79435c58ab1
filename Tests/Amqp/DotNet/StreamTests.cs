using System.Collections.Concurrent;
using System.Text;
using OrleansMq.Api;
using OrleansMq.Compression;
using OrleansMq.Records;
using OrleansMq.VirtualHosts;
using RabbitMQ.Client;
using RabbitMQ.Client.Events;

namespace OrleansMq.Tests.Amqp.DotNet;

/// <summary>Streams, and topics as streams, with RabbitMQ's client over a standalone broker.</summary>
public sealed class StreamTests : ClientTest
{
    [Fact]
    public async Task Consumers_replay_a_stream_each_from_its_own_start()
    {
        await DeclareAsync("s");
        for (var i = 0; i < 50; i++)
            await PublishAsync("s", $"{i}");
        var first = await ConsumeAsync("s", 50, "first");
        Assert.Equal(Enumerable.Range(0, 50).Select(static i => $"{i}"), first.Select(static one => one.Body));
        Assert.True(first.Zip(first.Skip(1)).All(static pair => pair.First.Offset < pair.Second.Offset));
        // An acknowledgement removes nothing.
        Assert.Equal(first.Select(static one => one.Body), (await ConsumeAsync("s", 50, "first")).Select(static one => one.Body));
        Assert.Equal(Enumerable.Range(20, 30).Select(static i => $"{i}"),
            (await ConsumeAsync("s", 30, first[20].Offset)).Select(static one => one.Body));
        Assert.Equal("49", (await ConsumeAsync("s", 1, "last")).Single().Body);
        var future = new AmqpTimestamp(DateTimeOffset.UtcNow.AddHours(1).ToUnixTimeSeconds());
        foreach (var start in new object?[] { "next", null, future, "0s", long.MaxValue >> 8 })
        {
            await using var channel = await Connection.CreateChannelAsync();
            // A start by time has what was published in the same millisecond.
            for (var published = Milliseconds(); Milliseconds() == published;)
                await Task.Delay(1);
            var received = await StartAsync(channel, "s", start);
            await PublishAsync("s", $"after {start}");
            if (start is not long)
                Assert.Equal($"after {start}", (await NextAsync(received)).Body);
        }
        Assert.Equal("0", (await ConsumeAsync("s", 1, "1h")).Single().Body);
        Assert.Equal("0", (await ConsumeAsync("s", 1, new AmqpTimestamp(0))).Single().Body);
        Assert.Equal(55u, (await Channel.QueueDeclarePassiveAsync("s")).MessageCount);

        static long Milliseconds() => DateTimeOffset.UtcNow.ToUnixTimeMilliseconds();
    }

    [Fact]
    public async Task Credit_limits_what_a_consumer_of_a_stream_receives_and_any_settlement_returns_it()
    {
        await DeclareAsync("s");
        for (var i = 0; i < 10; i++)
            await PublishAsync("s", $"{i}");
        await using var channel = await Connection.CreateChannelAsync();
        var received = await StartAsync(channel, "s", "first", prefetch: 2);
        Assert.Equal("0", (await NextAsync(received)).Body);
        var second = await NextAsync(received);
        // A further one would come before the answer to a command.
        await channel.QueueDeclarePassiveAsync("s");
        Assert.Empty(received);
        await channel.BasicNackAsync(second.Tag, multiple: true, requeue: true);
        Assert.Equal(("2", false), await NextAsync(received) is var third ? (third.Body, third.IsRedelivered) : default);
        await channel.BasicRejectAsync((await NextAsync(received)).Tag, requeue: false);
        Assert.Equal("4", (await NextAsync(received)).Body);
    }

    [Fact]
    public async Task Filter_delivers_the_messages_of_its_values_alone()
    {
        await DeclareAsync("s");
        foreach (var (body, value) in new[] { ("1", "a"), ("2", "b"), ("3", null), ("4", "c"), ("5", "a") })
        {
            await Channel.BasicPublishAsync("", "s", true, new BasicProperties
            {
                Headers = value is null ? null : new Dictionary<string, object?> { ["x-stream-filter-value"] = value },
            }, Encoding.UTF8.GetBytes(body));
        }
        Assert.Equal(["1", "5"], (await ConsumeAsync("s", 2, "first", ("x-stream-filter", "a"))).Select(static one => one.Body));
        Assert.Equal(["1", "4", "5"], (await ConsumeAsync("s", 3, "first", ("x-stream-filter", new List<object?> { "a", "c" })))
            .Select(static one => one.Body));
        Assert.Equal(["2", "3"], (await ConsumeAsync("s", 2, "first", ("x-stream-filter", "b"), ("x-stream-match-unfiltered", true)))
            .Select(static one => one.Body));
    }

    [Fact]
    public async Task What_streams_do_not_have_is_refused_as_RabbitMQ_refuses_it()
    {
        await DeclareAsync("s");
        await RefusedAsync(406, "consumer prefetch count is not set for stream queue 's' in vhost '/'",
            static channel => channel.BasicConsumeAsync("s", false, new AsyncEventingBasicConsumer(channel)));
        await RefusedAsync(406, "invalid arg 'x-stream-offset': 'soon'", static async channel =>
        {
            await channel.BasicQosAsync(0, 1, false);
            await channel.BasicConsumeAsync("s", false, "", false, false, new Dictionary<string, object?> { ["x-stream-offset"] = "soon" },
                new AsyncEventingBasicConsumer(channel));
        });
        await RefusedAsync(540, "automatic acknowledgement not supported by stream queue 's' in vhost '/'", static async channel =>
        {
            await channel.BasicQosAsync(0, 1, false);
            await channel.BasicConsumeAsync("s", true, new AsyncEventingBasicConsumer(channel));
        });
        await RefusedAsync(540, "queue 's' in vhost '/' does not support global qos", static async channel =>
        {
            await channel.BasicQosAsync(0, 1, true);
            await channel.BasicConsumeAsync("s", false, new AsyncEventingBasicConsumer(channel));
        });
        await RefusedAsync(540, "basic.get not supported by stream queues queue 's' in vhost '/'",
            static channel => channel.BasicGetAsync("s", false));
        await RefusedAsync(540, "queue.purge not supported by stream queues", static channel => channel.QueuePurgeAsync("s"));
        await RefusedAsync(540, "if-empty flag set are not supported by stream queues",
            static channel => channel.QueueDeleteAsync("s", ifUnused: false, ifEmpty: true));
        await RefusedAsync(406, "invalid property 'non-durable'", static channel => channel.QueueDeclareAsync("t", false, false, false,
            new Dictionary<string, object?> { ["x-queue-type"] = "stream" }));
        await RefusedAsync(406, "invalid arg 'x-message-ttl' for queue 't' in vhost '/' of queue type rabbit_stream_queue",
            static channel => channel.QueueDeclareAsync("t", true, false, false,
                new Dictionary<string, object?> { ["x-queue-type"] = "stream", ["x-message-ttl"] = 1 }));
    }

    [Fact]
    public async Task Arguments_of_a_stream_configure_its_topic_and_policies_change_it()
    {
        await DeclareAsync("s", ("x-max-age", "1D"), ("x-max-length-bytes", 1_000_000L), ("x-stream-max-segment-size-bytes", 50_000));
        var configs = await ConfigsAsync("amqp.s");
        Assert.Equal(("86400000", "1000000", "50000", "false"), (configs["retention.ms"], configs["retention.bytes"],
            configs["segment.bytes"], configs["retention.until.settled"]));
        await DeclareAsync("all");
        configs = await ConfigsAsync("amqp.all");
        Assert.Equal(("-1", "-1"), (configs["retention.ms"], configs["retention.bytes"]));
        await Channel.QueueDeleteAsync("s");
        var gone = await Assert.ThrowsAsync<BrokerException>(async () => await Gateway.Broker.DescribeTopicAsync("amqp.s"));
        Assert.Equal(ErrorCode.UnknownTopicOrPartition, gone.Code);
    }

    [Fact]
    public async Task Consumer_goes_on_at_the_start_of_the_log_that_retention_moved()
    {
        await DeclareAsync("s");
        for (var i = 0; i < 20; i++)
            await PublishAsync("s", $"{i}");
        await using var channel = await Connection.CreateChannelAsync();
        var received = await StartAsync(channel, "s", "first", prefetch: 1);
        var first = await NextAsync(received);
        await Gateway.Broker.DeleteRecordsAsync(new TopicPartition("amqp.s", 0), first.Offset + 10);
        await channel.BasicAckAsync(first.Tag, false);
        // What was fetched before may still come.
        var next = await NextAsync(received);
        while (int.Parse(next.Body, System.Globalization.CultureInfo.InvariantCulture) < 10)
        {
            await channel.BasicAckAsync(next.Tag, false);
            next = await NextAsync(received);
        }
        Assert.Equal("10", next.Body);
        Assert.Equal("10", (await ConsumeAsync("s", 1, 0L)).Single().Body);
    }

    [Theory]
    [InlineData(CompressionType.None)]
    [InlineData(CompressionType.Gzip)]
    public async Task Topic_is_consumed_as_a_stream_with_keys_and_headers(CompressionType compression)
    {
        await Gateway.Broker.CreateTopicAsync(new NewTopic("orders", 2, 1, new Dictionary<string, string>()));
        using (var builder = new RecordBatchBuilder(compression: compression, codecs: StandardCodecs.All))
        {
            for (var i = 0; i < 100; i++)
                builder.Add(1_700_000_000_000, Encoding.UTF8.GetBytes($"key {i}"), true, Encoding.UTF8.GetBytes($"{i}"), true,
                    [new RecordHeader("kind"u8.ToArray(), "big"u8.ToArray())]);
            var appended = await Gateway.Broker.ProduceAsync(new TopicPartition("orders", 1), builder.Build().ToArray(), Acks.All);
            Assert.Equal(ErrorCode.None, appended.Error);
        }
        Assert.Equal(100u, (await Channel.QueueDeclarePassiveAsync("amq.topic/orders/1")).MessageCount);
        var received = await ConsumeAsync("amq.topic/orders/1", 100, "first");
        Assert.Equal(Enumerable.Range(0, 100).Select(static i => ($"{i}", (long)i)),
            received.Select(static each => (each.Body, each.Offset)));
        var one = received[7];
        Assert.Equal(("key 7", "big", "orders", 1_700_000_000L), (Text(one.Headers["x-record-key"]), Text(one.Headers["kind"]),
            one.RoutingKey, one.Properties.Timestamp.UnixTime));
        Assert.Equal("40", (await ConsumeAsync("amq.topic/orders/1", 1, 40)).Single().Body);
        await RefusedAsync(406, "topic 'orders' has 2 partitions: name one, such as 'amq.topic/orders/0'",
            static channel => channel.QueueDeclarePassiveAsync("amq.topic/orders"));
        await RefusedAsync(404, "no queue 'amq.topic/orders/2' in vhost '/'",
            static channel => channel.QueueDeclarePassiveAsync("amq.topic/orders/2"));
        await RefusedAsync(404, "no queue 'amq.topic/none' in vhost '/'", static async channel =>
        {
            await channel.BasicQosAsync(0, 1, false);
            await channel.BasicConsumeAsync("amq.topic/none", false, new AsyncEventingBasicConsumer(channel));
        });
        await RefusedAsync(404, "no queue 'amq.topic/__schedules' in vhost '/'",
            static channel => channel.QueueDeclarePassiveAsync("amq.topic/__schedules"));
        await Channel.QueueDeclareAsync("q", true, false, false);
        await RefusedAsync(403, "is the topic of a queue: consume the queue",
            static channel => channel.QueueDeclarePassiveAsync("amq.topic/amqp.q"));
    }

    [Fact]
    public async Task Consumer_of_a_topic_is_told_that_it_is_deleted()
    {
        await Gateway.Broker.CreateTopicAsync(new NewTopic("t", 1, 1, new Dictionary<string, string>()));
        await using var channel = await Connection.CreateChannelAsync();
        await channel.BasicQosAsync(0, 1, false);
        var consumer = new AsyncEventingBasicConsumer(channel);
        var told = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        consumer.UnregisteredAsync += (_, _) => Task.FromResult(told.TrySetResult());
        await channel.BasicConsumeAsync("amq.topic/t", false, consumer);
        await Gateway.Broker.DeleteTopicAsync("t");
        await told.Task.WaitAsync(Patience);
    }

    [Fact]
    public async Task User_needs_the_permission_to_read_the_name_of_a_topic_and_the_virtual_host_that_has_topics()
    {
        await Gateway.Broker.CreateTopicAsync(new NewTopic("open", 1, 1, new Dictionary<string, string>()));
        await Gateway.Broker.CreateTopicAsync(new NewTopic("secret", 1, 1, new Dictionary<string, string>()));
        var hosts = await Gateway.Broker.OpenVirtualHostsAsync();
        await hosts.AdministerAsync(new PutUser("alice", PasswordHash.Create("password", "salt"u8), PasswordHash.Sha256, []));
        await hosts.AdministerAsync(new SetPermissions("/", "alice", SafePattern.Parse(""), SafePattern.Parse(""),
            SafePattern.Parse(@"^amq\.topic/open$")));
        await using var connection = await ConnectAsync("alice", "password");
        await using (var channel = await connection.CreateChannelAsync())
            Assert.Equal(0u, (await channel.QueueDeclarePassiveAsync("amq.topic/open")).MessageCount);
        await RefusedAsync(403, "read access to queue 'amq.topic/secret' in vhost '/' refused for user 'alice'",
            static channel => channel.QueueDeclarePassiveAsync("amq.topic/secret"), connection);
        await hosts.AdministerAsync(new PutVirtualHost("other", "guest"));
        await using var elsewhere = await ConnectAsync(host: "other");
        await RefusedAsync(404, "no queue 'amq.topic/open' in vhost 'other'",
            static channel => channel.QueueDeclarePassiveAsync("amq.topic/open"), elsewhere);
    }

    private static Task<BlockingCollection<Received>> StartAsync(IChannel channel, string queue, object? start, ushort prefetch = 100,
        params (string, object?)[] arguments)
    {
        var all = arguments.ToDictionary(static one => one.Item1, static one => one.Item2);
        if (start is not null)
            all["x-stream-offset"] = start;
        return StartAsync(channel, queue, prefetch, all);
    }

    private async Task<List<Received>> ConsumeAsync(string queue, int count, object start, params (string, object?)[] arguments)
    {
        await using var channel = await Connection.CreateChannelAsync();
        var received = await StartAsync(channel, queue, start, 7, arguments);
        var all = new List<Received>();
        while (all.Count < count)
        {
            all.Add(await NextAsync(received));
            await channel.BasicAckAsync(all[^1].Tag, false);
        }
        return all;
    }

    private Task DeclareAsync(string name, params (string Name, object? Value)[] arguments) => DeclareAsync(name, "stream", arguments);

    private async Task<Dictionary<string, string>> ConfigsAsync(string topic) =>
        (await Gateway.Broker.DescribeTopicAsync(topic)).Configs.ToDictionary(static one => one.Name, static one => one.Value);
}
