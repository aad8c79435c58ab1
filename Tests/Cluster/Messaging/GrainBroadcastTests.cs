using System.Collections.Concurrent;
using Microsoft.Extensions.DependencyInjection;
using OrleansMq.Client;
using OrleansMq.Tests.PostgreSql.Server;

namespace OrleansMq.Tests.Cluster.Messaging;

/// <summary>Broadcasts of grains on three silos.</summary>
public sealed class GrainBroadcastTests(PostgreSqlFixture postgres) : ReplicatedClusterTests(postgres)
{
    private const string Topic = "tell-silos";

    [SkippableFact]
    public async Task Broadcast_of_a_grain_comes_to_the_handler_of_every_silo_in_order_per_key()
    {
        const int Messages = 60;
        foreach (var number in Enumerable.Range(0, Messages))
        {
            // Grains on any of the silos.
            await Cluster.Get<IGrainFactory>(1).GetGrain<ISiloAnnouncerGrain>($"{number % 5}")
                .AnnounceAsync($"{number % 4}", $"{number}", CancellationToken.None);
        }
        foreach (var broker in Enumerable.Range(1, 3))
        {
            var heard = SiloNewsHandler.Heard.GetOrAdd(Cluster.Get<ILocalSiloDetails>(broker).SiloAddress, static _ => []);
            await Wait.UntilAsync(() => heard.Count >= Messages, $"silo {broker} has all");
            for (var key = 0; key < 4; key++)
            {
                Assert.Equal(Enumerable.Range(0, Messages).Where(number => number % 4 == key).Select(static number => $"{number}"),
                    heard.Where(message => message.Key == $"{key}").Select(static message => message.News));
            }
        }
    }

    // The first silo that starts creates the topic, alone.
    private protected override void ConfigureSilo(ISiloBuilder silo) => silo.AddOrleansMqClient().AddTopic(Topic, 2,
            new Dictionary<string, string> { ["min.insync.replicas"] = "1" }, replicationFactor: 1)
        .AddProducer<string, string>().AddBroadcastHandler<string, string, SiloNewsHandler>(new() { Topic = Topic });
}

public interface ISiloAnnouncerGrain : IGrainWithStringKey
{
    Task AnnounceAsync(string about, string news, CancellationToken cancellationToken);
}

/// <summary>Publishes to all silos.</summary>
public sealed class SiloAnnouncerGrain(IProducer<string, string> producer) : Grain, ISiloAnnouncerGrain
{
    public Task AnnounceAsync(string about, string news, CancellationToken cancellationToken) =>
        producer.SendAsync(new("tell-silos", about, news), cancellationToken).AsTask();
}

/// <summary>Notes what its silo hears.</summary>
internal sealed class SiloNewsHandler(ILocalSiloDetails silo) : IMessageHandler<string, string>
{
    public static ConcurrentDictionary<SiloAddress, ConcurrentQueue<(string Key, string News)>> Heard { get; } = [];

    public ValueTask HandleAsync(ConsumeResult<string, string> record, CancellationToken cancellationToken)
    {
        Heard.GetOrAdd(silo.SiloAddress, static _ => []).Enqueue((record.Key, record.Value));
        return default;
    }
}
