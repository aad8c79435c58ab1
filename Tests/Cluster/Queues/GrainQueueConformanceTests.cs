using OrleansMq.Api;
using OrleansMq.Tests.Cluster.Brokers;
using OrleansMq.Tests.Cluster.Groups;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Cluster.Queues;

/// <summary>Queues through a service on the only silo.</summary>
public sealed class QueuesInsideTheSiloTests(SiloFixture fixture) : QueueConformance, IClassFixture<SiloFixture>
{
    protected override ValueTask<IBroker> BrokerAsync() => new(fixture.Silo.Inside);
}

/// <summary>Queues through an Orleans client.</summary>
public sealed class QueuesOutsideTheSiloTests(SiloFixture fixture) : QueueConformance, IClassFixture<SiloFixture>
{
    protected override ValueTask<IBroker> BrokerAsync() => new(fixture.Silo.Outside);
}

/// <summary>Queues of a replicated cluster, each test through another of its brokers.</summary>
public sealed class QueuesOfAReplicatedClusterTests(ReplicatedFixture fixture) : QueueConformance, IClassFixture<ReplicatedFixture>
{
    private static int s_tests;
    // A test keeps its broker.
    private readonly int _broker = 1 + ((Interlocked.Increment(ref s_tests) & int.MaxValue) % 3);

    protected override ValueTask<IBroker> BrokerAsync()
    {
        Skip.If(fixture.Cluster is null, "needs PostgreSQL's server programs");
        return new(fixture.Cluster.Broker(_broker));
    }
}
