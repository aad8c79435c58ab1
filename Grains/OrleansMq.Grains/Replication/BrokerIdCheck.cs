using Microsoft.Extensions.DependencyInjection;
using OrleansMq.Diagnostics;
using OrleansMq.Grains.Hosting;

namespace OrleansMq.Grains.Replication;

/// <summary>Another live silo of the cluster has this broker's id. The message says where.</summary>
public sealed class BrokerIdTakenException(string message) : Exception(message);

/// <summary>
/// Checks the broker id before a silo joins. It refuses to start while another live silo has the same id. It declares dead silos that are
/// gone, so that a restart on another port takes over at once instead of waiting for missed probes.
/// </summary>
internal sealed class BrokerIdCheck(IServiceProvider services, SiloBroker broker, BrokerClusterOptions options)
    : ILifecycleParticipant<ISiloLifecycle>
{
    /// <summary>How often a live silo writes its heartbeat into the membership table.</summary>
    public static readonly TimeSpan SignOfLife = TimeSpan.FromSeconds(5);

    // Two missed heartbeats, and some time for a slow database.
    private static readonly TimeSpan Watch = (2 * SignOfLife) + TimeSpan.FromSeconds(3);

    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(250);

    // After the database is prepared, and before Orleans listens on the silo's port.
    private const int BeforeListening = ServiceLifecycleStage.First + 1;

    /// <inheritdoc/>
    public void Participate(ISiloLifecycle lifecycle)
    {
        // The port of a predecessor refuses connections only until this silo listens on it. Where the whole cluster starts again, the
        // others would take the predecessors for live silos until they missed heartbeats.
        if (options.WatchProcesses && options.PostgreSql is not null)
            lifecycle.Subscribe(nameof(BrokerIdCheck), BeforeListening, BuryBeforeListeningAsync);
        // Before Orleans reads the table and joins.
        lifecycle.Subscribe(nameof(BrokerIdCheck), ServiceLifecycleStage.RuntimeGrainServices - 1, CheckAsync);
    }

    /// <summary>Returns when no other silo has this broker's id.</summary>
    /// <exception cref="BrokerIdTakenException">Another live silo has it.</exception>
    public async Task CheckAsync(CancellationToken cancellationToken)
    {
        if (!options.WatchProcesses)
            return;
        await BuryAsync(cancellationToken);
        await BeTheOnlyOneAsync(services.GetRequiredService<IMembershipTable>(), cancellationToken);
    }

    // One that starts by mistake with the id of another broker ends here, and buries no silo.
    private async Task BuryBeforeListeningAsync(CancellationToken cancellationToken)
    {
        await broker.CheckDirectoryAsync(cancellationToken);
        if (services.GetService<JoinLock>() is { } turns)
            await turns.ChangeAsync(() => BuryAsync(cancellationToken), cancellationToken);
        else
            await BuryAsync(cancellationToken);
    }

    /// <summary>Declares silos dead that are provably gone: those on this machine, and this broker's former silo anywhere. Refusals over
    /// the network prove nothing about other brokers: a new machine behind a wrong firewall must not bury a whole cluster.</summary>
    private async Task BuryAsync(CancellationToken cancellationToken)
    {
        var table = services.GetRequiredService<IMembershipTable>();
        await table.InitializeAsync();
        var answers = new Dictionary<SiloAddress, PortAnswer>();
        while (true)
        {
            var members = await table.ReadRowsAsync();
            var suspects = members.Members.Select(row => row.Item1).Where(entry => entry.Status != SiloStatus.Dead && MayBeBuried(entry))
                .ToList();
            await Task.WhenAll(suspects.Where(entry => !answers.ContainsKey(entry.SiloAddress)).ToList().Select(async entry =>
            {
                var answer = await EndpointProbe.AskAsync(entry.SiloAddress.Endpoint, cancellationToken);
                lock (answers)
                    answers[entry.SiloAddress] = answer;
            }));
            if (suspects.Find(entry => answers[entry.SiloAddress] == PortAnswer.Refuses) is not { } gone)
                return;
            await DeclareDeadAsync(table, members, gone.SiloAddress, "its port refuses connections");
        }
    }

    private bool MayBeBuried(MembershipEntry entry) => IsThisBroker(entry) || EndpointProbe.IsLocal(entry.SiloAddress.Endpoint.Address);

    private bool IsThisBroker(MembershipEntry entry) => entry.SiloName == ClusterMembership.NameOf(broker.Options.BrokerId.Value);

    // Another process may listen on that port by now; only the table proves that the silo itself lives.
    private async Task BeTheOnlyOneAsync(IMembershipTable table, CancellationToken cancellationToken)
    {
        var first = new Dictionary<SiloAddress, DateTime>();
        var since = DateTime.UtcNow;
        while (true)
        {
            var members = await table.ReadRowsAsync();
            if (members.Members.Select(row => row.Item1).FirstOrDefault(entry => entry.Status != SiloStatus.Dead
                && IsThisBroker(entry)) is not { } other)
                return;
            if (first.Count == 0)
            {
                broker.Log(EngineLogLevel.Warning,
                    $"The cluster has a broker {broker.Options.BrokerId} at {other.SiloAddress} already. Waiting up to "
                    + $"{Watch.TotalSeconds:0} s for its heartbeat.");
            }
            if (first.TryAdd(other.SiloAddress, other.IAmAliveTime))
                since = DateTime.UtcNow;
            else if (other.IAmAliveTime > first[other.SiloAddress])
                throw Taken(other);
            else if (DateTime.UtcNow - since > Watch)
                await DeclareDeadAsync(table, members, other.SiloAddress, $"it wrote no heartbeat for {Watch.TotalSeconds:0} s");
            await Task.Delay(Pause, cancellationToken);
        }
    }

    private BrokerIdTakenException Taken(MembershipEntry other) => new(
        $"Broker {broker.Options.BrokerId} of cluster '{options.ClusterId}' is already running at {other.SiloAddress.Endpoint} on "
        + $"{other.HostName}, since "
        + $"{other.StartTime:u}. Stop that one, or give this one another --broker-id and --data.");

    private async Task DeclareDeadAsync(IMembershipTable table, MembershipTableData members, SiloAddress silo, string why)
    {
        var name = members.Members.First(row => row.Item1.SiloAddress.Equals(silo)).Item1.SiloName;
        // A conflicting change of the table won: the next reader of the table repeats the check.
        if (await Obituaries.TryDeclareDeadAsync(table, members, silo))
            broker.Log(EngineLogLevel.Warning, $"{name} at {silo.Endpoint}, which did not stop cleanly, was declared dead: {why}.");
    }
}
