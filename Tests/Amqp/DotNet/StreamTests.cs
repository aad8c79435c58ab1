using System.Collections.Concurrent;
using System.Text;
using OrleansMq.Api;
using OrleansMq.Compression;
using OrleansMq.Partitioning;
using OrleansMq.Records;
using OrleansMq.VirtualHosts;
using RabbitMQ.Client;
using RabbitMQ.Client.Events;
using RabbitMQ.Client.Exceptions;

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
        await UntilOpenAsync("s");
        var configs = await ConfigsAsync("amqp.s");
        Assert.Equal(("86400000", "1000000", "50000", "false"), (configs["retention.ms"], configs["retention.bytes"],
            configs["segment.bytes"], configs["retention.until.settled"]));
        await DeclareAsync("all");
        await UntilOpenAsync("all");
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
        await RefusedAsync(403, "is the topic of a queue: use the queue",
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

    [Theory]
    [InlineData("stream")]
    [InlineData("classic")]
    public async Task Publisher_gives_a_record_its_key_which_consumers_see_as_it_was_sent(string type)
    {
        await DeclareAsync("q", type);
        await PublishKeyedAsync("q", "text", "customer 7");
        await PublishKeyedAsync("q", "integer", 7);
        await PublishKeyedAsync("q", "long", -7L);
        await PublishKeyedAsync("q", "bytes", new BinaryTableValue([0xff, 0]));
        await PublishKeyedAsync("q", "empty", "");
        await PublishKeyedAsync("q", "void", null);
        await PublishAsync("q", "none");

        Assert.Equal([("text", "637573746F6D65722037"), ("integer", "37"), ("long", "2D37"), ("bytes", "FF00"), ("empty", ""),
            ("void", null), ("none", null)], await RecordsAsync("amqp.q", 0));
        var received = type == "stream" ? await ConsumeAsync("q", 7, "first") : await TakeAsync("q", 7);
        Assert.Equal(["customer 7", 7, -7L], received.Take(3).Select(static one => KeyOf(one)));
        Assert.Equal([0xff, 0], ((BinaryTableValue)received[3].Headers["x-record-key"]!).Bytes);
        Assert.False(received[6].Headers.ContainsKey("x-record-key"));
        foreach (var wrong in new object[] { true, 1.5, new List<object> { "a" } })
        {
            await RefusedAsync(406, "header 'x-record-key' is the key of a record: a text, bytes, or an integer; leave it out for none",
                async channel =>
                {
                    await channel.BasicPublishAsync("", "q", true, Keyed(wrong), "wrong"u8.ToArray());
                    await channel.QueueDeclarePassiveAsync("q");
                });
        }
    }

    [Fact]
    public async Task Numbers_and_truth_values_among_headers_are_texts_in_the_record()
    {
        await Channel.QueueDeclareAsync("q", true, false, false);
        await Channel.BasicPublishAsync("", "q", true, new BasicProperties
        {
            Headers = new Dictionary<string, object?> { ["number"] = 7, ["half"] = 0.5, ["yes"] = true, ["text"] = "t" },
        }, "x"u8.ToArray());
        using var fetched = await Gateway.Broker.FetchAsync(new FetchRequest(new TopicPartition("amqp.q", 0), 0, 1 << 20));
        using var records = new RecordReader(fetched.Records, StandardCodecs.All);
        while (records.MoveTo(0) && records.Batch.IsControl)
        {
            // The cursor's own records come first.
        }
        var headers = records.Current.ReadHeaders().ToDictionary(static header => Encoding.UTF8.GetString(header.Key.Span),
            static header => Encoding.UTF8.GetString(header.Value!.Value.Span));
        Assert.Equal(("7", "0.5", "true", "t"), (headers["number"], headers["half"], headers["yes"], headers["text"]));
    }

    [Fact]
    public async Task Record_of_another_producer_in_a_queue_has_its_key_as_a_header()
    {
        await Channel.QueueDeclareAsync("q", true, false, false);
        await UntilOpenAsync("q");
        using (var builder = new RecordBatchBuilder())
        {
            builder.Add(1_700_000_000_000, "k"u8, true, "body"u8, true);
            Assert.Equal(ErrorCode.None, (await Gateway.Broker.ProduceAsync(new TopicPartition("amqp.q", 0), builder.Build().ToArray(),
                Acks.All)).Error);
        }
        Assert.Equal("k", KeyOf(await GetAsync("q")));
    }

    [Fact]
    public async Task Messages_published_to_a_topic_are_in_the_partition_of_their_key_in_their_order()
    {
        await Gateway.Broker.CreateTopicAsync(new NewTopic("orders", 3, 1, new Dictionary<string, string>()));
        for (var i = 0; i < 60; i++)
            await PublishKeyedAsync("amq.topic/orders", $"{i}", $"key {i % 10}");
        var all = new List<(string Body, string? Key)>();
        for (var partition = 0; partition < 3; partition++)
        {
            var records = await RecordsAsync("orders", partition);
            Assert.All(records, record => Assert.Equal(partition, Murmur2Partitioner.ForKey(Convert.FromHexString(record.Key!), 3)));
            Assert.Equal(records.Select(static record => int.Parse(record.Body, System.Globalization.CultureInfo.InvariantCulture)).Order(),
                records.Select(static record => int.Parse(record.Body, System.Globalization.CultureInfo.InvariantCulture)));
            all.AddRange(records);
        }
        Assert.Equal(60, all.Select(static record => record.Body).Distinct().Count());
        var one = (await ConsumeAsync("amq.topic/orders/1", 1, "first"))[0];
        Assert.Equal(("amq.topic/orders", ""), (one.RoutingKey, one.Exchange));
        Assert.StartsWith("key ", KeyOf(one) as string, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Message_without_a_key_or_with_a_partition_needs_no_key()
    {
        await Gateway.Broker.CreateTopicAsync(new NewTopic("orders", 2, 1, new Dictionary<string, string>()));
        for (var i = 0; i < 10; i++)
            await PublishAsync("amq.topic/orders", $"{i}");
        await PublishKeyedAsync("amq.topic/orders/1", "chosen", "k");
        Assert.Equal(5, (await RecordsAsync("orders", 0)).Count);
        Assert.Equal(("chosen", "6B"), (await RecordsAsync("orders", 1))[5]);
    }

    [Fact]
    public async Task Copies_of_a_message_to_a_topic_go_to_queues_and_transactions_write_topics()
    {
        await Gateway.Broker.CreateTopicAsync(new NewTopic("orders", 1, 1, new Dictionary<string, string>()));
        await Channel.QueueDeclareAsync("copies", true, false, false);
        await Channel.BasicPublishAsync("", "amq.topic/orders", true, new BasicProperties
        {
            Headers = new Dictionary<string, object?> { ["BCC"] = new List<object?> { "copies" }, ["x-record-key"] = "k" },
        }, "copied"u8.ToArray());
        Assert.Equal("copied", (await GetAsync("copies")).Body);
        Assert.False((await ConsumeAsync("amq.topic/orders", 1, "first"))[0].Headers.ContainsKey("BCC"));
        await using var channel = await Connection.CreateChannelAsync();
        await channel.TxSelectAsync();
        await channel.BasicPublishAsync("", "amq.topic/orders", true, Keyed("k"), "dropped"u8.ToArray());
        await channel.TxRollbackAsync();
        await channel.BasicPublishAsync("", "amq.topic/orders", true, Keyed("k"), "committed"u8.ToArray());
        await channel.TxCommitAsync();
        Assert.Equal(["copied", "committed"], (await RecordsAsync("orders", 0)).Select(static record => record.Body));
    }

    [Fact]
    public async Task Topic_that_takes_small_batches_takes_many_small_messages()
    {
        await Gateway.Broker.CreateTopicAsync(new NewTopic("orders", 1, 1,
            new Dictionary<string, string> { ["max.message.bytes"] = "5000" }));
        await using var channel = await Connection.CreateChannelAsync(new CreateChannelOptions(publisherConfirmationsEnabled: true,
            publisherConfirmationTrackingEnabled: true));
        var published = Enumerable.Range(0, 500).Select(i => channel.BasicPublishAsync("", "amq.topic/orders", true, Keyed($"{i}"),
            Encoding.UTF8.GetBytes($"{i}")).AsTask()).ToList();
        await Task.WhenAll(published);
        Assert.Equal(Enumerable.Range(0, 500).Select(static i => $"{i}"),
            (await RecordsAsync("orders", 0)).Select(static record => record.Body));
        await Assert.ThrowsAsync<PublishException>(() => channel.BasicPublishAsync("", "amq.topic/orders", true, Keyed("k"),
            new byte[6000]).AsTask());
    }

    [Fact]
    public async Task Publish_to_a_topic_that_is_missing_internal_or_not_permitted_is_refused()
    {
        await Gateway.Broker.CreateTopicAsync(new NewTopic("open", 1, 1, new Dictionary<string, string>()));
        await Channel.QueueDeclareAsync("q", true, false, false);
        foreach (var (code, text, name) in new[]
        {
            (404, "no queue 'amq.topic/none' in vhost '/'", "amq.topic/none"),
            (404, "no queue 'amq.topic/open/1' in vhost '/'", "amq.topic/open/1"),
            (404, "no queue 'amq.topic/__schedules' in vhost '/'", "amq.topic/__schedules"),
            (403, "is the topic of a queue: use the queue", "amq.topic/amqp.q"),
            (406, "'x' is not a number", "amq.topic/open/x"),
        })
            await RefusedAsync(code, text, channel => PublishAndWaitAsync(channel, name));
        var hosts = await Gateway.Broker.OpenVirtualHostsAsync();
        await hosts.AdministerAsync(new PutUser("alice", PasswordHash.Create("password", "salt"u8), PasswordHash.Sha256, []));
        await hosts.AdministerAsync(new SetPermissions("/", "alice", SafePattern.Parse(""), SafePattern.Parse(@"^amq\.default$"),
            SafePattern.Parse(".*")));
        await using (var connection = await ConnectAsync("alice", "password"))
        {
            await RefusedAsync(403, "write access to queue 'amq.topic/open' in vhost '/' refused for user 'alice'",
                static channel => PublishAndWaitAsync(channel, "amq.topic/open"), connection);
        }
        await hosts.AdministerAsync(new PutVirtualHost("other", "guest"));
        await using var elsewhere = await ConnectAsync(host: "other");
        await RefusedAsync(404, "no queue 'amq.topic/open' in vhost 'other'",
            static channel => PublishAndWaitAsync(channel, "amq.topic/open"), elsewhere);
        Assert.Empty(await RecordsAsync("open", 0));
    }

    [Fact]
    public async Task Publish_to_a_topic_that_was_deleted_is_nacked_and_then_refused_until_it_is_there_again()
    {
        await Gateway.Broker.CreateTopicAsync(new NewTopic("orders", 4, 1, new Dictionary<string, string>()));
        await PublishKeyedAsync("amq.topic/orders", "1", "k");
        await Gateway.Broker.DeleteTopicAsync("orders");
        await Assert.ThrowsAsync<PublishException>(() => PublishKeyedAsync("amq.topic/orders", "2", "k"));
        await Gateway.Broker.CreateTopicAsync(new NewTopic("orders", 1, 1, new Dictionary<string, string>()));
        await PublishKeyedAsync("amq.topic/orders", "3", "k");
        Assert.Equal(("3", "6B"), (await RecordsAsync("orders", 0)).Single());
    }

    private static async Task PublishAndWaitAsync(IChannel channel, string name)
    {
        await channel.BasicPublishAsync("", name, true, Keyed("k"), "x"u8.ToArray());
        // The answer to a command comes after the refusal of a publish.
        await channel.QueueDeclareAsync("", false, true, true);
    }

    private static BasicProperties Keyed(object? key) => new()
    {
        Persistent = true,
        Headers = new Dictionary<string, object?> { ["x-record-key"] = key },
    };

    private async Task PublishKeyedAsync(string queue, string body, object? key) =>
        await Channel.BasicPublishAsync("", queue, true, Keyed(key), Encoding.UTF8.GetBytes(body));

    private static object? KeyOf(Received one) => one.Headers["x-record-key"] is byte[] text ? Encoding.UTF8.GetString(text)
        : one.Headers["x-record-key"];

    private async Task<List<Received>> TakeAsync(string queue, int count)
    {
        var all = new List<Received>();
        while (all.Count < count)
            all.Add(await GetAsync(queue));
        return all;
    }

    // With their keys as hexadecimal digits.
    private async Task<List<(string Body, string? Key)>> RecordsAsync(string topic, int partition)
    {
        var all = new List<(string, string?)>();
        var at = new TopicPartition(topic, partition);
        for (var offset = 0L; ;)
        {
            using var fetched = await Gateway.Broker.FetchAsync(new FetchRequest(at, offset, 1 << 20));
            Assert.Equal(ErrorCode.None, fetched.Error);
            if (fetched.Records.IsEmpty)
                return all;
            using var records = new RecordReader(fetched.Records, StandardCodecs.All);
            while (records.MoveTo(offset))
            {
                offset = records.Current.Offset + 1;
                if (!records.Batch.IsControl)
                    all.Add((Encoding.UTF8.GetString(records.Current.Value!.Value.Span), records.Current.Key is { } key
                        ? Convert.ToHexString(key.Span) : null));
            }
        }
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

    // A queue's topic follows its declaration. Another one, passive too, waits for it.
    private Task UntilOpenAsync(string queue) => Channel.QueueDeclarePassiveAsync(queue);

    private async Task<Dictionary<string, string>> ConfigsAsync(string topic) =>
        (await Gateway.Broker.DescribeTopicAsync(topic)).Configs.ToDictionary(static one => one.Name, static one => one.Value);
}
