using System.Net;
using System.Net.Sockets;
using OrleansMq.Testing;

namespace OrleansMq.Tests.Kafka.Connections;

/// <summary>The broker inside a test process, as Kafka clients reach it.</summary>
public sealed class TestBrokerTests
{
    [Fact]
    public async Task Kafka_listener_keeps_its_address_over_a_restart_and_closes_on_dispose()
    {
        var broker = await TestBroker.StartAsync(new TestBrokerOptions { Kafka = true, TimeProvider = new ManualTimeProvider() });
        var address = broker.KafkaAddress;
        await AskAsync(address);
        await broker.RestartAsync();
        Assert.Equal(address, broker.KafkaAddress);
        await AskAsync(address);
        await broker.DisposeAsync();
        await Assert.ThrowsAsync<SocketException>(() => AskAsync(address));
    }

    [Fact]
    public async Task Kafka_listener_not_requested_is_absent_and_its_access_says_how_to_enable_it()
    {
        await using var broker = await TestBroker.StartAsync();
        Assert.Contains("Kafka = true", Assert.Throws<InvalidOperationException>(() => broker.KafkaAddress).Message,
            StringComparison.Ordinal);
    }

    [Fact]
    public async Task Broker_stops_cleanly_with_connected_and_waiting_clients()
    {
        var broker = await TestBroker.StartAsync(new TestBrokerOptions { Kafka = true, InMemory = false });
        var address = broker.KafkaAddress;
        await broker.Client.Admin.CreateTopicAsync("orders");
        var tcp = new TcpClient();
        await tcp.ConnectAsync(IPEndPoint.Parse(address));
        using var client = new WireClient(tcp);
        await client.SendAsync(Frames.Of(1, 12, 1, ("Topic", "orders"), ("MaxWaitMs", 1_000_000)));
        Assert.NotEmpty(Directory.EnumerateFiles(broker.DataDirectory, "*", SearchOption.AllDirectories));

        await broker.DisposeAsync().AsTask().WaitAsync(KafkaServer.Patience);

        Assert.False(Directory.Exists(broker.DataDirectory));
        while (await client.ReceiveAsync() is not null) { } // The fetch may still have been answered.
        await Assert.ThrowsAsync<SocketException>(() => AskAsync(address));
    }

    private static async Task AskAsync(string address)
    {
        var tcp = new TcpClient();
        await tcp.ConnectAsync(IPEndPoint.Parse(address));
        using var client = new WireClient(tcp);
        await client.SendAsync(Frames.Of(18, 3, 5));
        Assert.Equal(5, Frames.CorrelationId((await client.ReceiveAsync())!));
    }
}
