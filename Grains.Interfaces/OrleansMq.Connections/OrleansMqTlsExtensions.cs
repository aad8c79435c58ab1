using Microsoft.Extensions.DependencyInjection;
using Orleans.Configuration;
using OrleansMq.Connections;

namespace Orleans.Hosting;

/// <summary>TLS for silos and Orleans clients.</summary>
public static class OrleansMqTlsExtensions
{
    /// <summary>
    /// Puts TLS under all connections of a silo, to other silos and from Orleans clients:
    /// <c>silo.UseClusterTls(new ClusterTlsOptions { Certificate = new("silo.pem") { KeyFile = "silo.key" }, Authorities = "ca.pem" })</c>.
    /// Both ends of a connection have a certificate of the cluster's authorities; whoever has none is refused, and logged. Brokers that the
    /// <c>orleansmq</c> program hosts have it by <c>--cluster-tls-certificate</c>. The start fails with
    /// <see cref="OrleansMq.Tls.TlsConfigurationException"/> where a file cannot be used. Files that are replaced later count for new
    /// connections.
    /// </summary>
    /// <param name="silo">The silo.</param>
    /// <param name="options">Certificate and authorities.</param>
    public static ISiloBuilder UseClusterTls(this ISiloBuilder silo, ClusterTlsOptions options)
    {
        ArgumentNullException.ThrowIfNull(silo);
        Add(silo.Services, options);
        silo.Services.AddOptions<SiloConnectionOptions>().Configure<ClusterTls>(static (connections, tls) =>
        {
            connections.ConfigureSiloInboundConnection(tls.Accept);
            connections.ConfigureSiloOutboundConnection(tls.Connect);
            connections.ConfigureGatewayInboundConnection(tls.AcceptClients);
        });
        return silo;
    }

    /// <summary>
    /// Puts TLS under an Orleans client's connections to a cluster whose silos have it:
    /// <c>client.UseClusterTls(new ClusterTlsOptions { Certificate = new("client.pem"), Authorities = "ca.pem" })</c>.
    /// </summary>
    /// <param name="client">The Orleans client.</param>
    /// <param name="options">Certificate and authorities. The certificate lets the client in: it does not name it to the brokers, as a
    /// login does.</param>
    public static IClientBuilder UseClusterTls(this IClientBuilder client, ClusterTlsOptions options)
    {
        ArgumentNullException.ThrowIfNull(client);
        Add(client.Services, options);
        client.Services.AddOptions<ClientConnectionOptions>().Configure<ClusterTls>(static (connections, tls) =>
            connections.ConfigureConnection(tls.Connect));
        return client;
    }

    private static void Add(IServiceCollection services, ClusterTlsOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        if (services.Any(static service => service.ServiceType == typeof(ClusterTls)))
            throw new InvalidOperationException("A silo or Orleans client has one certificate of its cluster, and has it already.");
        services.AddSingleton(provider => ActivatorUtilities.CreateInstance<ClusterTls>(provider, options));
    }
}
