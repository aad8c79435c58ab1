using System.Net;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using OrleansMq.Gateways;
using OrleansMq.Grains.Hosting;

namespace OrleansMq.Tests.Chaos.Subscriptions;

/// <summary>The order of a silo with subscribers, as JSON.</summary>
/// <param name="BrokerId">Its broker id.</param>
/// <param name="Data">Its data directory.</param>
/// <param name="Events">The directory to which its subscribers write.</param>
/// <param name="Database">The connection string of the cluster's database.</param>
/// <param name="HttpPort">The port of its HTTP API.</param>
/// <param name="SiloPort">Orleans' port for silos.</param>
/// <param name="GatewayPort">Orleans' port for clients.</param>
internal sealed record SubscriptionOrder(int BrokerId, string Data, string Events, string Database, int HttpPort, int SiloPort,
    int GatewayPort);

/// <summary>A silo that is a broker, and has grains with explicit subscriptions.</summary>
internal static class SubscriptionProgram
{
    /// <summary>The program's first argument.</summary>
    public const string Argument = "subscriptions";

    /// <summary>The line of output that tells that the silo serves.</summary>
    public const string Serves = "The silo serves.";

    // No event may become a dead letter.
    private const int Attempts = 750;

    public static async Task RunAsync(SubscriptionOrder order, CancellationToken stop)
    {
        var builder = Host.CreateApplicationBuilder();
        builder.Logging.AddFilter("Orleans", LogLevel.Warning).AddFilter("Microsoft.AspNetCore", LogLevel.Warning)
            .AddFilter("Polly", LogLevel.Warning);
        builder.Services.AddSingleton<IHostLifetime, IgnoredSignals>();
        builder.Services.AddSingleton(_ => new SubscriptionFile(order.Events));
        var http = new IPEndPoint(IPAddress.Loopback, order.HttpPort);
        builder.UseOrleans(silo =>
        {
            silo.AddOrleansMq(options => options with { BrokerId = new BrokerId(order.BrokerId), DataDirectory = order.Data },
                    new BrokerClusterOptions
                    {
                        PostgreSql = order.Database, ClusterId = SubscriptionLoad.ClusterId, Http = $"http://{http}",
                    })
                .AddHttp(options => options with { Listen = http });
            silo.ConfigureEndpoints(IPAddress.Loopback, order.SiloPort, order.GatewayPort);
            silo.AddOrleansMqStreams(SubscriptionLoad.Provider, static options => options with
            {
                MaxAttempts = Attempts,
                RetryDelay = TimeSpan.FromMilliseconds(50),
                MaxRetryDelay = TimeSpan.FromSeconds(2),
                SessionTimeout = TimeSpan.FromSeconds(5),
            });
        });
        using var host = builder.Build();
        await host.StartAsync(stop);
        Console.Out.WriteLine(Serves);
        await host.WaitForShutdownAsync(stop);
    }
}
