using System.Collections.Immutable;
using System.Globalization;
using OrleansMq.Diagnostics;

namespace OrleansMq.Grains.Replication;

/// <summary>Maps brokers to silos by the cluster's membership. It may be outdated for a while, which costs time, never records. Thread
/// safe.</summary>
/// <param name="members">Orleans' membership.</param>
/// <param name="log">Gets a line for each broker that joins or leaves.</param>
internal sealed class ClusterMembership(IClusterMembershipService members, EngineLog log) : ILifecycleParticipant<ISiloLifecycle>,
    IDisposable
{
    private const string NamePrefix = "broker-";

    private readonly CancellationTokenSource _stopped = new();
    private Task _following = Task.CompletedTask;
    private volatile BrokerMap _map = BrokerMap.Empty;

    /// <summary>Raised when a broker joined, left, or was declared dead: one call at a time, outside any lock. Handlers must not
    /// block.</summary>
    public event Action? Changed;

    /// <summary>The silos of all brokers that are not declared dead, by broker id, and which of them are active.</summary>
    public BrokerMap Brokers => _map;

    /// <summary>Returns the name of a broker's silo.</summary>
    public static string NameOf(int broker) => string.Create(CultureInfo.InvariantCulture, $"{NamePrefix}{broker}");

    /// <summary>Returns the broker whose silo has that name; null if the name is not a broker's.</summary>
    public static int? BrokerOf(string? siloName) =>
        siloName is not null && siloName.StartsWith(NamePrefix, StringComparison.Ordinal)
        && int.TryParse(siloName.AsSpan(NamePrefix.Length), NumberStyles.None, CultureInfo.InvariantCulture, out var broker)
        ? broker : null;

    /// <summary>Returns the address of a broker's silo; null unless the broker is a live member.</summary>
    public SiloAddress? AddressOf(int broker) => _map.Silos.GetValueOrDefault(broker)?.SiloAddress;

    /// <summary>Returns the broker of a silo; null unless it is a live member.</summary>
    public int? BrokerOf(SiloAddress silo) => _map.ByAddress.TryGetValue(silo, out var broker) ? broker : null;

    /// <summary>Returns the broker of an incarnation; null unless it is a live member.</summary>
    /// <inheritdoc cref="IsDead" path="/param"/>
    public int? BrokerOfIncarnation(string incarnation)
    {
        try
        {
            return BrokerOf(SiloAddress.FromParsableString(incarnation));
        }
        catch (FormatException)
        {
            return null;
        }
    }

    /// <summary>Whether a broker is a member that has joined and is not declared dead.</summary>
    public bool IsAlive(int broker) => _map.Silos.ContainsKey(broker);

    /// <summary>Whether a broker may get new work: it is alive and not stopping.</summary>
    public bool IsActive(int broker) => _map.Silos.GetValueOrDefault(broker)?.Status == SiloStatus.Active;

    /// <summary>Whether a silo has ended for good. One that the membership does not know has not.</summary>
    /// <param name="incarnation">The silo's address with its generation, as <see cref="SiloAddress.ToParsableString"/> writes it.</param>
    public bool IsDead(string incarnation)
    {
        try
        {
            return members.CurrentSnapshot.GetSiloStatus(SiloAddress.FromParsableString(incarnation)) == SiloStatus.Dead;
        }
        catch (FormatException)
        {
            return false;
        }
    }

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
                log.Write(EngineLogLevel.Information, $"Broker {broker} joined the cluster at {silo.SiloAddress}.");
        }
        foreach (var (broker, silo) in before.Silos)
        {
            if (!next.Silos.ContainsKey(broker))
                log.Write(EngineLogLevel.Warning, $"Broker {broker} at {silo.SiloAddress} is no longer a member of the cluster.");
        }
        Changed?.Invoke();
    }
}

/// <summary>The brokers of one membership snapshot.</summary>
/// <param name="Silos">The silo of each broker that has joined and is not declared dead; the youngest if it has two.</param>
/// <param name="ByAddress">The brokers by their silo's address.</param>
internal sealed record BrokerMap(ImmutableDictionary<int, ClusterMember> Silos, ImmutableDictionary<SiloAddress, int> ByAddress)
{
    /// <summary>A map without brokers.</summary>
    public static BrokerMap Empty { get; } = new(ImmutableDictionary<int, ClusterMember>.Empty,
        ImmutableDictionary<SiloAddress, int>.Empty);

    /// <summary>Creates the map of a snapshot.</summary>
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

    /// <summary>Whether both have the same silos in the same states.</summary>
    public bool SameAs(BrokerMap other) => Silos.Count == other.Silos.Count
        && Silos.All(silo => other.Silos.TryGetValue(silo.Key, out var member) && member.Equals(silo.Value));
}
