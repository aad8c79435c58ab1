using System.Data.Common;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using OrleansMq.Api;
using OrleansMq.Gateways;

namespace OrleansMq.Tests.Chaos.Queues;

/// <summary>Where an Orleans client finds the cluster.</summary>
/// <param name="Database">The connection string of the membership's database.</param>
/// <param name="ClusterId">The cluster's name.</param>
internal sealed record OrleansAddress(string Database, string ClusterId);

/// <summary>The cluster as an Orleans client sees it.</summary>
internal sealed class OrleansConnection : IAsyncDisposable
{
    private static readonly TimeSpan RetryPause = TimeSpan.FromMilliseconds(500);

    private readonly IHost _host;

    private OrleansConnection(IHost host) => _host = host;

    public IServiceProvider Services => _host.Services;

    public IBroker Broker => _host.Services.GetRequiredService<IBroker>();

    /// <summary>Connects; waits while no silo lives, or the database of the membership is away.</summary>
    /// <param name="address">The cluster.</param>
    /// <param name="cancellationToken">Stops the wait.</param>
    /// <param name="configure">Adds to the client; null for nothing.</param>
    public static async Task<OrleansConnection> OpenAsync(OrleansAddress address, CancellationToken cancellationToken,
        Action<IClientBuilder>? configure = null)
    {
        while (true)
        {
            var host = HostOf(address, configure);
            try
            {
                await host.StartAsync(cancellationToken);
                return new OrleansConnection(host);
            }
            catch (DbException)
            {
                // Orleans reads the gateways once before it waits for one, and does not repeat that. What supervises a program starts it
                // again.
                host.Dispose();
            }
            await Task.Delay(RetryPause, cancellationToken);
        }
    }

    private static IHost HostOf(OrleansAddress address, Action<IClientBuilder>? configure) => new HostBuilder()
        .ConfigureLogging(static logging => logging.ClearProviders())
        .ConfigureServices(static services => services.AddSingleton<IHostLifetime, IgnoredSignals>())
        .UseOrleansClient(client =>
        {
            client.UsePostgreSqlClustering(address.Database);
            client.Configure<Orleans.Configuration.ClusterOptions>(options => options.ClusterId = options.ServiceId = address.ClusterId);
            configure?.Invoke(client);
            client.AddOrleansMqClient();
        })
        .Build();

    public async ValueTask DisposeAsync()
    {
        await _host.StopAsync();
        _host.Dispose();
    }
}
