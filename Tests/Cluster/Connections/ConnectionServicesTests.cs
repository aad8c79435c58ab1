using System.Net;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Options;
using Orleans.Configuration;
using OrleansMq.Connections;
using OrleansMq.Grains.Hosting;

namespace OrleansMq.Tests.Cluster.Connections;

/// <summary>The socket transport is registered where Orleans looks for its own. An Orleans release that looks elsewhere fails
/// here.</summary>
public sealed class ConnectionServicesTests
{
    [Fact]
    public void Client_connects_through_the_socket_transport()
    {
        using var host = Host.CreateEmptyApplicationBuilder(null).UseClient(static client => client.AddOrleansMqClient(), out var services)
            .Build();
        Assert.IsType<SocketConnections>(
            host.Services.GetRequiredKeyedService<IConnectionFactory>(Assert.Single(KeysOf<IConnectionFactory>(services))));
    }

    [Fact]
    public async Task Silo_uses_the_socket_transport_for_clients_and_Orleans_own_for_silos()
    {
        using var host = Host.CreateEmptyApplicationBuilder(null).UseSilo(static silo => silo.AddOrleansMq(), out var services).Build();
        // For silos, and for clients.
        var keys = KeysOf<IConnectionListenerFactory>(services);
        Assert.Equal(2, keys.Count);
        foreach (var key in keys)
        {
            var factory = Assert.IsType<GatewayListeners>(host.Services.GetRequiredKeyedService<IConnectionListenerFactory>(key));
            await using var other = await factory.BindAsync(new IPEndPoint(IPAddress.Loopback, 0));
            Assert.NotEqual(typeof(SocketListeners).Assembly, other.GetType().Assembly);
            var endpoints = host.Services.GetRequiredService<IOptions<EndpointOptions>>().Value;
            endpoints.GatewayListeningEndpoint = (IPEndPoint)other.EndPoint;
            await other.DisposeAsync();
            await using var gateway = await factory.BindAsync(endpoints.GatewayListeningEndpoint);
            Assert.Equal(typeof(SocketListeners).Assembly, gateway.GetType().Assembly);
        }
    }

    [Fact]
    public void Transport_registered_by_the_host_is_kept()
    {
        var other = new OtherTransport();
        using var host = Host.CreateEmptyApplicationBuilder(null).UseClient(client =>
        {
            client.Services.AddKeyedSingleton<IConnectionFactory>(Assert.Single(KeysOf<IConnectionFactory>(client.Services)),
                (_, _) => other);
            client.AddOrleansMqClient();
        }, out var services).Build();
        Assert.Same(other, host.Services.GetRequiredKeyedService<IConnectionFactory>(Assert.Single(KeysOf<IConnectionFactory>(services))));
    }

    private static IReadOnlyCollection<object?> KeysOf<T>(IServiceCollection services) =>
        [.. services.Where(static service => service.IsKeyedService && service.ServiceType == typeof(T))
            .Select(static service => service.ServiceKey).Distinct()];

    private sealed class OtherTransport : IConnectionFactory
    {
        public ValueTask<ConnectionContext> ConnectAsync(EndPoint endpoint, CancellationToken cancellationToken = default) =>
            throw new NotSupportedException();
    }
}

internal static class HostBuilders
{
    public static HostApplicationBuilder UseClient(this HostApplicationBuilder builder, Action<IClientBuilder> configure,
        out IServiceCollection services)
    {
        services = builder.Services;
        builder.UseOrleansClient(client => configure(client.UseLocalhostClustering()));
        return builder;
    }

    public static HostApplicationBuilder UseSilo(this HostApplicationBuilder builder, Action<ISiloBuilder> configure,
        out IServiceCollection services)
    {
        services = builder.Services;
        builder.UseOrleans(silo => configure(silo.UseLocalhostClustering()));
        return builder;
    }
}
