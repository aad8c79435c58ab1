using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using Orleans.Configuration;
using Orleans.Streams;
using OrleansMq.Api;
using OrleansMq.Client;
using OrleansMq.Streams;
using OrleansMq.Tests.Cluster.Catalogue;
using OrleansMq.Tests.PostgreSql.Server;

namespace OrleansMq.Tests.OrleansPackages.Streams;

/// <summary>Subscriptions of an Orleans client of three silos, and of a service on one of them, while another one is lost.</summary>
public sealed class ClientFailoverTests(PostgreSqlFixture postgres) : ReplicatedClusterTests(postgres)
{
    private const int Streams = 6;
    private const int Events = 60;

    private protected override void ConfigureSilo(ISiloBuilder silo) => silo.AddOrleansMqStreams("test");

    [SkippableTheory]
    [InlineData("client-killed", false)]
    [InlineData("client-stopped", true)]
    public async Task Silo_that_is_lost_takes_no_event_of_a_client_or_a_service_along(string topic, bool isStopped)
    {
        await Cluster.Broker(1).CreateTopicAsync(new NewTopic(topic, 1, 3));
        await Cluster.UntilInSyncAsync(topic);
        var gateways = Cluster.Running.Select(broker => Cluster.Get<ILocalSiloDetails>(broker).GatewayAddress.Endpoint).ToArray();
        var identity = Cluster.Get<IOptions<ClusterOptions>>(1).Value;
        var builder = Host.CreateApplicationBuilder();
        builder.Logging.ClearProviders();
        builder.UseOrleansClient(client => client
            .UseStaticClustering(gateways)
            .Configure<ClusterOptions>(options => (options.ClusterId, options.ServiceId) = (identity.ClusterId, identity.ServiceId))
            .AddOrleansMqStreams("test"));
        using var host = builder.Build();
        await host.StartAsync();
        var provider = host.Services.GetRequiredKeyedService<IStreamProvider>("test");
        var victim = (await Cluster.Broker(1).DescribeTopicAsync(topic)).Partitions[0].Leader;
        var survivor = 1 + (victim % 3);
        var service = Cluster.Get<IServiceProvider>(survivor).GetProcessStreamProvider("test");
        var observers = Enumerable.Range(0, Streams * 2).Select(static _ => new Observer()).ToList();
        for (var key = 0; key < Streams; key++)
        {
            await provider.GetStream<Happened>(topic, $"{key}").SubscribeAsync(observers[key]);
            await service.GetStream<Happened>(topic, $"{key}").SubscribeAsync(observers[Streams + key]);
        }
        await using (var producer = new OrleansMqClient(Cluster.Broker(survivor)).CreateProducer<string, string>())
        {
            await SendAsync(producer, 0, Events / 2);
            var sending = SendAsync(producer, Events / 2, Events);
            if (isStopped)
                await Cluster.StopAsync(victim);
            else
                await Cluster.KillAsync(victim);
            await sending;
        }
        // Each once: the position is the process's.
        foreach (var observer in observers)
            await observer.ReceivedAsync(Enumerable.Range(0, Events));
        await host.StopAsync();

        async Task SendAsync(IProducer<string, string> producer, int from, int end)
        {
            for (var number = from; number < end; number++)
            {
                await Task.WhenAll(Enumerable.Range(0, Streams).Select(key =>
                    producer.SendAsync(new(topic, $"{key}", $$"""{"number":{{number}}}""")).AsTask()));
            }
        }
    }
}
