using Microsoft.Extensions.DependencyInjection;
using OrleansMq.Grains.Brokers;
using OrleansMq.Grains.Hosting;
using OrleansMq.Grains.Replication;
using OrleansMq.VirtualHosts;

namespace OrleansMq.Grains.VirtualHosts;

/// <summary>The services of the virtual hosts of AMQP on a silo of a replicated cluster.</summary>
internal static class VirtualHostServices
{
    /// <summary>Adds the services.</summary>
    public static void AddVirtualHosts(this IServiceCollection services)
    {
        services.AddSingleton<GatewayInbox>();
        services.AddSingleton<GatewayPeers>();
        services.AddSingleton<VirtualHostsReach>();
        services.AddSingleton<IVirtualHostsLink>(static provider => new VirtualHostsLink(provider.GetRequiredService<IGrainFactory>(),
            new GrainBrokerOptions { TimeProvider = provider.GetRequiredService<SiloBroker>().Options.TimeProvider }));
        services.AddSingleton(static provider => new ClusterVirtualHosts(provider.GetRequiredService<IVirtualHostsLink>(),
            provider.GetRequiredService<SiloBroker>().Options.Log, provider.GetRequiredService<SiloBroker>().Options.TimeProvider));
        services.AddSingleton<VirtualHostsFollower>();
        services.AddParticipant<VirtualHostsFollower>();
    }
}
