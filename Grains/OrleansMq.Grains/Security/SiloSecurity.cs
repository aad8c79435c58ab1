using System.Buffers.Binary;
using Microsoft.Extensions.DependencyInjection;
using Orleans.Storage;
using OrleansMq.Access;
using OrleansMq.Grains.Coordination;
using OrleansMq.Grains.Hosting;
using OrleansMq.Grains.Replication;
using OrleansMq.Grains.Storage;
using OrleansMq.Quotas;
using OrleansMq.Security;

namespace OrleansMq.Grains.Security;

/// <summary>
/// Users, rules, quotas and the keys of tickets of the cluster on this silo. The broker that changes them tells the others, and waits a
/// moment until each has read the change; a broker that does not answer reads it when it looks again.
/// </summary>
internal sealed class SiloSecurity : ILifecycleParticipant<ISiloLifecycle>, IQuotaPeers, IAsyncDisposable
{
    // After the grain storage is ready, before grains and gateways serve.
    private const int Stage = ServiceLifecycleStage.ApplicationServices + 1;
    // The states belong to no grain; this stands for one in their keys.
    private const string OwnerType = "omq.security";
    // So the brokers call the receivers of the news, and of what others use of the quotas.
    private const string UsersInbox = "security";
    private const string QuotasInbox = "quotas";
    private const string UseInbox = "quota-use";
    private const string TicketsInbox = "tickets";
    private static readonly TimeSpan HearTime = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan HearPause = TimeSpan.FromMilliseconds(20);

    private readonly SiloBroker _broker;
    private readonly IServiceProvider _services;

    public SiloSecurity(SiloBroker broker, IServiceProvider services)
    {
        (_broker, _services) = (broker, services);
        var options = broker.Options;
        var store = new Lazy<GrainStateStore>(() => new GrainStateStore(
            services.GetRequiredKeyedService<IGrainStorage>(FileGrainStorage.ProviderName), GrainType.Create(OwnerType),
            options.TimeProvider));
        Users = new BrokerSecurity(() => store.Value, options.Security,
            new AclAuthorizer(options.Security), options.Log, options.TimeProvider,
            broker.Cluster is null ? null : version => TellAsync(UsersInbox, version));
        Quotas = new BrokerQuotas(() => store.Value, options.Log, options.TimeProvider,
            broker.Cluster is null ? null : version => TellAsync(QuotasInbox, version), broker.Cluster is null ? null : this);
        Sights = Users.SightsOver(options.Authorizer);
        if (Users.IsEnabled || options.Authorizer is not AllowAll)
            Tickets = new BrokerTickets($"broker-{options.BrokerId.Value}", () => store.Value, options.Log, options.TimeProvider,
                broker.Cluster is null ? null : version => TellAsync(TicketsInbox, version));
    }

    /// <summary>Users and rules.</summary>
    public BrokerSecurity Users { get; }

    /// <summary>What clients may use.</summary>
    public BrokerQuotas Quotas { get; }

    /// <summary>What grain calls carry to prove whose they are; null where everyone may do everything.</summary>
    public BrokerTickets? Tickets { get; }

    /// <summary>Which topics members of groups may describe; null: every member all of them.</summary>
    public TopicSights? Sights { get; }

    /// <summary>Decides what sessions may do.</summary>
    public IAuthorizer Authorizer => Users.AuthorizerOver(_broker.Options.Authorizer);

    /// <inheritdoc/>
    public void Participate(ISiloLifecycle lifecycle)
    {
        lifecycle.Subscribe(nameof(SiloSecurity), Stage, _ => OpenAsync(), async _ => await DisposeAsync());
        // When the other brokers can be told of a new user, and before gateways open.
        lifecycle.Subscribe(nameof(SiloSecurity), ServiceLifecycleStage.Active, Users.EnsureAdminAsync, _ => ReleaseAsync());
    }

    // A stopping silo waits for its grains' requests, of which a quota may hold some back. Gateways release theirs when they drain.
    private Task ReleaseAsync()
    {
        Quotas.Release();
        return Task.CompletedTask;
    }

    private async Task OpenAsync()
    {
        if (_services.GetService<GatewayInbox>() is { } inbox)
        {
            inbox.Set(UsersInbox, message => VersionOf(message) is { } version && Users.Hear(version));
            inbox.Set(QuotasInbox, message => VersionOf(message) is { } version && Quotas.Hear(version));
            inbox.Set(UseInbox, Quotas.Hear);
            if (Tickets is { } tickets)
                inbox.Set(TicketsInbox, message => VersionOf(message) is { } version && tickets.Hear(version));
        }
        // First: without tickets the other brokers take no news of this one.
        if (Tickets is not null)
            await Tickets.OpenAsync(follows: _broker.Cluster is not null);
        await Users.OpenAsync(follows: _broker.Cluster is not null);
        await Quotas.OpenAsync(follows: _broker.Cluster is not null);
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await Users.DisposeAsync();
        await Quotas.DisposeAsync();
        if (Tickets is not null)
            await Tickets.DisposeAsync();
    }

    /// <inheritdoc/>
    int IQuotaPeers.Self => _broker.Options.BrokerId.Value;

    /// <inheritdoc/>
    IReadOnlyCollection<int> IQuotaPeers.Others => Others();

    /// <inheritdoc/>
    Task IQuotaPeers.SendAsync(int broker, ReadOnlyMemory<byte> message) =>
        _services.GetRequiredService<GatewayPeers>().SendAsync(broker, UseInbox, message);

    private int[] Others() => [.. _services.GetRequiredService<ClusterMembership>().Brokers.Silos.Keys
        .Where(id => id != _broker.Options.BrokerId.Value)];

    private static long? VersionOf(ReadOnlyMemory<byte> message) =>
        message.Length == sizeof(long) ? BinaryPrimitives.ReadInt64BigEndian(message.Span) : null;

    private async Task TellAsync(string inbox, long version)
    {
        var message = new byte[sizeof(long)];
        BinaryPrimitives.WriteInt64BigEndian(message, version);
        var peers = _services.GetRequiredService<GatewayPeers>();
        var deadline = _broker.Options.TimeProvider.GetTimestamp();
        await Task.WhenAll(Others().Select(TellAsync)).ConfigureAwait(false);

        async Task TellAsync(int id)
        {
            while (!await peers.SendAsync(id, inbox, message).ConfigureAwait(false)
                && _broker.Options.TimeProvider.GetElapsedTime(deadline) < HearTime)
                await Task.Delay(HearPause, _broker.Options.TimeProvider).ConfigureAwait(false);
        }
    }
}
