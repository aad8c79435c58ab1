using System.Diagnostics.Metrics;
using System.Globalization;
using OrleansMq.Api;
using OrleansMq.Gateways.Kafka;
using OrleansMq.Tests.Kafka.Schemas;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Kafka.Connections;

/// <summary>Connections served by the thread pool, as everywhere but on Linux.</summary>
public sealed class PooledConnectionTests() : ConnectionTests(loops: 0);

/// <summary>Connections served by threads that have many connections each.</summary>
public sealed class LoopConnectionTests() : ConnectionTests(loops: 2);

/// <summary>The behaviour of a connection besides its requests: order, limits, and peers that do not speak the protocol.</summary>
public abstract class ConnectionTests(int loops) : IAsyncLifetime
{
    private const short Produce = 0, Fetch = 1, Metadata = 3, ApiVersions = 18;

    private const string Offset = "BaseOffset: ";

    private KafkaServer _server = null!;

    public async Task InitializeAsync()
    {
        _server = await StartAsync();
        await _server.Broker.CreateTopicAsync(new NewTopic("orders", 2));
    }

    public async Task DisposeAsync() => await _server.DisposeAsync();

    [Fact]
    public async Task Unknown_ApiVersions_version_is_answered_in_the_oldest_version()
    {
        using var client = await _server.ConnectAsync();
        await client.SendAsync([0, 18, 0, 99, 0, 0, 0, 7, 0xFF, 0xFF, 1, 2, 3]);
        // Correlation id 7, error 35, one key: 18 from 0 to 4.
        Assert.Equal([0, 0, 0, 7, 0, 35, 0, 0, 0, 1, 0, 18, 0, 0, 0, 4], await client.ReceiveAsync());
        await client.SendAsync(Frames.Of(ApiVersions, 3, 8));
        Assert.Equal(8, Frames.CorrelationId((await client.ReceiveAsync())!));
    }

