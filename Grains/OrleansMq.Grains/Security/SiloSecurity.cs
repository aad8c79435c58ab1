using System.Buffers.Binary;
using Microsoft.Extensions.DependencyInjection;
using Orleans.Storage;
using OrleansMq.Access;
using OrleansMq.Grains.Coordination;
using OrleansMq.Grains.Hosting;
using OrleansMq.Grains.Replication;
using OrleansMq.Grains.Storage;
using OrleansMq.Security;

namespace OrleansMq.Grains.Security;

/// <summary>
/// Users and rules of the cluster on this silo. The broker that changes them tells the others, and waits a moment until each has read the
/// change; a broker that does not answer reads it when it looks again.
/// </summary>
internal sealed class SiloSecurity : ILifecycleParticipant<ISiloLifecycle>, IAsyncDisposable
{
    // After the grain storage is ready, before grains and gateways serve.
    private const int Stage = ServiceLifecycleStage.ApplicationServices + 1;
    // The states belong to no grain; this stands for one in their keys.
    private const string OwnerType = "omq.security";
    // So the brokers call the receiver of the news.
    private const string Inbox = "security";
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
            new AclAuthorizer(options.Security, options.Log, options.TimeProvider), options.Log, options.TimeProvider,
            broker.Cluster is null ? null : TellAsync);
    }

    /// <summary>Users and rules.</summary>
    public BrokerSecurity Users { get; }

    /// <summary>Decides what sessions may do.</summary>
    public IAuthorizer Authorizer => Users.AuthorizerOver(_broker.Options.Authorizer);

    /// <inheritdoc/>
    public void Participate(ISiloLifecycle lifecycle) => lifecycle.Subscribe(nameof(SiloSecurity), Stage, async _ =>
    {
        _services.GetService<GatewayInbox>()?.Set(Inbox, message =>
            message.Length == sizeof(long) && Users.Hear(BinaryPrimitives.ReadInt64BigEndian(message.Span)));
        await Users.OpenAsync(follows: _broker.Cluster is not null);
    }, async _ => await DisposeAsync());

    /// <inheritdoc/>
    public ValueTask DisposeAsync() => Users.DisposeAsync();

    private async Task TellAsync(long version)
    {
        var message = new byte[sizeof(long)];
        BinaryPrimitives.WriteInt64BigEndian(message, version);
        var peers = _services.GetRequiredService<GatewayPeers>();
        var deadline = _broker.Options.TimeProvider.GetTimestamp();
        await Task.WhenAll(_services.GetRequiredService<ClusterMembership>().Brokers.Silos.Keys
            .Where(id => id != _broker.Options.BrokerId.Value).Select(TellAsync)).ConfigureAwait(false);

        async Task TellAsync(int id)
        {
            while (!await peers.SendAsync(id, Inbox, message).ConfigureAwait(false)
                && _broker.Options.TimeProvider.GetElapsedTime(deadline) < HearTime)
                await Task.Delay(HearPause, _broker.Options.TimeProvider).ConfigureAwait(false);
        }
    }
}
