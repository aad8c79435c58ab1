using System.Collections.Immutable;
using System.Globalization;
using OrleansMq.Diagnostics;

namespace OrleansMq.Grains.Replication;

/// <summary>Which silo is which broker, as the cluster's membership has it. It may be wrong for a while: that costs time, never records.
/// Thread safe.</summary>
/// <param name="members">Orleans' membership.</param>
/// <param name="log">Where it says who came and went.</param>
internal sealed class ClusterMembership(IClusterMembershipService members, EngineLog log) : ILifecycleParticipant<ISiloLifecycle>,
    IDisposable
{
    private const string NamePrefix = "broker-";

    private readonly CancellationTokenSource _stopped = new();
    private Task _following = Task.CompletedTask;
    private volatile BrokerMap _map = BrokerMap.Empty;

    /// <summary>Somebody joined, left, or was declared dead. Raised one at a time, on no lock; must not block.</summary>
    public event Action? Changed;

    /// <summary>The silos of all brokers that are not declared dead, by broker id, and which of them are active.</summary>
    public BrokerMap Brokers => _map;

    /// <summary>The name of a broker's silo.</summary>
    public static string NameOf(int broker) => string.Create(CultureInfo.InvariantCulture, $"{NamePrefix}{broker}");

    /// <summary>The broker whose silo has that name; null where it is no broker's.</summary>
    public static int? BrokerOf(string? siloName) =>
        siloName is not null && siloName.StartsWith(NamePrefix, StringComparison.Ordinal)
        && int.TryParse(siloName.AsSpan(NamePrefix.Length), NumberStyles.None, CultureInfo.InvariantCulture, out var broker)
        ? broker : null;

    /// <summary>Where a broker's silo is reached; null where it is no live member.</summary>
    public SiloAddress? AddressOf(int broker) => _map.Silos.GetValueOrDefault(broker)?.SiloAddress;

    /// <summary>Which broker a silo is; null where it is none, or no live member.</summary>
    public int? BrokerOf(SiloAddress silo) => _map.ByAddress.TryGetValue(silo, out var broker) ? broker : null;

    /// <summary>Whether a broker is a member that has joined and is not declared dead.</summary>
    public bool IsAlive(int broker) => _map.Silos.ContainsKey(broker);

    /// <summary>Whether a broker may be given new work: it is alive and does not stop.</summary>
    public bool IsActive(int broker) => _map.Silos.GetValueOrDefault(broker)?.Status == SiloStatus.Active;

    /// <inheritdoc/>
    public void Participate(ISiloLifecycle lifecycle) =>
        lifecycle.Subscribe(nameof(ClusterMembership), ServiceLifecycleStage.RuntimeGrainServices + 1,
            _ =>
            {
                Take(members.CurrentSnapshot);
                _following = Task.Run(FollowAsync);
                return Task.CompletedTask;
            },
            async _ =>
            {
                await _stopped.CancelAsync();
                await _following;
            });

    /// <inheritdoc/>
    public void Dispose() => _stopped.Dispose();

    private async Task FollowAsync()
    {
        try
        {
            await foreach (var snapshot in members.MembershipUpdates.WithCancellation(_stopped.Token))
                Take(snapshot);
        }
        catch (OperationCanceledException) when (_stopped.IsCancellationRequested)
        {
            // The silo stops.
        }
    }

    private void Take(ClusterMembershipSnapshot snapshot)
    {
        var before = _map;
        var next = BrokerMap.Of(snapshot);
        if (next.SameAs(before))
            return;
        _map = next;
        foreach (var (broker, silo) in next.Silos)
        {
            if (before.Silos.GetValueOrDefault(broker)?.SiloAddress != silo.SiloAddress)
                log.Write(EngineLogLevel.Information, $"Broker {broker} is a member at {silo.SiloAddress}.");
        }
        foreach (var (broker, silo) in before.Silos)
        {
            if (!next.Silos.ContainsKey(broker))
                log.Write(EngineLogLevel.Warning, $"Broker {broker} at {silo.SiloAddress} is a member no more.");
        }
        Changed?.Invoke();
    }
}

/// <summary>The brokers of one membership snapshot.</summary>
/// <param name="Silos">The silo of each broker that has joined and is not declared dead; the youngest, where it has two.</param>
/// <param name="ByAddress">The same the other way round.</param>
internal sealed record BrokerMap(ImmutableDictionary<int, ClusterMember> Silos, ImmutableDictionary<SiloAddress, int> ByAddress)
{
    /// <summary>Nobody.</summary>
    public static BrokerMap Empty { get; } = new(ImmutableDictionary<int, ClusterMember>.Empty,
        ImmutableDictionary<SiloAddress, int>.Empty);

    /// <summary>Those of a snapshot.</summary>
    public static BrokerMap Of(ClusterMembershipSnapshot snapshot)
    {
        var silos = snapshot.Members.Values
            .Where(member => member.Status is SiloStatus.Active or SiloStatus.ShuttingDown or SiloStatus.Stopping)
            .Select(member => (Broker: ClusterMembership.BrokerOf(member.Name), Member: member))
            .Where(found => found.Broker is not null)
            .GroupBy(found => found.Broker!.Value, found => found.Member)
            .ToImmutableDictionary(group => group.Key,
                group => group.MaxBy(member => (member.Status == SiloStatus.Active, member.SiloAddress.Generation))!);
        return new BrokerMap(silos, silos.ToImmutableDictionary(silo => silo.Value.SiloAddress, silo => silo.Key));
    }

    /// <summary>Whether nobody came, went or changed its state.</summary>
    public bool SameAs(BrokerMap other) => Silos.Count == other.Silos.Count
        && Silos.All(silo => other.Silos.TryGetValue(silo.Key, out var member) && member.Equals(silo.Value));
}
