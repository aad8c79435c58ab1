using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using OrleansMq.Tests.Chaos.Running;

namespace OrleansMq.Tests.ClusterBenchmarks;

/// <summary>A cluster of processes that a benchmark runs on, three if it does not ask for others.</summary>
internal static class ClusterForBenchmarks
{
    public const int Silos = 3;

    /// <summary>Starts it, runs the benchmark, and leaves nothing behind.</summary>
    /// <param name="directory">Where everything goes.</param>
    /// <param name="benchmark">What to run.</param>
    /// <param name="silos">How many brokers.</param>
    /// <param name="settings">Of the brokers, as environment variables; null for none.</param>
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

    /// <summary>An Orleans client, as a .NET service has it. Without settings from files: the default host watches everything below the
    /// working directory for changes of them, also the brokers' logs, and every append would tell it.</summary>
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
