using System.Net;
using System.Net.Sockets;
using OrleansMq.Testing;

namespace OrleansMq.Tests.Kafka.Connections;

/// <summary>The broker inside a test process, as Kafka clients reach it.</summary>
public sealed class TestBrokerTests
{
    [Fact]
    public async Task Kafka_clients_reach_it_at_the_same_address_after_a_restart_and_not_any_more_when_it_is_disposed()
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
    public async Task One_that_is_not_asked_for_it_listens_nowhere_and_says_how_to_ask()
    {
        await using var broker = await TestBroker.StartAsync();
        Assert.Contains("Kafka = true", Assert.Throws<InvalidOperationException>(() => broker.KafkaAddress).Message,
            StringComparison.Ordinal);
    }

    [Fact]
    public async Task It_stops_without_a_trace_although_clients_are_connected_and_wait()
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
