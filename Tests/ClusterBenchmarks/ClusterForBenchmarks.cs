using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using OrleansMq.Tests.Chaos.Running;

namespace OrleansMq.Tests.ClusterBenchmarks;

/// <summary>A cluster of processes for a benchmark, of three brokers by default.</summary>
internal static class ClusterForBenchmarks
{
    public const int Silos = 3;

    /// <summary>Starts a cluster, runs the benchmark, and cleans up.</summary>
    /// <param name="directory">The directory of all files.</param>
    /// <param name="benchmark">The benchmark.</param>
    /// <param name="silos">The number of brokers.</param>
    /// <param name="settings">Settings of the brokers, as environment variables; null for none.</param>
    public static async Task<int> RunAsync(string directory, Func<LocalCluster, Task> benchmark, int silos = Silos,
        IReadOnlyDictionary<string, string>? settings = null)
    {
        try
        {
            using var log = new RunLog(Path.Combine(directory, "run.log"), static _ => { });
            await using var cluster = await LocalCluster.StartAsync(Path.Combine(directory, "c"), silos, log, settings);
            if (cluster is null)
            {
                Console.Error.WriteLine(
                    "This needs PostgreSQL's server programs; on Debian and Ubuntu they are in the package 'postgresql'.");
                return 1;
            }
            await benchmark(cluster);
            return 0;
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }
    }

    /// <summary>Creates an Orleans client like that of a .NET service, but without configuration files. The default host watches everything
    /// below the working directory for changes, including the brokers' logs, and every append would notify it.</summary>
    public static IHost Connect(LocalCluster cluster) => new HostBuilder()
        .ConfigureLogging(logging => logging.ClearProviders())
        .UseOrleansClient(client =>
        {
            client.UsePostgreSqlClustering(cluster.Database.ConnectionString());
            client.Configure<Orleans.Configuration.ClusterOptions>(options => options.ClusterId = options.ServiceId = cluster.ClusterId);
            client.AddOrleansMqClient();
        })
        .Build();
}
