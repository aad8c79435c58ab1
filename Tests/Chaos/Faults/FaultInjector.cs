using System.Diagnostics;
using OrleansMq.Api;
using OrleansMq.Tests.Chaos.Running;

namespace OrleansMq.Tests.Chaos.Faults;

/// <summary>Injects faults into a cluster of processes and reverts them.</summary>
internal class FaultInjector(RunningCluster cluster)
{
    private readonly List<Outage> _outages = [];
    private readonly Dictionary<FaultKind, int> _done = [];
    private long? _firstKill;

    /// <summary>The number of processes killed.</summary>
    public int Kills { get; private set; }

    /// <summary>The faults that took a leader from a healthy cluster.</summary>
    public IReadOnlyList<Outage> Outages => _outages;

    /// <summary>How often each fault was injected.</summary>
    public IReadOnlyDictionary<FaultKind, int> Done => _done;

    protected RunningCluster Cluster => cluster;

    /// <summary>Injects a fault and reverts it. Returns when nothing is held down and all processes run again.</summary>
    /// <param name="fault">The fault.</param>
    /// <param name="partitions">The topic as last described.</param>
    /// <param name="isWell">Whether the cluster was healthy before. Only then is the time without a leader caused by this fault.</param>
    /// <param name="cancellationToken">Stops the wait for restarts.</param>
    public async Task InjectAsync(PlannedFault fault, IReadOnlyList<PartitionDescription> partitions, bool isWell,
        CancellationToken cancellationToken)
    {
        _done[fault.Kind] = _done.GetValueOrDefault(fault.Kind) + 1;
        var leader = LeaderOf(partitions[fault.Choice % partitions.Count], fault.Choice);
        _firstKill = null;
        var begin = Stopwatch.GetTimestamp();
        await InjectAsync(fault, leader, cancellationToken);
        // A kill may follow another fault.
        var moment = _firstKill ?? begin;
        if (isWell)
            _outages.AddRange(Hit(fault, leader, partitions).Select(partition => new Outage(fault.Kind, partition, moment)));
    }

    protected virtual async Task InjectAsync(PlannedFault fault, Silo leader, CancellationToken cancellationToken)
    {
        switch (fault.Kind)
        {
            case FaultKind.KillLeader:
                await KillAsync([leader], cancellationToken);
                break;
            case FaultKind.KillTwo:
                await KillAsync([leader, cluster.Silos.First(silo => silo != leader)], cancellationToken);
                break;
            case FaultKind.KillAll:
                await KillAsync(cluster.Silos, cancellationToken);
                break;
            case FaultKind.KillTwice:
                await KillAsync([leader], cancellationToken);
                await KillAsync([cluster[leader.BrokerId]], cancellationToken);
                break;
            case FaultKind.StopLeader:
                Signals.TrySend(leader.ProcessId, Signals.Terminate);
                await cluster.RestartedAsync(leader, cancellationToken);
                break;
            case FaultKind.PauseLeader:
                cluster.Pause(leader);
                await Task.Delay(fault.Lasts, cancellationToken);
                cluster.Resume(leader);
                break;
            case FaultKind.StopDatabase:
                await WithoutDatabaseAsync(isCrash: false, () => Task.Delay(fault.Lasts, cancellationToken));
                break;
            case FaultKind.CrashDatabase:
                await WithoutDatabaseAsync(isCrash: true, () => Task.CompletedTask);
                break;
            case FaultKind.KillWithoutDatabase:
                await WithoutDatabaseAsync(isCrash: false, () =>
                {
                    Kill(leader);
                    return Task.Delay(fault.Lasts, cancellationToken);
                });
                await cluster.RestartedAsync(leader, cancellationToken);
                break;
            default:
                throw new NotSupportedException($"{fault.Kind} is no fault of {GetType().Name}.");
        }
    }

    private async Task KillAsync(IReadOnlyList<Silo> silos, CancellationToken cancellationToken)
    {
        foreach (var silo in silos)
            Kill(silo);
        await Task.WhenAll(silos.Select(silo => cluster.RestartedAsync(silo, cancellationToken)));
    }

    private void Kill(Silo silo)
    {
        _firstKill ??= Stopwatch.GetTimestamp();
        cluster.Kill(silo);
        Kills++;
    }

    private async Task WithoutDatabaseAsync(bool isCrash, Func<Task> meanwhile)
    {
        await (isCrash ? cluster.Database.KillAsync() : cluster.Database.StopAsync());
        await meanwhile();
        await cluster.Database.StartAsync();
    }

    /// <summary>The partition's leader, or any silo if it has none.</summary>
    private Silo LeaderOf(PartitionDescription partition, int choice)
    {
        var silos = cluster.Silos;
        return silos.FirstOrDefault(silo => silo.BrokerId == partition.Leader) ?? silos[choice % silos.Count];
    }

    /// <summary>The partitions that lose their leader.</summary>
    private static IEnumerable<int> Hit(PlannedFault fault, Silo leader, IReadOnlyList<PartitionDescription> partitions) =>
        fault.Kind switch
        {
            FaultKind.KillAll => partitions.Select(partition => partition.Partition),
            FaultKind.KillLeader or FaultKind.KillTwo or FaultKind.KillTwice or FaultKind.StopLeader or FaultKind.PauseLeader
                or FaultKind.KillWithoutDatabase or FaultKind.CutOff =>
                partitions.Where(partition => partition.Leader == leader.BrokerId).Select(partition => partition.Partition),
            _ => [],
        };
}
