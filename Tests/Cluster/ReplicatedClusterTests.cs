using OrleansMq.Brokers;
using OrleansMq.Grains.Hosting;
using OrleansMq.Hosting;
using OrleansMq.Tests.PostgreSql.Server;

namespace OrleansMq.Tests.Cluster;

/// <summary>The base of tests with a replicated cluster of three brokers each.</summary>
public abstract class ReplicatedClusterTests(PostgreSqlFixture postgres) : IClassFixture<PostgreSqlFixture>, IAsyncLifetime
{
    private ReplicatedCluster? _cluster;

    private protected PostgreSqlFixture Postgres { get; } = postgres;

    private protected ReplicatedCluster Cluster => _cluster ?? throw new InvalidOperationException("the cluster has not started");

    public async Task InitializeAsync() => _cluster = await ReplicatedCluster.StartAsync(Postgres, Configure, Extend, ConfigureSilo,
        ConfigureBroker);

    public async Task DisposeAsync()
    {
        if (_cluster is null)
            return;
        await BeforeStopAsync();
        await _cluster.DisposeAsync();
    }

    /// <summary>Changes the options of a broker, by its number.</summary>
    private protected virtual BrokerClusterOptions Configure(int broker, BrokerClusterOptions options) => options;

    /// <summary>Changes the engine's options of each broker.</summary>
    private protected virtual BrokerOptions ConfigureBroker(BrokerOptions options) => options;

    /// <summary>Adds gateways to each broker.</summary>
    private protected virtual void Extend(IBrokerBuilder builder)
    {
    }

    /// <summary>Adds to each silo.</summary>
    private protected virtual void ConfigureSilo(ISiloBuilder silo) { }

    /// <summary>Repairs what a test that failed halfway left behind, so that the brokers can stop cleanly.</summary>
    private protected virtual Task BeforeStopAsync() => Task.CompletedTask;
}
