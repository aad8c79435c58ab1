using System.Net;
using System.Net.Http.Json;
using System.Text;
using System.Text.Json;
using OrleansMq.Hosting;
using OrleansMq.Tests.PostgreSql.Server;
using OrleansMq.VirtualHosts;
using RabbitMQ.Client;
using RabbitMQ.Client.Events;

namespace OrleansMq.Tests.Cluster.Amqp;

/// <summary>Queues that are neither durable nor exclusive, each in the memory of the broker where it was declared: the clients of all
/// brokers consume them.</summary>
public sealed class TransientQueueTests(PostgreSqlFixture postgres) : AmqpClientsTests(postgres)
{
    private const string Queue = "work";

    [SkippableFact]
    public async Task Consumers_of_all_brokers_share_what_publishers_of_all_send_and_the_queue_has_no_topic()
    {
        const int Count = 300;
        await DeclareInMemoryAsync(await ChannelAsync(1), 1, Queue);
        var received = new List<IReadOnlyCollection<string>>();
        foreach (var broker in Cluster.Running)
            received.Add(await ConsumeAsync(await ChannelAsync(broker), Queue));
        var channels = new List<IChannel>();
        foreach (var broker in Cluster.Running)
            channels.Add(await ChannelAsync(broker));
        await Task.WhenAll(channels.Select(async (channel, from) =>
        {
            for (var i = 0; i < Count; i++)
                await PublishAsync(channel, $"{from}-{i}");
        })).WaitAsync(Wait.Deadline);
        await Wait.UntilAsync(() => received.Sum(static one => one.Count) >= channels.Count * Count, "all messages are received");
        var all = received.SelectMany(static one => one).ToArray();
        Assert.Equal(channels.Count * Count, all.Distinct().Count());
        Assert.Equal(channels.Count * Count, all.Length);
        Assert.All(received, static one => Assert.NotEmpty(one));
        Assert.DoesNotContain(await Cluster.Broker(2).ListTopicsAsync(), static topic =>
            topic.Name.StartsWith("amqp", StringComparison.Ordinal));
    }

    [SkippableTheory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Messages_that_a_broker_that_goes_has_handed_out_come_to_others(bool isKilled)
    {
        var victim = Cluster.Running.First(broker => !Owns(broker));
        var home = Cluster.Running.First(broker => broker != victim);
        var channel = await ChannelAsync(home);
        await DeclareInMemoryAsync(channel, home, Queue);
        for (var i = 0; i < 10; i++)
            await PublishAsync(channel, $"{i}");
        var holder = await ChannelAsync(victim);
        for (var i = 0; i < 5; i++)
            Assert.NotNull(await holder.BasicGetAsync(Queue, autoAck: false));
        await (isKilled ? Cluster.KillAsync(victim) : Cluster.StopAsync(victim));
        var received = await ConsumeAsync(channel, Queue, static delivery =>
            $"{Encoding.UTF8.GetString(delivery.Body.Span)} {delivery.Redelivered}");
        await Wait.UntilAsync(() => received.Count >= 10, "all messages are received");
        Assert.Equal(Enumerable.Range(0, 10).Select(static i => $"{i} {i < 5}"), received.Order(StringComparer.Ordinal));
    }

    [SkippableFact]
    public async Task Queue_ends_with_its_broker_and_consumers_elsewhere_are_cancelled()
    {
        var victim = Cluster.Running.First(broker => !Owns(broker));
        var other = Cluster.Running.First(broker => broker != victim);
        await DeclareInMemoryAsync(await ChannelAsync(victim), victim, Queue);
        var channel = await ChannelAsync(other);
        var cancelled = new TaskCompletionSource();
        var consumer = new AsyncEventingBasicConsumer(channel);
        consumer.UnregisteredAsync += (_, _) =>
        {
            cancelled.TrySetResult();
            return Task.CompletedTask;
        };
        await channel.BasicConsumeAsync(Queue, autoAck: true, consumer);
        await Cluster.KillAsync(victim);
        await cancelled.Task.WaitAsync(Wait.Deadline);
        await Wait.UntilAsync(async () => await CodeOfAsync(other, Queue) == 404, "the queue has ended");
        // It may be declared again, at a broker that lives.
        await DeclareInMemoryAsync(channel, other, Queue);
        await PublishAsync(channel, "m").WaitAsync(Wait.Deadline);
    }

    [SkippableFact]
    public async Task Every_broker_lists_counts_gets_from_and_purges_the_queue_of_another()
    {
        await DeclareInMemoryAsync(await ChannelAsync(1), 1, Queue);
        await Wait.UntilAsync(() => Cluster.Running.All(broker =>
            Cluster.Get<ClusterVirtualHosts>(broker).Find("/")!.Topology.FindQueue(Queue) is not null), "all brokers know the queue");
        for (var i = 0; i < 3; i++)
            await PublishAsync(await ChannelAsync(2), $"{i}");
        foreach (var broker in Cluster.Running)
        {
            using var management = Management(broker);
            await Wait.UntilAsync(async () => (await management.GetFromJsonAsync<JsonElement>("/api/queues/%2F")).EnumerateArray()
                .Any(static queue => queue.GetProperty("name").GetString() == Queue && !queue.GetProperty("durable").GetBoolean()
                    && queue.TryGetProperty("messages_ready", out var ready) && ready.GetInt64() == 3),
                $"broker {broker} lists three messages");
            using var answer = await management.PostAsJsonAsync($"/api/queues/%2F/{Queue}/get",
                new { count = 1, ackmode = "ack_requeue_true", encoding = "auto" });
            var got = Assert.Single((await answer.Content.ReadFromJsonAsync<JsonElement>()).EnumerateArray());
            Assert.Equal("0", got.GetProperty("payload").GetString());
        }
        using (var management = Management(3))
        {
            using var purged = await management.DeleteAsync(new Uri($"/api/queues/%2F/{Queue}/contents", UriKind.Relative));
            Assert.Equal(HttpStatusCode.NoContent, purged.StatusCode);
        }
        Assert.Equal(0u, await (await ChannelAsync(2)).MessageCountAsync(Queue));
    }

    [SkippableFact]
    public async Task Queue_expires_when_no_broker_uses_it()
    {
        var home = await ChannelAsync(1);
        await DeclareInMemoryAsync(home, 1, Queue, arguments: new Dictionary<string, object?> { ["x-expires"] = 2_000 });
        // A client of another broker keeps it.
        var other = await ChannelAsync(2);
        var tag = await other.BasicConsumeAsync(Queue, autoAck: true, new AsyncEventingBasicConsumer(other));
        await Task.Delay(TimeSpan.FromSeconds(6));
        Assert.NotNull(Cluster.Get<ClusterVirtualHosts>(1).Find("/")!.Topology.FindQueue(Queue));
        await other.BasicCancelAsync(tag);
        await Wait.UntilAsync(() => Cluster.Get<ClusterVirtualHosts>(1).Find("/")!.Topology.FindQueue(Queue) is null,
            "the queue has expired");
    }

    /// <inheritdoc/>
    private protected override void Extend(IBrokerBuilder builder)
    {
        base.Extend(builder);
        builder.AddAmqpManagement(static options => options with { Listen = new IPEndPoint(IPAddress.Loopback, 0) });
    }

    private static Task PublishAsync(IChannel channel, string body) =>
        channel.BasicPublishAsync("", Queue, mandatory: true, Bytes(body)).AsTask();
}
