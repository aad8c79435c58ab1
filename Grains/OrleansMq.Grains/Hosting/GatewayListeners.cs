using System.Net;
using System.Reflection;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Options;
using Orleans.Configuration;
using Orleans.Networking.Shared;
using OrleansMq.Connections;

namespace OrleansMq.Grains.Hosting;

/// <summary>
/// Listens for Orleans clients with this project's sockets (<see cref="SocketListeners"/>), which receive batches in large blocks, and for
/// other silos with Orleans' own. Orleans asks under keys that are not public, so the endpoint decides which is which. With TLS,
/// <see cref="ClusterTls"/> tells of connections that have ended, by what clients say after their handshake.
/// </summary>
internal sealed class GatewayListeners(IConnectionListenerFactory orleans, EndpointOptions endpoints,
    IOptions<SocketConnectionOptions> sockets, IGatewayConnections? connections) : IConnectionListenerFactory
{
    /// <inheritdoc/>
    public ValueTask<IConnectionListener> BindAsync(EndPoint endpoint, CancellationToken cancellationToken = default) =>
        IsGateway(endpoint) ? new SocketListeners(sockets, connections is null ? null : connections.OnConnectionEnded)
            .BindAsync(endpoint, cancellationToken)
        : orleans.BindAsync(endpoint, cancellationToken);

    /// <summary>Wraps the listeners that Orleans registered itself; other registrations stay.</summary>
    /// <param name="services">The silo's services.</param>
    /// <param name="own">The assembly whose registrations are Orleans' own.</param>
    public static void Replace(IServiceCollection services, Assembly own) =>
        services.ReplaceOwn<IConnectionListenerFactory>(own, static (provider, orleans) =>
            new GatewayListeners(orleans(), provider.GetRequiredService<IOptions<EndpointOptions>>().Value,
                provider.GetRequiredService<IOptions<SocketConnectionOptions>>(),
                provider.GetService<ClusterTls>() is null ? provider.GetRequiredService<IGatewayConnections>() : null));

    private bool IsGateway(EndPoint endpoint) =>
        endpoint is IPEndPoint { Port: var port } && port == (endpoints.GatewayListeningEndpoint?.Port ?? endpoints.GatewayPort);
}
