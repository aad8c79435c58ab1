using System.Net;
using System.Net.Sockets;
using Microsoft.Extensions.Logging;
using OrleansMq.Api;
using OrleansMq.Brokers;
using OrleansMq.Client;
using OrleansMq.Silo.Cluster;
using OrleansMq.Silo.Configuration;
using OrleansMq.Silo.Hosting;
using OrleansMq.Silo.Logging;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Cluster.Hosting;

/// <summary>The broker program as a cluster of one silo.</summary>
public sealed class ClusterHostTests : IDisposable
{
    private readonly TempDirectory _one = new();
    private readonly TempDirectory _other = new();
    private readonly StringWriter _log = new();

    public void Dispose()
    {
        _one.Dispose();
        _other.Dispose();
    }

    [Fact]
    public async Task Two_brokers_on_one_machine_use_different_ports()
    {
        await using var one = await StartAsync(Settings(_one));
        await using var other = await StartAsync(Settings(_other));
        foreach (var server in new[] { one, other })
        {
            Assert.Equal("cluster", server.Flavour);
            using var broker = new HttpBroker(new Uri(server.Address));
            Assert.Equal("cluster", (await broker.DescribeClusterAsync()).Flavour);
            Assert.Empty(await broker.ListTopicsAsync());
            await broker.CreateTopicAsync(new NewTopic("orders", 2));
            Assert.Equal(0, (await broker.ProduceAsync(new TopicPartition("orders", 1), TestBatches.Of("a"), Acks.All)).BaseOffset);
        }
    }

    [Fact]
    public async Task Acknowledged_records_survive_a_restart()
    {
        Guid topicId;
        await using (var server = await StartAsync(Settings(_one)))
        {
            using var broker = new HttpBroker(new Uri(server.Address));
            topicId = (await broker.CreateTopicAsync(new NewTopic("orders"))).TopicId;
            await broker.ProduceAsync(new TopicPartition("orders", 0), TestBatches.Of("a", "b"), Acks.All);
        }
        await using (var server = await StartAsync(Settings(_one)))
        {
            using var broker = new HttpBroker(new Uri(server.Address));
            Assert.Equal(topicId, (await broker.GetTopicAsync("orders")).TopicId);
            using var fetched = await broker.FetchAsync(new FetchRequest(new TopicPartition("orders", 0), 0));
            Assert.Equal([(0L, "a"), (1L, "b")], TestBatches.Read(fetched.Records));
        }
        Complaints.AssertNone(_log.ToString());
    }

    [Fact]
    public async Task Locked_directory_is_refused_in_one_line_before_Orleans_starts()
    {
        await using var standalone = await LocalBroker.OpenAsync(new BrokerOptions { DataDirectory = _one.Path });
        var refused = await Assert.ThrowsAsync<StartException>(() => StartAsync(Settings(_one)));
        Assert.Contains(_one.Path, refused.Message, StringComparison.Ordinal);
        Assert.DoesNotContain("Orleans", _log.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Requested_port_in_use_is_refused()
    {
        using var holder = new TcpListener(IPAddress.Loopback, 0);
        holder.Start();
        var taken = ((IPEndPoint)holder.LocalEndpoint).Port;
        var refused = await Assert.ThrowsAsync<StartException>(() => StartAsync(Settings(_one) with { GatewayPort = taken }));
        Assert.Contains($"{taken}", refused.Message, StringComparison.Ordinal);
        Assert.Contains("--gateway-port", refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Default_ports_fall_back_to_free_ones()
    {
        using var holder = new TcpListener(IPAddress.Loopback, ClusterPorts.UsualGateway);
        try
        {
            holder.Start();
        }
        catch (SocketException)
        {
            // Another process holds it, which serves the test as well.
        }
        var ports = ClusterPorts.Choose(0, null);
        Assert.NotEqual(ClusterPorts.UsualGateway, ports.Gateway);
        Assert.NotEqual(ports.Silo, ports.Gateway);
        Assert.True(ports.Silo > 0 && ports.Gateway > 0);
    }

    private static BrokerSettings Settings(TempDirectory data) => BrokerSettings.Default with
    {
        DataDirectory = data.Path,
        Kafka = null,
        Http = new ListenAddress(IPAddress.Loopback, 0),
        Flavour = Flavour.Cluster,
    };

    private Task<BrokerServer> StartAsync(BrokerSettings settings) =>
        BrokerServer.StartAsync(settings, new ConsoleLog(TextWriter.Synchronized(_log), LogLevel.Information, TimeProvider.System));
}
