using System.Net;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Orleans.Configuration;
using OrleansMq;
using OrleansMq.Samples.Orders;

// A service that uses a cluster like any .NET service: it references only the grain interfaces and Orleans' client.
if (args is not [var cluster, var gateways, ..] || (args.Length > 2 && !int.TryParse(args[2], out _)))
{
    Console.Error.WriteLine("""
        Usage: orders CLUSTER GATEWAYS [ORDERS]

          CLUSTER    the cluster's id
          GATEWAYS   where its silos take Orleans clients, with commas between: address:port,address:port
          ORDERS     how many orders to take; 1000 without it

        'omq cluster up' prints the first two.
        """);
    return 2;
}
var count = args.Length > 2 ? int.Parse(args[2], System.Globalization.CultureInfo.InvariantCulture) : 1000;

using var stop = new CancellationTokenSource();
Console.CancelKeyPress += (_, signal) =>
{
    signal.Cancel = true;
    stop.Cancel();
};

var host = Host.CreateApplicationBuilder();
host.Logging.ClearProviders();
host.UseOrleansClient(client => client
    .UseStaticClustering([.. gateways.Split(',').Select(IPEndPoint.Parse)])
    .Configure<ClusterOptions>(options => (options.ClusterId, options.ServiceId) = (cluster, cluster))
    // The silo that is tried first may be the one that is down.
    .UseConnectionRetryFilter(async (_, cancellationToken) =>
    {
        await Task.Delay(500, cancellationToken);
        return true;
    }));
using var running = host.Build();
try
{
    await running.StartAsync(stop.Token);
    await new OrderService(running.Services.GetRequiredService<IClusterClient>()).RunAsync(count, stop.Token);
    await running.StopAsync(CancellationToken.None);
    return 0;
}
catch (Exception e) when (e is BrokerException or TimeoutException or OrleansException)
{
    // Retried for a minute without success, or an error that a retry does not fix.
    Console.Error.WriteLine($"orders: {e.Message}");
    return 1;
}
catch (OperationCanceledException)
{
    Console.Error.WriteLine("Interrupted.");
    return 1;
}
