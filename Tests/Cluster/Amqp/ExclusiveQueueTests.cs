using System.Net;
using System.Net.Http.Json;
using System.Text;
using System.Text.Json;
using OrleansMq.Hosting;
using OrleansMq.Tests.PostgreSql.Server;
using RabbitMQ.Client;
using RabbitMQ.Client.Exceptions;

namespace OrleansMq.Tests.Cluster.Amqp;

/// <summary>Exclusive queues, each in the memory of its connection's broker: the clients of the others publish to them.</summary>
public sealed class ExclusiveQueueTests(PostgreSqlFixture postgres) : AmqpClientsTests(postgres)
{
    [SkippableFact]
    public async Task Messages_of_other_brokers_come_in_their_order_and_the_queue_has_no_topic()
    {
        const int Count = 1_000;
        var home = await ChannelAsync(1);
        await DeclareAsync(home, 1, "replies");
        var received = await ConsumeAsync(home, "replies");
        var published = new List<Task>();
        foreach (var broker in new[] { 2, 3 })
        {
            var channel = await ChannelAsync(broker);
            published.AddRange(Enumerable.Range(0, Count).Select(i =>
                channel.BasicPublishAsync("", "replies", mandatory: true, Bytes($"{broker}-{i}")).AsTask()));
        }
        await Task.WhenAll(published).WaitAsync(Wait.Deadline);
        await Wait.UntilAsync(() => received.Count == 2 * Count, "all messages are received");
        foreach (var broker in new[] { 2, 3 })
        {
            var own = received.Where(text => text.StartsWith($"{broker}-", StringComparison.Ordinal));
            Assert.Equal(Enumerable.Range(0, Count).Select(i => $"{broker}-{i}"), own);
        }
        Assert.DoesNotContain(await Cluster.Broker(2).ListTopicsAsync(), static topic =>
            topic.Name.StartsWith("amqp", StringComparison.Ordinal));
    }

    [SkippableFact]
    public async Task Publishes_after_the_end_of_the_connection_are_returned()
    {
        var (home, other) = (await ChannelAsync(1), await ChannelAsync(2));
        await DeclareAsync(home, 1, "replies");
        await PublishAsync(other, "replies").WaitAsync(Wait.Deadline);
        await ConnectionTo(1).CloseAsync();
        await Wait.UntilAsync(async () => await IsReturnedAsync(other, "replies"), "a message is returned");
        Assert.True(await IsReturnedAsync(other, "replies"));
        // A queue of the same name is another one.
        var next = await ChannelAsync(3);
        await DeclareAsync(next, 3, "replies");
        await PublishAsync(other, "replies").WaitAsync(Wait.Deadline);
        Assert.Equal(1u, await next.MessageCountAsync("replies"));
    }

