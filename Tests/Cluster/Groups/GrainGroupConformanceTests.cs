using OrleansMq.Api;
using OrleansMq.PostgreSql.Servers;
using OrleansMq.Tests.Cluster.Brokers;
using OrleansMq.Tests.PostgreSql.Server;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Cluster.Groups;

/// <summary>Groups through a service on the only silo.</summary>
public sealed class GroupsInsideTheSiloTests(SiloFixture fixture) : GroupConformance, IClassFixture<SiloFixture>
{
    protected override ValueTask<IBroker> BrokerAsync() => new(fixture.Silo.Inside);
}

/// <summary>Groups through an Orleans client.</summary>
public sealed class GroupsOutsideTheSiloTests(SiloFixture fixture) : GroupConformance, IClassFixture<SiloFixture>
{
    protected override ValueTask<IBroker> BrokerAsync() => new(fixture.Silo.Outside);
}

/// <summary>Transactions in groups at the coordinators of the only silo. An Orleans client is asked for genuine ones.</summary>
public sealed class GroupTransactionsInsideTheSiloTests(SiloFixture fixture) : GroupTransactionConformance, IClassFixture<SiloFixture>
{
    protected override ValueTask<IBroker> BrokerAsync() => new(fixture.Silo.Inside);
}

/// <summary>A replicated cluster for all tests of a class.</summary>
public sealed class ReplicatedFixture : IAsyncLifetime
{
    private readonly PostgreSqlFixture _postgres = new();

    internal ReplicatedCluster? Cluster { get; private set; }

    public async Task InitializeAsync()
    {
        await _postgres.InitializeAsync();
        if (PostgreSqlInstallation.Find() is not null)
            Cluster = await ReplicatedCluster.StartAsync(_postgres);
    }

    public async Task DisposeAsync()
    {
        if (Cluster is not null)
            await Cluster.DisposeAsync();
        await _postgres.DisposeAsync();
    }
}

/// <summary>Groups of a replicated cluster, each test through another of its brokers.</summary>
public sealed class GroupsOfAReplicatedClusterTests(ReplicatedFixture fixture) : GroupConformance, IClassFixture<ReplicatedFixture>
{
    private static int s_calls;

    protected override ValueTask<IBroker> BrokerAsync()
    {
        Skip.If(fixture.Cluster is null, "needs PostgreSQL's server programs");
        return new(fixture.Cluster.Broker(1 + ((Interlocked.Increment(ref s_calls) & int.MaxValue) % 3)));
    }
}

/// <summary>Transactions in groups of a replicated cluster, each test through another of its brokers.</summary>
public sealed class GroupTransactionsOfAReplicatedClusterTests(ReplicatedFixture fixture)
    : GroupTransactionConformance, IClassFixture<ReplicatedFixture>
{
    private static int s_calls;

    protected override ValueTask<IBroker> BrokerAsync()
    {
        Skip.If(fixture.Cluster is null, "needs PostgreSQL's server programs");
        return new(fixture.Cluster.Broker(1 + ((Interlocked.Increment(ref s_calls) & int.MaxValue) % 3)));
    }
}
