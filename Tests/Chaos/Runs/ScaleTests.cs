using OrleansMq.Api;
using OrleansMq.Tests.Chaos.Faults;
using OrleansMq.Tests.Chaos.Load;
using OrleansMq.Tests.Chaos.Running;
using Xunit.Abstractions;

namespace OrleansMq.Tests.Chaos.Runs;

/// <summary>A cluster grows and shrinks under load without loss.</summary>
public sealed class ScaleTests(ITestOutputHelper output)
{
    private const int Drained = 1;

    private static readonly Dictionary<FaultKind, int> One = new() { [FaultKind.KillLeader] = 1 };

    [SkippableFact]
    public async Task Cluster_under_load_adds_a_silo_and_drains_another()
    {
        using var report = new RunReport(output, "a cluster that grows and shrinks");
        await report.RunAsync(async log => await LocalCluster.StartAsync(report.Data, silos: 3, log), cluster => new FaultInjector(cluster),
            new LoadOptions { Partitions = 6 }, One, TimeSpan.Zero,
            (cluster, run, stop) => GrowAndShrinkAsync((LocalCluster)cluster, run.Administrator.Administration, run.Administrator, stop));
    }

    private static async Task GrowAndShrinkAsync(LocalCluster cluster, IClusterAdministration administration, IBroker broker,
        CancellationToken stop)
    {
        var added = await cluster.AddSiloAsync(stop);
        cluster.Log.Tell($"broker {added.BrokerId} added");
        var plan = await administration.PlanRebalanceAsync(stop);
        await administration.ExecuteRebalanceAsync(plan.PlanId, cancellationToken: stop);
        var replicas = 0;
        await UntilAsync(async () => (replicas = await ReplicasOfAsync(broker, added.BrokerId, stop) ?? 0) > 0
            && (await administration.ListReassignmentsAsync(stop)).Count == 0, stop);
        cluster.Log.Tell($"broker {added.BrokerId} holds {replicas} replicas");
        await administration.DrainBrokerAsync(Drained, stop);
        await UntilAsync(async () => await ReplicasOfAsync(broker, Drained, stop) == 0
            && (await administration.ListReassignmentsAsync(stop)).Count == 0, stop);
        cluster.Log.Tell($"broker {Drained} drained");
    }

    // Null while the broker that answers has not learned of it.
    private static async Task<int?> ReplicasOfAsync(IBroker broker, int brokerId, CancellationToken stop) =>
        (await broker.DescribeClusterAsync(stop)).Brokers.SingleOrDefault(description => description.BrokerId == brokerId)?.Replicas;

    private static async Task UntilAsync(Func<Task<bool>> condition, CancellationToken stop)
    {
        while (!await condition())
            await Task.Delay(100, stop);
    }
}
