using OrleansMq.Tests.Chaos.Faults;
using OrleansMq.Tests.Chaos.Load;
using OrleansMq.Tests.Chaos.Running;
using Xunit.Abstractions;

namespace OrleansMq.Tests.Chaos.Runs;

/// <summary>Three silo processes and a database under random faults, with a load of readers and of idempotent producers with acks=all. The
/// seed decides the faults; <c>OMQ_SEED</c> repeats it, but not the processes' timing.</summary>
public sealed class ChaosTests(ITestOutputHelper output)
{
    private static readonly TimeSpan Short = TimeSpan.FromSeconds(45);
    private static readonly TimeSpan Long = TimeSpan.FromMinutes(20);

    private static readonly Dictionary<FaultKind, int> Weights = new()
    {
        [FaultKind.KillLeader] = 6,
        [FaultKind.PauseLeader] = 3,
        [FaultKind.StopLeader] = 1,
        [FaultKind.KillTwo] = 1,
        [FaultKind.KillAll] = 1,
        [FaultKind.KillTwice] = 1,
        [FaultKind.StopDatabase] = 1,
        [FaultKind.CrashDatabase] = 1,
        [FaultKind.KillWithoutDatabase] = 1,
    };

    [SkippableFact]
    public Task Acknowledged_records_survive_kills_of_silos_and_the_database() => RunAsync(Short);

    [SkippableFact]
    [Trait("Category", "Long")]
    public Task Acknowledged_records_survive_a_long_run() => RunAsync(Long);

    private async Task RunAsync(TimeSpan length)
    {
        using var report = new RunReport(output, "silos and a database that die");
        await report.RunAsync(async log => await LocalCluster.StartAsync(report.Data, silos: 3, log), cluster => new FaultInjector(cluster),
            new LoadOptions(),
            Weights, length);
    }
}
