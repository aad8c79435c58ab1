using Microsoft.Extensions.DependencyInjection;
using Orleans.TestingHost;
using OrleansMq.Api;
using OrleansMq.Brokers;
using OrleansMq.Grains.Brokers;

namespace OrleansMq.Tests.Cluster;

/// <summary>A cluster of one silo in this process, with an Orleans client beside it, over a data directory.</summary>
internal sealed class TestSilo : IAsyncDisposable
{
    private readonly InProcessTestCluster _cluster;

    private TestSilo(InProcessTestCluster cluster)
    {
        _cluster = cluster;
        Services = cluster.GetSiloServiceProvider();
        Inside = Services.GetRequiredService<IBroker>();
        Outside = new GrainBroker(cluster.Client);
    }

    /// <summary>The broker of a service on the silo: calls to partitions active here are direct.</summary>
    public IBroker Inside { get; }

    /// <summary>The broker of an Orleans client: every operation is a grain call.</summary>
    public IBroker Outside { get; }

    /// <summary>The silo's services.</summary>
    public IServiceProvider Services { get; }

    /// <summary>The Orleans client.</summary>
    public IClusterClient Client => _cluster.Client;

    public static async Task<TestSilo> StartAsync(string dataDirectory, Action<OrleansMqSiloBuilder>? silo = null,
        Action<IClientBuilder>? client = null, Func<BrokerOptions, BrokerOptions>? configure = null)
    {
        var builder = new InProcessTestClusterBuilder(1);
        builder.ConfigureSilo((_, host) =>
        {
            var broker = host.AddOrleansMq(options =>
            {
                var configured = options with { DataDirectory = dataDirectory };
                return configure?.Invoke(configured) ?? configured;
            });
            silo?.Invoke(broker);
        });
        if (client is not null)
            builder.ConfigureClient(client);
        var cluster = builder.Build();
        try
        {
            await cluster.DeployAsync();
            return new TestSilo(cluster);
        }
        catch
        {
            await cluster.DisposeAsync();
            throw;
        }
    }

    /// <summary>Deactivates a grain and waits until it is gone.</summary>
    public Task DeactivateAsync(IAddressable grain) => _cluster.DeactivateAsync(grain);

    /// <summary>Stops the silo like a shutdown of its process, and leaves its services.</summary>
    public Task StopAsync() => _cluster.StopAllSilosAsync();

    /// <summary>Stops the silo, unless it has stopped, and disposes of it.</summary>
    public async ValueTask DisposeAsync()
    {
        await _cluster.StopAllSilosAsync();
        await _cluster.DisposeAsync();
    }
}

/// <summary>A directory that is deleted at the end.</summary>
internal sealed class TempDirectory : IDisposable
{
    public string Path { get; } = Directory.CreateTempSubdirectory("omq-cluster-").FullName;

    public void Dispose() => Directory.Delete(Path, recursive: true);
}
