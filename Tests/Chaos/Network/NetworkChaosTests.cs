using OrleansMq.Tests.Chaos.Faults;
using OrleansMq.Tests.Chaos.Load;
using OrleansMq.Tests.Chaos.Runs;
using Xunit.Abstractions;

namespace OrleansMq.Tests.Chaos.Network;

/// <summary>Like <see cref="ChaosTests"/>, with a network between the silos that cuts, resets and delays, and a disk that fills
/// up.</summary>
public sealed class NetworkChaosTests(ITestOutputHelper output)
{
    private const int OnTheSmallDisk = 3;

    private static readonly TimeSpan Short = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan Long = TimeSpan.FromMinutes(8);

    private static readonly Dictionary<FaultKind, int> Weights = new()
    {
        [FaultKind.CutOff] = 3,
        [FaultKind.CutPair] = 2,
        [FaultKind.ResetConnections] = 2,
        [FaultKind.Latency] = 1,
        [FaultKind.FillDisk] = 2,
        [FaultKind.KillLeader] = 1,
        [FaultKind.PauseLeader] = 1,
    };

    [SkippableFact]
    public Task Acknowledged_records_survive_network_and_disk_faults() => RunAsync(Short);

    [SkippableFact]
    [Trait("Category", "Long")]
    public Task Acknowledged_records_survive_a_long_run() => RunAsync(Long);

    private async Task RunAsync(TimeSpan length)
    {
        Skip.IfNot(OperatingSystem.IsLinux(), "needs Linux, where all of 127.0.0.0/8 is this machine");
        var report = new RunReport(output, "a network that fails");
        var disk = SmallDisk.TryMount(ProxiedCluster.DataOf(report.Data, OnTheSmallDisk));
        try
        {
            // Only root can mount a disk small enough to be filled.
            var weights = disk is not null ? Weights : Weights.Where(weight => weight.Key != FaultKind.FillDisk).ToDictionary();
            await report.RunAsync(async log => await ProxiedCluster.StartAsync(report.Data, silos: 3, log),
                cluster => new NetworkFaultInjector((ProxiedCluster)cluster, disk), new LoadOptions(), weights, length);
        }
        finally
        {
            disk?.Dispose();
            report.Dispose();
        }
    }
}
