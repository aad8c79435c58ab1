using OrleansMq.Tests.Chaos.Faults;

namespace OrleansMq.Tests.Chaos.Network;

/// <summary>Breaks links between silos and fills the disk of one; otherwise like <see cref="FaultInjector"/>.</summary>
internal sealed class NetworkFaultInjector(ProxiedCluster cluster, SmallDisk? disk) : FaultInjector(cluster)
{
    // The latency between two continents: far above that of one machine, and well within the lease and probe timeouts.
    private static readonly TimeSpan FarAway = TimeSpan.FromMilliseconds(100);

    protected override Task InjectAsync(PlannedFault fault, Silo leader, CancellationToken cancellationToken) => fault.Kind switch
    {
        FaultKind.CutOff =>
            CutAsync(Others(leader).Select(other => cluster.Between(leader.BrokerId, other)), fault.Lasts, cancellationToken),
        FaultKind.CutPair =>
            CutAsync([cluster.Between(leader.BrokerId, Others(leader).ElementAt(fault.Choice % 2))], fault.Lasts, cancellationToken),
        FaultKind.ResetConnections => ResetAsync(fault.Lasts, cancellationToken),
        FaultKind.Latency => DelayAsync(fault.Lasts, cancellationToken),
        FaultKind.FillDisk => FillDiskAsync(fault.Lasts, cancellationToken),
        _ => base.InjectAsync(fault, leader, cancellationToken),
    };

    private IEnumerable<int> Others(Silo silo) => cluster.Silos.Select(other => other.BrokerId).Where(other => other != silo.BrokerId);

    private static async Task CutAsync(IEnumerable<Link> links, TimeSpan lasts, CancellationToken cancellationToken)
    {
        var cut = links.ToList();
        cut.ForEach(link => link.Cut());
        await Task.Delay(lasts, cancellationToken);
        cut.ForEach(link => link.Heal());
    }

    /// <summary>Resets connections repeatedly for a while, so that some break in the middle of a message.</summary>
    private async Task ResetAsync(TimeSpan lasts, CancellationToken cancellationToken)
    {
        for (var left = lasts; left > TimeSpan.Zero; left -= TimeSpan.FromSeconds(1))
        {
            foreach (var link in cluster.Links)
                link.ResetConnections();
            await Task.Delay(TimeSpan.FromSeconds(1), cancellationToken);
        }
    }

    private async Task DelayAsync(TimeSpan lasts, CancellationToken cancellationToken)
    {
        foreach (var link in cluster.Links)
            link.Delay = FarAway;
        await Task.Delay(lasts, cancellationToken);
        foreach (var link in cluster.Links)
            link.Delay = TimeSpan.Zero;
    }

    private async Task FillDiskAsync(TimeSpan lasts, CancellationToken cancellationToken)
    {
        if (disk is null)
            return;
        disk.Fill();
        await Task.Delay(lasts, cancellationToken);
        disk.Clear();
    }
}