    [SkippableTheory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Publishes_to_a_broker_that_goes_end_and_are_returned_at_last(bool isKilled)
    {
        var victim = Cluster.Running.First(broker => !Owns(broker));
        var (home, other) = (await ChannelAsync(victim), await ChannelAsync(Cluster.Running.First(broker => broker != victim)));
        await DeclareAsync(home, victim, "replies");
        var ended = 0;
        var publishing = Task.Run(async () =>
        {
            while (!await IsReturnedAsync(other, "replies"))
                Interlocked.Increment(ref ended);
        });
        await Wait.UntilAsync(() => Volatile.Read(ref ended) > 10, "messages are published");
        await (isKilled ? Cluster.KillAsync(victim) : Cluster.StopAsync(victim));
        await publishing.WaitAsync(2 * Wait.Deadline);
    }

    [SkippableFact]
    public async Task Full_queue_refuses_messages_of_other_brokers_and_they_count_and_purge_it()
    {
        var (home, other) = (await ChannelAsync(1), await ChannelAsync(2));
        await DeclareAsync(home, 1, "replies", new Dictionary<string, object?> { ["x-max-length"] = 3, ["x-overflow"] = "reject-publish" });
        for (var i = 0; i < 3; i++)
            await PublishAsync(other, "replies").WaitAsync(Wait.Deadline);
        var refused = await Assert.ThrowsAnyAsync<PublishException>(() => PublishAsync(other, "replies").WaitAsync(Wait.Deadline));
        Assert.False(refused.IsReturn);

        foreach (var broker in Cluster.Running)
        {
            using var management = Management(broker);
            await Wait.UntilAsync(async () => (await management.GetFromJsonAsync<JsonElement>("/api/queues/%2F")).EnumerateArray()
                .Any(static queue => queue.GetProperty("name").GetString() == "replies" && queue.GetProperty("exclusive").GetBoolean()
                    && queue.TryGetProperty("messages_ready", out var ready) && ready.GetInt64() == 3),
                $"broker {broker} lists three messages");
        }
        using (var management = Management(3))
        {
            using var purged = await management.DeleteAsync(new Uri("/api/queues/%2F/replies/contents", UriKind.Relative));
            Assert.Equal(HttpStatusCode.NoContent, purged.StatusCode);
            Assert.Equal(0u, await home.MessageCountAsync("replies"));
            await PublishAsync(other, "replies").WaitAsync(Wait.Deadline);
            using var deleted = await management.DeleteAsync(new Uri("/api/queues/%2F/replies", UriKind.Relative));
            Assert.Equal(HttpStatusCode.NoContent, deleted.StatusCode);
        }
        await Wait.UntilAsync(async () => await IsReturnedAsync(other, "replies"), "the queue has ended");
    }

    [SkippableFact]
    public async Task Dead_letters_of_a_durable_queue_get_to_another_broker()
    {
        var (home, other) = (await ChannelAsync(1), await ChannelAsync(2));
        await DeclareAsync(home, 1, "dead");
        await other.QueueDeclareAsync("orders", durable: true, exclusive: false, autoDelete: false, new Dictionary<string, object?>
        {
            ["x-dead-letter-exchange"] = "",
            ["x-dead-letter-routing-key"] = "dead",
        });
        var letters = await ConsumeAsync(home, "dead");
        for (var i = 0; i < 10; i++)
            await other.BasicPublishAsync("", "orders", mandatory: true, new BasicProperties { Persistent = true }, Bytes($"{i}"));
        for (var i = 0; i < 10; i++)
        {
            BasicGetResult? got = null;
            await Wait.UntilAsync(async () => (got = await other.BasicGetAsync("orders", autoAck: false)) is not null, "a message");
            Assert.Equal($"{i}", Encoding.UTF8.GetString(got!.Body.Span));
            await other.BasicRejectAsync(got.DeliveryTag, requeue: false);
        }
        await Wait.UntilAsync(() => letters.Count == 10, "the dead letters are received");
        Assert.Equal(Enumerable.Range(0, 10).Select(static i => $"{i}"), letters.Order(StringComparer.Ordinal));
    }

    /// <inheritdoc/>
    private protected override void Extend(IBrokerBuilder builder)
    {
        base.Extend(builder);
        builder.AddAmqpManagement(static options => options with { Listen = new IPEndPoint(IPAddress.Loopback, 0) });
    }

    private Task DeclareAsync(IChannel channel, int broker, string queue, IDictionary<string, object?>? arguments = null) =>
        DeclareInMemoryAsync(channel, broker, queue, isExclusive: true, arguments: arguments);

    private static Task PublishAsync(IChannel channel, string queue) =>
        channel.BasicPublishAsync("", queue, mandatory: true, Bytes("m")).AsTask();

    // What is not confirmed is not returned either.
    private static async Task<bool> IsReturnedAsync(IChannel channel, string queue)
    {
        try
        {
            await PublishAsync(channel, queue).WaitAsync(Wait.Deadline);
            return false;
        }
        catch (PublishException failed)
        {
            return failed.IsReturn;
        }
    }
}
