using Microsoft.Extensions.DependencyInjection;
using OrleansMq.Diagnostics;
using OrleansMq.Grains.Hosting;

namespace OrleansMq.Grains.Replication;

/// <summary>Another live silo of the cluster is this broker. The message says where.</summary>
public sealed class BrokerIdTakenException(string message) : Exception(message);

/// <summary>
/// Before a silo joins: refuses where another one lives under the same broker id, and declares dead what is left of silos that are gone, so
/// that a restart on another port takes over at once and needs not wait until probes have missed them.
/// </summary>
internal sealed class BrokerIdCheck(IServiceProvider services, SiloBroker broker, BrokerClusterOptions options)
    : ILifecycleParticipant<ISiloLifecycle>
{
    /// <summary>How often a live silo writes its sign of life into the membership table.</summary>
    public static readonly TimeSpan SignOfLife = TimeSpan.FromSeconds(5);

    // Two signs of life missed, and some for a slow database.
    private static readonly TimeSpan Watch = (2 * SignOfLife) + TimeSpan.FromSeconds(3);

    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(250);

    /// <inheritdoc/>
    public void Participate(ISiloLifecycle lifecycle) =>
        // Before Orleans reads the table and joins.
        lifecycle.Subscribe(nameof(BrokerIdCheck), ServiceLifecycleStage.RuntimeGrainServices - 1, CheckAsync);

    /// <summary>Returns when no other silo is this broker.</summary>
    /// <exception cref="BrokerIdTakenException">Another live silo is.</exception>
    public async Task CheckAsync(CancellationToken cancellationToken)
    {
        if (!options.WatchProcesses)
            return;
        var table = services.GetRequiredService<IMembershipTable>();
        await table.InitializeMembershipTable(tryInitTableVersion: true);
        await BuryAsync(table, cancellationToken);
        await BeTheOnlyOneAsync(table, cancellationToken);
    }

    /// <summary>Declares dead whoever is proved to be gone: refused by this very machine, or this broker refused by any. What a network
    /// between says of others counts for nothing here: a new machine behind the wrong firewall must not bury a whole cluster.</summary>
    private async Task BuryAsync(IMembershipTable table, CancellationToken cancellationToken)
    {
        var answers = new Dictionary<SiloAddress, PortAnswer>();
        while (true)
        {
            var members = await table.ReadAll();
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

    // Whoever listens at the other's port may be somebody else by now; only the table says that the silo itself lives.
    private async Task BeTheOnlyOneAsync(IMembershipTable table, CancellationToken cancellationToken)
    {
        var first = new Dictionary<SiloAddress, DateTime>();
        var since = DateTime.UtcNow;
        while (true)
        {
            var members = await table.ReadAll();
            if (members.Members.Select(row => row.Item1).FirstOrDefault(entry => entry.Status != SiloStatus.Dead
                && IsThisBroker(entry)) is not { } other)
                return;
            if (first.Count == 0)
            {
                broker.Log(EngineLogLevel.Warning,
                    $"The cluster has a broker {broker.Options.BrokerId} at {other.SiloAddress} already: waiting up to "
                    + $"{Watch.TotalSeconds:0} s for a sign of life.");
            }
            if (first.TryAdd(other.SiloAddress, other.IAmAliveTime))
                since = DateTime.UtcNow;
            else if (other.IAmAliveTime > first[other.SiloAddress])
                throw Taken(other);
            else if (DateTime.UtcNow - since > Watch)
                await DeclareDeadAsync(table, members, other.SiloAddress, $"it gave no sign of life for {Watch.TotalSeconds:0} s");
            await Task.Delay(Pause, cancellationToken);
        }
    }

    private BrokerIdTakenException Taken(MembershipEntry other) => new(
        $"Broker {broker.Options.BrokerId} of cluster '{options.ClusterId}' runs already: at {other.SiloAddress.Endpoint} on "
        + $"{other.HostName}, since "
        + $"{other.StartTime:u}. Stop that one, or give this one another --broker-id and --data.");

    private async Task DeclareDeadAsync(IMembershipTable table, MembershipTableData members, SiloAddress silo, string why)
    {
        var name = members.Members.First(row => row.Item1.SiloAddress.Equals(silo)).Item1.SiloName;
        // Lost to another who changed the table: whoever reads it next sees what is left to do.
        if (await Obituaries.TryDeclareDeadAsync(table, members, silo))
            broker.Log(EngineLogLevel.Warning, $"{name} at {silo.Endpoint}, which stopped without a word, is declared dead: {why}.");
    }
}
