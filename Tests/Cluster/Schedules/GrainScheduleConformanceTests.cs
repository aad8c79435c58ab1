using OrleansMq.Api;
using OrleansMq.Tests.Cluster.Brokers;
using OrleansMq.Tests.Cluster.Groups;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Cluster.Schedules;

/// <summary>Schedules through a service on the only silo.</summary>
public sealed class SchedulesInsideTheSiloTests(SiloFixture fixture) : ScheduleConformance, IClassFixture<SiloFixture>
{
    protected override ValueTask<IBroker> BrokerAsync() => new(fixture.Silo.Inside);
}

/// <summary>Schedules through an Orleans client.</summary>
public sealed class SchedulesOutsideTheSiloTests(SiloFixture fixture) : ScheduleConformance, IClassFixture<SiloFixture>
{
    protected override ValueTask<IBroker> BrokerAsync() => new(fixture.Silo.Outside);
}

/// <summary>Schedules of a replicated cluster, each test through another of its brokers.</summary>
public sealed class SchedulesOfAReplicatedClusterTests(ReplicatedFixture fixture) : ScheduleConformance, IClassFixture<ReplicatedFixture>
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
