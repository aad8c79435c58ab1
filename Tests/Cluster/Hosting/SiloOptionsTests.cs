using Microsoft.Extensions.Hosting;
using OrleansMq.Grains.Hosting;
using OrleansMq.Replication;
using OrleansMq.Silo.Cluster;

namespace OrleansMq.Tests.Cluster.Hosting;

/// <summary>What <c>AddOrleansMq</c> refuses.</summary>
public sealed class SiloOptionsTests : IDisposable
{
    private readonly TempDirectory _data = new();

    public void Dispose() => _data.Dispose();

    /// <summary>Values that a range leaves out, by the option and the range as the refusal says it.</summary>
    public static TheoryData<string, BrokerClusterOptions> Refused() => new()
    {
        { "BrokerClusterOptions.ClusterId is 1 to 150 characters.", new BrokerClusterOptions { ClusterId = "" } },
        { "BrokerClusterOptions.ClusterId is 1 to 150 characters.", new BrokerClusterOptions { ClusterId = new string('c', 151) } },
        { "BrokerClusterOptions.DefaultReplicationFactor is 0 to 32.", new BrokerClusterOptions { DefaultReplicationFactor = -1 } },
        { "BrokerClusterOptions.DefaultReplicationFactor is 0 to 32.", new BrokerClusterOptions { DefaultReplicationFactor = 33 } },
        { "BrokerClusterOptions.RebalanceSettleTime is 0 to 2,147,483,647 milliseconds.",
            new BrokerClusterOptions { RebalanceSettleTime = TimeSpan.FromSeconds(-1) } },
        { "BrokerClusterOptions.StartTimeout is 1 to 2,147,483,647 milliseconds.",
            new BrokerClusterOptions { StartTimeout = TimeSpan.FromSeconds(-1) } },
        { "BrokerClusterOptions.HandoverTimeout is 0 to 2,147,483,647 milliseconds.",
            new BrokerClusterOptions { HandoverTimeout = TimeSpan.FromSeconds(-1) } },
        { "BrokerClusterOptions.KafkaListeners is not null.", new BrokerClusterOptions { KafkaListeners = null! } },
        { "BrokerClusterOptions.Replication is not null.", new BrokerClusterOptions { Replication = null! } },
        { "BrokerClusterOptions.Replication.LeaderLease is 1 to 2,147,483,647 milliseconds.",
            new BrokerClusterOptions { Replication = new ReplicationOptions { LeaderLease = TimeSpan.Zero } } },
        { "BrokerClusterOptions.Replication.ReplicaLagTimeMax is 1 to 2,147,483,647 milliseconds.",
            new BrokerClusterOptions { Replication = new ReplicationOptions { ReplicaLagTimeMax = TimeSpan.Zero } } },
        { "BrokerClusterOptions.Replication.AppendTimeout is 1 to 2,147,483,647 milliseconds.",
            new BrokerClusterOptions { Replication = new ReplicationOptions { AppendTimeout = TimeSpan.Zero } } },
        { "BrokerClusterOptions.Replication.CatchUpMaxBytesPerSecond is 0 or more.",
            new BrokerClusterOptions { Replication = new ReplicationOptions { CatchUpMaxBytesPerSecond = -1 } } },
        { "BrokerClusterOptions.Replication.CatchUpLiveShare is 1 to 100.",
            new BrokerClusterOptions { Replication = new ReplicationOptions { CatchUpLiveShare = 0 } } },
    };

    [Theory]
    [MemberData(nameof(Refused))]
    public void Cluster_value_out_of_its_range_is_refused_with_the_option_and_the_range(string message, BrokerClusterOptions cluster)
    {
        Assert.Equal(message, Assert.Throws<ArgumentException>(cluster.Validate).Message);
        var builder = Host.CreateEmptyApplicationBuilder(null);
        Assert.Equal(message,
            Assert.Throws<ArgumentException>(() => builder.UseOrleans(silo => silo.AddOrleansMq(null, cluster))).Message);
    }

    [Fact]
    public void Cluster_defaults_and_harmless_extremes_are_accepted()
    {
        new BrokerClusterOptions().Validate();
        new BrokerClusterOptions { DefaultReplicationFactor = 32, RebalanceSettleTime = TimeSpan.Zero, HandoverTimeout = TimeSpan.Zero }
            .Validate();
    }

    [Theory]
    [InlineData(0, "./data", "BrokerOptions.DefaultPartitions is 1 to 10,000.")]
    [InlineData(1, "", "BrokerOptions.DataDirectory is not empty.")]
    public async Task Silo_starts_with_no_value_out_of_its_range(int partitions, string directory, string message)
    {
        using var host = Build(silo => Local(silo).AddOrleansMq(options =>
            options with { DataDirectory = directory.Length == 0 ? "" : _data.Path, DefaultPartitions = partitions }));
        Assert.Equal(message, (await Assert.ThrowsAsync<ArgumentException>(() => host.StartAsync())).Message);
    }

    [Theory]
    [InlineData(false, false)]
    [InlineData(false, true)]
    [InlineData(true, true)]
    public void Second_call_is_refused(bool isFirstOfCluster, bool isSecondOfCluster)
    {
        var refused = Assert.Throws<InvalidOperationException>(() => Build(silo =>
        {
            Add(silo, isFirstOfCluster);
            Add(silo, isSecondOfCluster);
        }));
        Assert.Equal("AddOrleansMq was called already: call it once, with all options.", refused.Message);

        static void Add(ISiloBuilder silo, bool isOfCluster)
        {
            if (isOfCluster)
                silo.AddOrleansMq(null, new BrokerClusterOptions());
            else
                silo.AddOrleansMq();
        }
    }

    [Fact]
    public async Task Cluster_without_a_store_of_its_state_is_refused()
    {
        using var host = Build(silo => Local(silo).AddOrleansMq(
            options => options with { DataDirectory = _data.Path, MinFreeBytes = 0 }, new BrokerClusterOptions()));
        var refused = await Assert.ThrowsAsync<InvalidOperationException>(() => host.StartAsync());
        Assert.Contains("Set BrokerClusterOptions.PostgreSql, or register a grain storage named 'omq'", refused.Message,
            StringComparison.Ordinal);
    }

    private static ISiloBuilder Local(ISiloBuilder silo)
    {
        var ports = ClusterPorts.Choose(0, 0);
        return silo.UseLocalhostClustering(ports.Silo, ports.Gateway);
    }

    private static IHost Build(Action<ISiloBuilder> configure)
    {
        var builder = Host.CreateEmptyApplicationBuilder(null);
        builder.UseOrleans(configure);
        return builder.Build();
    }
}
