using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using OrleansMq.Api;

namespace OrleansMq.Tests.Chaos.Queues;

/// <summary>Where an Orleans client finds the cluster.</summary>
/// <param name="Database">The connection string of the membership's database.</param>
/// <param name="ClusterId">The cluster's name.</param>
internal sealed record OrleansAddress(string Database, string ClusterId);

/// <summary>The cluster as an Orleans client sees it.</summary>
internal sealed class OrleansConnection : IAsyncDisposable
{
    private readonly IHost _host;

    private OrleansConnection(IHost host) => _host = host;

    public IBroker Broker => _host.Services.GetRequiredService<IBroker>();

    /// <summary>Connects; waits while no silo lives.</summary>
    public static async Task<OrleansConnection> OpenAsync(OrleansAddress address, CancellationToken cancellationToken)
    {
        var host = new HostBuilder()
            .ConfigureLogging(static logging => logging.ClearProviders())
            .UseOrleansClient(client =>
            {
                client.UsePostgreSqlClustering(address.Database);
                client.Configure<Orleans.Configuration.ClusterOptions>(options =>
                    options.ClusterId = options.ServiceId = address.ClusterId);
                client.AddOrleansMqClient();
            })
            .Build();
        await host.StartAsync(cancellationToken);
        return new OrleansConnection(host);
    }

    public async ValueTask DisposeAsync()
    {
        await _host.StopAsync();
        _host.Dispose();
    }
}
