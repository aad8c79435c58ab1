using System.Net;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging.Abstractions;
using OrleansMq.Compression;
using OrleansMq.Grains.Hosting;
using OrleansMq.Grains.Replication;
using OrleansMq.Silo.Cluster;

namespace OrleansMq.Tests.Cluster.Hosting;

/// <summary>A silo of a replicated cluster in this process, over real sockets and a real database, configured like a user's own
/// host.</summary>
internal sealed class ReplicatedTestSilo : IAsyncDisposable
{
    private readonly IHost _host;

    private ReplicatedTestSilo(IHost host) => _host = host;

    public IServiceProvider Services => _host.Services;

    public ClusterMembership Membership => Services.GetRequiredService<ClusterMembership>();

    public ReplicaServices Others => Services.GetRequiredService<ReplicaServices>();

    public static async Task<ReplicatedTestSilo> StartAsync(string database, string directory, int broker,
        Func<BrokerClusterOptions, BrokerClusterOptions>? change = null, Action<ISiloBuilder>? configure = null)
    {
        var ports = ClusterPorts.Choose(0, 0);
        var cluster = new BrokerClusterOptions
        {
            PostgreSql = database,
            Endpoints = new SiloEndpoints(IPAddress.Loopback, ports.Silo, ports.Gateway),
            Exit = (code, reason) => throw new InvalidOperationException($"Exit {code}: {reason}"),
        };
        var host = SiloHosts.Build(NullLoggerFactory.Instance, silo =>
        {
            silo.AddOrleansMq(options => options with { BrokerId = new BrokerId(broker), DataDirectory = directory,
                Codecs = StandardCodecs.All },
                change?.Invoke(cluster) ?? cluster);
            configure?.Invoke(silo);
        });
        try
        {
            await host.StartAsync();
            return new ReplicatedTestSilo(host);
        }
        catch
        {
            await ((IAsyncDisposable)host).DisposeAsync();
            throw;
        }
    }

    public async ValueTask DisposeAsync()
    {
        await _host.StopAsync();
        await ((IAsyncDisposable)_host).DisposeAsync();
    }
}