    [Fact]
    public async Task Invalid_client_software_name_is_refused()
    {
        using var client = await _server.ConnectAsync();
        await client.SendAsync(Frames.Of(ApiVersions, 3, 1, ("ClientSoftwareName", "-bad-")));
        Assert.Contains("ErrorCode: 42", MessageText.OfResponse(Schema.Response(ApiVersions), 3, (await client.ReceiveAsync())!, 1),
            StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("474554202f20485454502f312e310d0a0d0a")] // GET / HTTP/1.1
    [InlineData("ffffffff")]
    [InlineData("00000002" + "0000")]
    [InlineData("0000000c" + "0003" + "0063" + "00000001" + "0001" + "78" + "00")] // Metadata version 99
    [InlineData("0000000a" + "7fff" + "0000" + "00000001" + "ffff")] // A key that is not served
    [InlineData("0000000e" + "0003" + "0001" + "00000001" + "ffff" + "7fffffff")] // A long array
    public async Task Foreign_protocol_closes_the_connection_with_one_log_line(string hex)
    {
        using (var other = await _server.ConnectAsync())
        {
            using var client = await _server.ConnectAsync();
            await client.SendRawAsync(Convert.FromHexString(hex));
            Assert.Null(await client.ReceiveAsync());
            await other.SendAsync(Frames.Of(ApiVersions, 0, 1));
            Assert.NotNull(await other.ReceiveAsync());
        }
        Assert.Single(_server.Log.Lines);
    }

    [Fact]
    public async Task Requests_are_answered_whatever_a_listener_to_their_metric_throws()
    {
        using var meter = new Meter("faulty listeners");
        _server.Gateway.AddMetrics(meter);
        using var listener = new MeterListener
        {
            InstrumentPublished = (instrument, listener) =>
            {
                if (ReferenceEquals(instrument.Meter, meter) && instrument.Name == "orleansmq.kafka.request.duration")
                    listener.EnableMeasurementEvents(instrument);
            },
        };
        listener.SetMeasurementEventCallback<double>((_, _, _, _) => throw new NotSupportedException("a faulty listener"));
        listener.Start();
        using var client = await _server.ConnectAsync();
        for (var number = 0; number < 3; number++)
        {
            await client.SendAsync(Frames.Of(ApiVersions, 0, number));
            Assert.NotNull(await client.ReceiveAsync());
        }
        Assert.Contains("a faulty listener", Assert.Single(_server.Log.Lines), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Appends_of_one_connection_are_executed_and_answered_in_order()
    {
        using var client = await _server.ConnectAsync();
        const int count = 200;
        for (var number = 0; number < count; number++)
            await client.SendAsync(Frames.Of(Produce, 9, number, ("Records", TestBatches.Of($"{number}"))));
        for (var number = 0; number < count; number++)
        {
            var response = (await client.ReceiveAsync())!;
            Assert.Contains($"BaseOffset: {number}\n", MessageText.OfResponse(Schema.Response(Produce), 9, response, number),
                StringComparison.Ordinal);
        }
        using var read = await _server.Broker.FetchAsync(new FetchRequest(new TopicPartition("orders", 0), 0, 1 << 20));
        Assert.Equal(Enumerable.Range(0, count).Select(static number => $"{number}"),
            TestBatches.Read(read.Records).Select(static record => record.Value));
    }

    [Theory]
    [InlineData(1, 60)] // Small ones that come many at a time.
    [InlineData(2, 1_400)]
    [InlineData(3, 30_000)] // Small and large in turns.
    public async Task Requests_of_any_size_and_fragmentation_are_read(int seed, int largest)
    {
        using var client = await _server.ConnectAsync();
        var random = new Random(seed);
        var values = Enumerable.Range(0, 150)
            .Select(number => new string((char)('a' + number % 26), random.Next(2) * random.Next(largest) + random.Next(40))).ToArray();
        using var stream = new MemoryStream();
        for (var number = 0; number < values.Length; number++)
        {
            var request = Frames.Of(Produce, 9, number, ("Records", TestBatches.Of(values[number])));
            stream.Write([(byte)(request.Length >> 24), (byte)(request.Length >> 16), (byte)(request.Length >> 8), (byte)request.Length]);
            stream.Write(request);
        }
        var bytes = stream.ToArray();
        for (int at = 0, length; at < bytes.Length; at += length)
        {
            length = Math.Min(bytes.Length - at, 1 + (random.Next(4) * random.Next(20_000)));
            await client.SendRawAsync(bytes[at..(at + length)]);
        }
        for (var number = 0; number < values.Length; number++)
            Assert.Equal(number, Frames.CorrelationId((await client.ReceiveAsync())!));
        using var read = await _server.Broker.FetchAsync(new FetchRequest(new TopicPartition("orders", 0), 0, 1 << 24));
        Assert.Equal(values, TestBatches.Read(read.Records).Select(static record => record.Value));
    }

    [Fact]
    public async Task Requests_sent_before_the_client_closes_are_executed()
    {
        using (var client = await _server.ConnectAsync())
        {
            for (var number = 0; number < 10; number++)
                await client.SendAsync(Frames.Of(Produce, 9, number, ("Acks", 0), ("Records", TestBatches.Of($"{number}"))));
            client.EndSending();
            Assert.Null(await client.ReceiveAsync());
        }
        Assert.Equal(10, (await _server.Broker.FindOffsetAsync(new TopicPartition("orders", 0), OffsetSpec.Latest)).Offset);
    }

    [Fact]
    public async Task Client_that_ended_sending_gets_all_answers()
    {
        using var client = await _server.ConnectAsync();
        await client.SendAsync(Frames.Of(Produce, 9, 0, ("Records", TestBatches.Of("first"))));
        Assert.NotNull(await client.ReceiveAsync());
        for (var number = 1; number <= 300; number++)
            await client.SendAsync(Frames.Of(Produce, 9, number, ("Records", TestBatches.Of($"{number}"))));
        client.EndSending();
        for (var number = 1; number <= 300; number++)
            Assert.Equal(number, Frames.CorrelationId((await client.ReceiveAsync())!));
        Assert.Null(await client.ReceiveAsync());
    }

    [Fact]
    public async Task Many_clients_with_one_request_each_are_answered_independently()
    {
        const int clients = 60, rounds = 40;
        async Task<List<long>> AppendAsync(int client)
        {
            using var connection = await _server.ConnectAsync();
            var offsets = new List<long>();
            for (var round = 0; round < rounds; round++)
            {
                // Some are written by the caller, some by an append thread, some are too large for a loop.
                var value = new string('x', (client + round) % 7 == 0 ? 40_000 : 100);
                await connection.SendAsync(Frames.Of(Produce, 9, round, ("Name", client % 3 == 0 ? "flushed" : "orders"),
                    ("Records", TestBatches.Of(value))));
                var answer = MessageText.OfResponse(Schema.Response(Produce), 9, (await connection.ReceiveAsync())!, round);
                Assert.Contains("ErrorCode: 0\n", answer, StringComparison.Ordinal);
                var at = answer.IndexOf(Offset, StringComparison.Ordinal) + Offset.Length;
                offsets.Add(long.Parse(answer.AsSpan(at, answer.IndexOf('\n', at) - at), CultureInfo.InvariantCulture));
            }
            return offsets;
        }
        await _server.Broker.CreateTopicAsync(new NewTopic("flushed", 1,
            Configs: new Dictionary<string, string> { ["flush.messages"] = "1" }));
        var appended = await Task.WhenAll(Enumerable.Range(0, clients).Select(client => Task.Run(() => AppendAsync(client))))
            .WaitAsync(KafkaServer.Patience);
        Assert.All(appended, static offsets => Assert.Equal(offsets.Order(), offsets));
        foreach (var topic in Enumerable.Range(0, clients).GroupBy(static client => client % 3 == 0))
        {
            var offsets = topic.SelectMany(client => appended[client]).Order().ToList();
            Assert.Equal(Enumerable.Range(0, offsets.Count).Select(static offset => (long)offset), offsets);
        }
    }

    [Theory]
    [InlineData(1)] // Each is answered before the next.
    [InlineData(12)]
    public async Task Clients_with_alternating_request_sizes_lose_nothing_and_keep_their_order(int inFlight)
    {
        const int clients = 12, requests = 240, sameSize = 20;
        await _server.Broker.CreateTopicAsync(new NewTopic("each", clients));
        string Value(int client, int number) => $"{number}:" + new string('x', (client + (number / sameSize)) % 2 * 6_000);
        async Task AppendAsync(int client)
        {
            using var connection = await _server.ConnectAsync();
            for (int sent = 0, answered = 0; answered < requests;)
            {
                while (sent < requests && sent - answered < inFlight)
                {
                    await connection.SendAsync(Frames.Of(Produce, 9, sent, ("Name", "each"), ("Index", client),
                        ("Records", TestBatches.Of(Value(client, sent)))));
                    sent++;
                }
                var answer = MessageText.OfResponse(Schema.Response(Produce), 9, (await connection.ReceiveAsync())!, answered);
                Assert.Contains($"{Offset}{answered}\n", answer, StringComparison.Ordinal);
                answered++;
            }
        }
        await Task.WhenAll(Enumerable.Range(0, clients).Select(client => Task.Run(() => AppendAsync(client))))
            .WaitAsync(KafkaServer.Patience);
        for (var client = 0; client < clients; client++)
        {
            using var read = await _server.Broker.FetchAsync(new FetchRequest(new TopicPartition("each", client), 0, 1 << 24));
            Assert.Equal(Enumerable.Range(0, requests).Select(number => Value(client, number)),
                TestBatches.Read(read.Records).Select(static record => record.Value));
        }
    }

    [Fact]
    public async Task Client_that_does_not_read_blocks_no_other_and_gets_its_answers_later()
    {
        const int count = 60;
        await FillAsync(count);
        using var slow = await _server.ConnectAsync();
        const int answers = 12;
        for (var number = 0; number < answers; number++)
            await slow.SendAsync(Frames.Of(Fetch, 12, number, ("FetchOffset", 0L), ("MaxBytes", 50 << 20), ("PartitionMaxBytes", 8 << 20)));
        using var quick = await _server.ConnectAsync();
        for (var number = 0; number < 20; number++)
        {
            await quick.SendAsync(Frames.Of(Produce, 9, number, ("Index", 1), ("Records", TestBatches.Of($"{number}"))));
            Assert.Equal(number, Frames.CorrelationId((await quick.ReceiveAsync())!));
        }
        using var read = await _server.Broker.FetchAsync(new FetchRequest(new TopicPartition("orders", 0), 0, 8 << 20));
        Assert.True(read.Records.Length > 4 << 20);
        for (var number = 0; number < answers; number++)
            Assert.True((await slow.ReceiveAsync()).AsSpan().IndexOf(read.Records.Span) > 0, "The sent bytes differ from the log.");
    }

    [Fact]
    public async Task Disconnected_clients_free_their_connections()
    {
        for (var round = 0; round < 30; round++)
        {
            using var stays = await _server.ConnectAsync();
            using (var goes = await _server.ConnectAsync())
            {
                await goes.SendAsync(Frames.Of(Produce, 9, 1, ("Records", TestBatches.Of("answered"))));
                Assert.NotNull(await goes.ReceiveAsync());
                await goes.SendAsync(Frames.Of(Produce, 9, 2, ("Records", TestBatches.Of("not answered"))));
                goes.BreakOff();
            }
            await stays.SendAsync(Frames.Of(Produce, 9, 3, ("Records", TestBatches.Of("another"))));
            Assert.Equal(3, Frames.CorrelationId((await stays.ReceiveAsync())!));
        }
        await KafkaServer.WaitUntilAsync(() => _server.Gateway.Metrics.Connections == 0);
    }

    [Fact]
    public async Task Expired_stop_deadline_cuts_clients_that_do_not_read()
    {
        await FillAsync(60);
        using var slow = await _server.ConnectAsync();
        for (var number = 0; number < 12; number++)
            await slow.SendAsync(Frames.Of(Fetch, 12, number, ("FetchOffset", 0L), ("MaxBytes", 50 << 20), ("PartitionMaxBytes", 8 << 20)));
        Assert.NotNull(await slow.ReceiveAsync());
        await _server.Gateway.StopAsync(new CancellationToken(canceled: true)).WaitAsync(KafkaServer.Patience);
        await KafkaServer.WaitUntilAsync(() => _server.Gateway.Metrics.Connections == 0);
    }

    [Fact]
    public async Task Stopping_port_answers_the_last_append_of_a_connected_client()
    {
        using var client = await _server.ConnectAsync();
        await client.SendAsync(Frames.Of(Produce, 9, 1, ("Records", TestBatches.Of("x"))));
        Assert.NotNull(await client.ReceiveAsync());
        await _server.Gateway.StopAsync(CancellationToken.None).WaitAsync(KafkaServer.Patience);
        Assert.Null(await client.ReceiveAsync());
    }

    [Fact]
    public async Task Failed_append_with_acks_0_closes_the_connection()
    {
        using var client = await _server.ConnectAsync();
        await client.SendAsync(Frames.Of(Produce, 9, 1, ("Acks", 0), ("Name", "unknown"), ("Records", TestBatches.Of("x"))));
        Assert.Null(await client.ReceiveAsync());
    }

    [Fact]
    public async Task Fetch_waits_for_records_and_its_minimum_bytes()
    {
        using var client = await _server.ConnectAsync();
        var batch = TestBatches.Of("x");
        await client.SendAsync(Frames.Of(Fetch, 12, 1, ("MaxWaitMs", 60_000), ("MinBytes", 2 * batch.Length)));
        await _server.Broker.ProduceAsync(new TopicPartition("orders", 0), TestBatches.Of("x"), Acks.All);
        await _server.Broker.ProduceAsync(new TopicPartition("orders", 1), TestBatches.Of("not asked for"), Acks.All);
        await _server.Broker.ProduceAsync(new TopicPartition("orders", 0), TestBatches.Of("y"), Acks.All);
        var response = MessageText.OfResponse(Schema.Response(Fetch), 12, (await client.ReceiveAsync())!, 1);
        Assert.Contains($"Records: {2 * batch.Length} bytes", response, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(12, 1 << 20, 1 << 19, 1 << 20)] // Less than the minimum may be sent.
    [InlineData(4, 1 << 20, 1 << 19, 1 << 20)]
    [InlineData(12, 25_000, 25_000, 1 << 20)] // The second batch does not fit.
    [InlineData(4, 25_000, 25_000, 1 << 20)]
    [InlineData(12, 25_000, 1 << 20, 100)] // No more of a partition may be sent.
    [InlineData(4, 25_000, 1 << 20, 100)]
    public async Task Fetch_that_can_take_no_more_does_not_wait(short version, int minBytes, int maxBytes, int partitionMaxBytes)
    {
        await using var server = await StartAsync(static options => options with { MaxFetchWait = TimeSpan.FromHours(1) });
        await server.Broker.CreateTopicAsync(new NewTopic("orders"));
        for (var number = 0; number < 40; number++)
            await server.Broker.ProduceAsync(new TopicPartition("orders", 0), TestBatches.Of(new string('x', 20_000)), Acks.All);
        using var client = await server.ConnectAsync();
        await client.SendAsync(Frames.Of(Fetch, version, 1, ("MaxWaitMs", 3_600_000), ("MinBytes", minBytes), ("MaxBytes", maxBytes),
            ("PartitionMaxBytes", partitionMaxBytes)));
        Assert.True((await client.ReceiveAsync())!.Length > 20_000);
    }

    [Fact]
    public async Task Fetch_without_records_is_answered_at_its_timeout()
    {
        using var client = await _server.ConnectAsync();
        await client.SendAsync(Frames.Of(Fetch, 12, 1, ("MaxWaitMs", 50)));
        await client.SendAsync(Frames.Of(ApiVersions, 0, 2));
        Assert.Contains("Records: 0 bytes", MessageText.OfResponse(Schema.Response(Fetch), 12, (await client.ReceiveAsync())!, 1),
            StringComparison.Ordinal);
        Assert.Equal(2, Frames.CorrelationId((await client.ReceiveAsync())!));
    }

    [Fact]
    public async Task Disconnected_client_ends_its_long_poll()
    {
        using (var client = await _server.ConnectAsync())
            await client.SendAsync(Frames.Of(Fetch, 12, 1, ("MaxWaitMs", 1_000_000)));
        await KafkaServer.WaitUntilAsync(() => _server.Gateway.Metrics.Connections == 0);
    }

    [Fact]
    public async Task Metadata_request_creates_a_topic_unless_disabled_in_the_request()
    {
        using var client = await _server.ConnectAsync();
        await client.SendAsync(Frames.Of(Metadata, 9, 1, ("Name", "made"), ("AllowAutoTopicCreation", false)));
        Assert.Contains("ErrorCode: 3\n", MessageText.OfResponse(Schema.Response(Metadata), 9, (await client.ReceiveAsync())!, 1),
            StringComparison.Ordinal);
        await client.SendAsync(Frames.Of(Metadata, 9, 2, ("Name", "made"), ("AllowAutoTopicCreation", true)));
        var made = MessageText.OfResponse(Schema.Response(Metadata), 9, (await client.ReceiveAsync())!, 2);
        Assert.Contains("LeaderId: 0\n", made, StringComparison.Ordinal);
        Assert.NotNull(_server.Broker.Metadata.Image.FindServed("made"));
        await client.SendAsync(Frames.Of(Metadata, 9, 3, ("Name", "not/allowed"), ("AllowAutoTopicCreation", true)));
        Assert.Contains("ErrorCode: 17\n", MessageText.OfResponse(Schema.Response(Metadata), 9, (await client.ReceiveAsync())!, 3),
            StringComparison.Ordinal);
    }

    [Fact]
    public async Task Clients_are_sent_to_the_dialled_or_the_advertised_address()
    {
        await using var advertised = await StartAsync(static options => options with { Advertised = "broker.example:19092" });
        foreach (var (server, host, port) in new[] { (_server, "127.0.0.1", _server.Gateway.EndPoint.Port),
            (advertised, "broker.example", 19092) })
        {
            using var client = await server.ConnectAsync();
            await client.SendAsync(Frames.Of(Metadata, 9, 1));
            Assert.Contains($"Host: \"{host}\"\n    Port: {port}\n",
                MessageText.OfResponse(Schema.Response(Metadata), 9, (await client.ReceiveAsync())!, 1), StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task Metadata_request_creates_no_topic_when_auto_creation_is_off()
    {
        await using var server = await StartAsync(static options => options with { AutoCreateTopics = false });
        using var client = await server.ConnectAsync();
        await client.SendAsync(Frames.Of(Metadata, 9, 1, ("Name", "made"), ("AllowAutoTopicCreation", true)));
        Assert.Contains("ErrorCode: 3\n", MessageText.OfResponse(Schema.Response(Metadata), 9, (await client.ReceiveAsync())!, 1),
            StringComparison.Ordinal);
        Assert.Null(server.Broker.Metadata.Image.FindServed("made"));
    }

    /// <summary>The queue makes it: one with other partitions, or that retention empties, is not for it.</summary>
    [Theory]
    [InlineData("amqp.orders", true)]
    [InlineData("amqp_orders", true)]
    [InlineData("amqp-host.orders", true)]
    [InlineData("amqpt.orders", true)]
    [InlineData("amqporders", false)]
    public async Task Metadata_request_creates_no_topic_of_a_queue(string name, bool isOfQueue)
    {
        await using var server = await StartAsync();
        using var client = await server.ConnectAsync();
        await client.SendAsync(Frames.Of(Metadata, 9, 1, ("Name", name), ("AllowAutoTopicCreation", true)));
        Assert.Equal(isOfQueue, MessageText.OfResponse(Schema.Response(Metadata), 9, (await client.ReceiveAsync())!, 1)
            .Contains("ErrorCode: 3\n", StringComparison.Ordinal));
        Assert.Equal(isOfQueue, server.Broker.Metadata.Image.FindServed(name) is null);
        await server.Broker.CreateTopicAsync(new NewTopic(isOfQueue ? name : "other"));
    }

    [Fact]
    public async Task Oversized_request_and_excess_connection_are_closed()
    {
        await using var small = await StartAsync(static options => options with { MaxRequestBytes = 1000, MaxConnectionsPerAddress = 2 });
        using var one = await small.ConnectAsync();
        await one.SendAsync(Frames.Of(ApiVersions, 0, 1));
        Assert.NotNull(await one.ReceiveAsync());
        await one.SendAsync(new byte[1001]);
        Assert.Null(await one.ReceiveAsync());
        await KafkaServer.WaitUntilAsync(() => small.Gateway.Metrics.Connections == 0);

        using var first = await small.ConnectAsync();
        using var second = await small.ConnectAsync();
        await KafkaServer.WaitUntilAsync(() => small.Gateway.Metrics.Connections == 2);
        using var third = await small.ConnectAsync();
        Assert.Null(await third.ReceiveAsync());
    }

    [Fact]
    public async Task Requests_larger_than_the_in_flight_limit_are_served_one_by_one()
    {
        await using var small = await StartAsync(static options =>
            options with { MaxInFlightBytesPerConnection = 10, MaxInFlightBytes = 10, MaxInFlightRequests = 1 });
        await small.Broker.CreateTopicAsync(new NewTopic("orders"));
        using var client = await small.ConnectAsync();
        for (var number = 0; number < 20; number++)
            await client.SendAsync(Frames.Of(Produce, 9, number, ("Records", TestBatches.Of($"{number}"))));
        for (var number = 0; number < 20; number++)
            Assert.Equal(number, Frames.CorrelationId((await client.ReceiveAsync())!));
    }

    [Fact]
    public async Task Idle_connection_is_closed()
    {
        var time = new OrleansMq.Testing.ManualTimeProvider();
        await using var server = await StartAsync(options => options with { TimeProvider = time, MaxIdle = TimeSpan.FromMinutes(10) });
        using var client = await server.ConnectAsync();
        await client.SendAsync(Frames.Of(ApiVersions, 0, 1));
        Assert.NotNull(await client.ReceiveAsync());
        time.Advance(TimeSpan.FromMinutes(5));
        await client.SendAsync(Frames.Of(ApiVersions, 0, 2));
        Assert.NotNull(await client.ReceiveAsync());
        // Ten minutes from when the answer counts as sent, which is a little after it has arrived.
        var end = client.ReceiveAsync();
        var minutes = 0;
        while (!end.IsCompleted)
        {
            if (minutes < 59) // Then only the outstanding answer is awaited.
            {
                time.Advance(TimeSpan.FromMinutes(1));
                minutes++;
            }
            await Task.Delay(50);
        }
        Assert.InRange(minutes, 10, 59);
        Assert.Null(await end);
    }

    [Fact]
    public async Task Connection_just_answered_is_not_idle_after_a_long_wait()
    {
        var time = new OrleansMq.Testing.ManualTimeProvider();
        await using var server = await StartAsync(options =>
            options with { TimeProvider = time, MaxIdle = TimeSpan.FromMinutes(10), MaxFetchWait = TimeSpan.FromHours(1) });
        await server.Broker.CreateTopicAsync(new NewTopic("orders"));
        using var client = await server.ConnectAsync();
        await client.SendAsync(Frames.Of(ApiVersions, 0, 1));
        Assert.NotNull(await client.ReceiveAsync());
        await client.SendAsync(Frames.Of(Fetch, 12, 2, ("MaxWaitMs", 3_600_000)));
        await KafkaServer.WaitUntilAsync(() => time.ArmedTimers.Contains(TimeSpan.FromHours(1)));
        for (var minute = 0; minute < 20; minute++)
        {
            time.Advance(TimeSpan.FromMinutes(1));
            // It counts as started a little after it waits.
            await Task.Delay(5);
        }
        await server.Broker.ProduceAsync(new TopicPartition("orders", 0), TestBatches.Of("x"), Acks.All);
        Assert.NotNull(await client.ReceiveAsync());
        for (var minute = 0; minute < 5; minute++)
        {
            time.Advance(TimeSpan.FromMinutes(1));
            // It counts as sent a little after it has arrived.
            await Task.Delay(5);
        }
        await client.SendAsync(Frames.Of(ApiVersions, 0, 3));
        Assert.NotNull(await client.ReceiveAsync());
    }

    [Fact]
    public async Task Stopping_broker_ends_long_polls_and_answers_started_requests()
    {
        var server = await StartAsync();
        await server.Broker.CreateTopicAsync(new NewTopic("orders"));
        using var client = await server.ConnectAsync();
        await client.SendAsync(Frames.Of(Fetch, 12, 1, ("MaxWaitMs", 1_000_000)));
        await KafkaServer.WaitUntilAsync(() => server.Gateway.Metrics.Connections == 1);
        await server.DisposeAsync().AsTask().WaitAsync(KafkaServer.Patience);
        Assert.DoesNotContain(server.Log.Lines, static line => line.StartsWith("Error", StringComparison.Ordinal));
    }

    private async Task FillAsync(int count)
    {
        for (var number = 0; number < count; number++)
            await _server.Broker.ProduceAsync(new TopicPartition("orders", 0),
                TestBatches.Of(new string((char)('a' + number % 26), 100_000)), Acks.All);
    }

    private Task<KafkaServer> StartAsync(Func<KafkaGatewayOptions, KafkaGatewayOptions>? change = null)
    {
        KafkaGatewayOptions Options(KafkaGatewayOptions options) => options with { Loops = loops };
        return KafkaServer.StartAsync(options => change?.Invoke(Options(options)) ?? Options(options));
    }
}
