using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Options;
using Orleans.Configuration;
using OrleansMq.Connections;
using OrleansMq.Grains.Hosting;
using OrleansMq.Tests.Shared;

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

    /// <summary>Before the handshake they are bytes of strangers; afterwards <see cref="ClusterTls"/> tells of them.</summary>
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Bytes_below_TLS_name_no_client_that_is_gone(bool hasTls)
    {
        using var files = new TestCertificateFiles();
        var told = new ToldConnections();
        using var host = Host.CreateEmptyApplicationBuilder(null).UseSilo(silo =>
        {
            silo.AddOrleansMq();
            silo.Services.AddSingleton<IGatewayConnections>(told);
            if (hasTls)
                silo.UseClusterTls(new ClusterTlsOptions
                {
                    Certificate = files.Write(files.Authority.IssueMember()),
                    Authorities = files.AuthorityFile,
                });
        }, out var services).Build();
        var key = KeysOf<IConnectionListenerFactory>(services).First();
        var factory = host.Services.GetRequiredKeyedService<IConnectionListenerFactory>(key);
        var endpoints = host.Services.GetRequiredService<IOptions<EndpointOptions>>().Value;
        endpoints.GatewayListeningEndpoint = new IPEndPoint(IPAddress.Loopback, FreePort.Choose());
        await using var gateway = await factory.BindAsync(endpoints.GatewayListeningEndpoint);
        var accepting = gateway.AcceptAsync();
        using var stranger = new TcpClient();
        await stranger.ConnectAsync(endpoints.GatewayListeningEndpoint).WaitAsync(Wait.Deadline);
        await stranger.GetStream().WriteAsync(new byte[] { 1, 2, 3 });
        var accepted = await accepting.AsTask().WaitAsync(Wait.Deadline);
        var read = await accepted!.Transport.Input.ReadAtLeastAsync(3).AsTask().WaitAsync(Wait.Deadline);
        accepted.Transport.Input.AdvanceTo(read.Buffer.End);
        // It waits for all that the connection does.
        await accepted.DisposeAsync().AsTask().WaitAsync(Wait.Deadline);
        Assert.Equal(hasTls ? 0 : 1, told.Count);
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

    private sealed class ToldConnections : IGatewayConnections
    {
        private int _count;

        public int Count => Volatile.Read(ref _count);

        public void OnConnectionEnded(byte[] beginning) => Interlocked.Increment(ref _count);
    }

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
