using OrleansMq.Api;
using OrleansMq.Gateways.Kafka;
using OrleansMq.Testing;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Kafka.Connections;

/// <summary>Clients served by the thread pool that hold the broker up.</summary>
public sealed class PooledHostileClientTests() : HostileClientTests(loops: 0);

/// <summary>Clients served by loops that hold the broker up.</summary>
public sealed class LoopHostileClientTests() : HostileClientTests(loops: 2);

/// <summary>Clients that hold the broker up: others are served, and they are closed with a log line.</summary>
public abstract class HostileClientTests(int loops)
{
    private const short Produce = 0, Fetch = 1;

    private static readonly byte[] _hundredMegabytes = [6, 0x40, 0, 0];

    [Fact]
    public async Task Clients_that_announce_large_requests_and_send_none_delay_no_other()
    {
        await using var server = await StartAsync(static options => options with { MaxInFlightBytes = 16 << 20 });
        var silent = new List<WireClient>();
        for (var number = 0; number < 40; number++)
        {
            silent.Add(await server.ConnectAsync());
            await silent[^1].SendRawAsync(_hundredMegabytes);
        }
        await KafkaServer.WaitUntilAsync(() => server.Gateway.Metrics.Connections == silent.Count);
        using var client = await server.ConnectAsync();
        for (var number = 0; number < 20; number++)
        {
            await client.SendAsync(Frames.Of(Produce, 9, number, ("Records", TestBatches.Of(new string('x', 10_000)))));
            Assert.Equal(number, Frames.CorrelationId((await client.ReceiveAsync())!));
        }
        silent.ForEach(static client => client.Dispose());
        await KafkaServer.WaitUntilAsync(() => server.Gateway.Metrics.Connections == 1);
    }

    [Fact]
    public async Task Large_requests_that_exceed_the_memory_together_are_all_answered()
    {
        await using var server = await StartAsync(static options => options with { MaxInFlightBytes = 3 << 20 });
        await Task.WhenAll(Enumerable.Range(0, 10).Select(number => Task.Run(async () =>
        {
            using var client = await server.ConnectAsync();
            await client.SendAsync(Frames.Of(Produce, 9, number, ("Records", TestBatches.Of(new string('x', 4 << 20)))));
            Assert.Equal(number, Frames.CorrelationId((await client.ReceiveAsync())!));
        }))).WaitAsync(KafkaServer.Patience);
    }

    [Fact]
    public async Task Request_that_does_not_arrive_closes_its_connection()
    {
        var time = new ManualTimeProvider();
        // Not closed as idle where the bytes arrive late.
        await using var server = await StartAsync(options => options with { TimeProvider = time, MaxIdle = TimeSpan.FromDays(1) });
        using var client = await server.ConnectAsync();
        await client.SendRawAsync([.. _hundredMegabytes, 1, 2, 3]);
        var end = client.ReceiveAsync();
        var seconds = 0;
        // The clock runs until the connection is closed: the bytes arrive a little after they were sent.
        for (; !end.IsCompleted; seconds += 5)
        {
            time.Advance(TimeSpan.FromSeconds(5));
            await Task.Delay(20);
        }
        Assert.Null(await end);
        Assert.InRange(seconds, 30, int.MaxValue);
        Assert.Contains("bytes per second", Assert.Single(server.Log.Lines), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Client_that_receives_no_answer_is_closed()
    {
        var time = new ManualTimeProvider();
        await using var server = await StartAsync(options => options with { TimeProvider = time });
        for (var number = 0; number < 60; number++)
            await server.Broker.ProduceAsync(new TopicPartition("orders", 0), TestBatches.Of(new string('x', 100_000)), Acks.All);
        using var client = await server.ConnectAsync();
        for (var number = 0; number < 12; number++)
            await client.SendAsync(Frames.Of(Fetch, 12, number, ("FetchOffset", 0L), ("MaxBytes", 50 << 20),
                ("PartitionMaxBytes", 8 << 20)));
        // An answer has begun: the connection is not idle any more.
        await KafkaServer.WaitUntilAsync(() => client.HasReceived);
        var minutes = 0;
        // The clock runs until the connection is closed: the send waits a little after its first bytes have arrived.
        await KafkaServer.WaitUntilAsync(() =>
        {
            if (server.Gateway.Metrics.Connections == 0)
                return true;
            time.Advance(TimeSpan.FromMinutes(1));
            minutes++;
            return false;
        });
        Assert.InRange(minutes, 10, int.MaxValue);
        Assert.Contains("bytes per second of an answer", Assert.Single(server.Log.Lines), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(2, int.MaxValue, "2 are open")]
    [InlineData(int.MaxValue, 2, "already has 2")]
    public async Task Connections_above_a_limit_are_closed_with_one_log_line(int most, int mostPerAddress, string reason)
    {
        await using var server = await StartAsync(options =>
            options with { MaxConnections = most, MaxConnectionsPerAddress = mostPerAddress });
        using var first = await server.ConnectAsync();
        using (await server.ConnectAsync())
        {
            await KafkaServer.WaitUntilAsync(() => server.Gateway.Metrics.Connections == 2);
            for (var number = 0; number < 5; number++)
            {
                using var excess = await server.ConnectAsync();
                Assert.Null(await excess.ReceiveAsync());
            }
            Assert.Contains(reason, Assert.Single(server.Log.Lines), StringComparison.Ordinal);
        }
        await KafkaServer.WaitUntilAsync(() => server.Gateway.Metrics.Connections == 1);
        using var later = await server.ConnectAsync();
        await later.SendAsync(Frames.Of(Produce, 9, 1, ("Records", TestBatches.Of("x"))));
        Assert.NotNull(await later.ReceiveAsync());
    }

    [Fact]
    public async Task Clients_of_another_protocol_are_closed_with_one_log_line()
    {
        await using var server = await StartAsync(static options => options);
        for (var number = 0; number < 20; number++)
        {
            using var client = await server.ConnectAsync();
            await client.SendRawAsync("GET / HTTP/1.1\r\n"u8.ToArray());
            Assert.Null(await client.ReceiveAsync());
        }
        Assert.Contains("this port speaks the Kafka protocol", Assert.Single(server.Log.Lines), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Thousands_of_connections_from_one_address_are_served()
    {
        await using var server = await StartAsync(static options => options);
        var clients = new List<WireClient>();
        for (var number = 0; number < 1200; number++)
            clients.Add(await server.ConnectAsync());
        await clients[^1].SendAsync(Frames.Of(Produce, 9, 1, ("Records", TestBatches.Of("x"))));
        Assert.NotNull(await clients[^1].ReceiveAsync());
        clients.ForEach(static client => client.Dispose());
    }

    private async Task<KafkaServer> StartAsync(Func<KafkaGatewayOptions, KafkaGatewayOptions> change)
    {
        var server = await KafkaServer.StartAsync(options => change(options with { Loops = loops }));
        await server.Broker.CreateTopicAsync(new NewTopic("orders"));
        return server;
    }
}
