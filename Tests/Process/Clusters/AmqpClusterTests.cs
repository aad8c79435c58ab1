using System.Collections.Concurrent;
using System.Net;
using System.Text;
using RabbitMQ.Client;
using RabbitMQ.Client.Events;
using RabbitMQ.Client.Exceptions;

namespace OrleansMq.Tests.Process.Clusters;

/// <summary>RabbitMQ's .NET client over a cluster of three silos that loses the leader of its queue.</summary>
public sealed class AmqpClusterTests
{
    private const string Queue = "orders";
    private const string Topic = "amqp." + Queue;
    private const int Messages = 2000;
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(120);

    [SkippableFact]
    public async Task Confirmed_messages_all_come_and_committed_ones_come_once_while_the_queues_leader_is_killed()
    {
        await using var cluster = await RunningCluster.UpAsync(3, "--amqp");
        await using (var connection = await ConnectAsync(cluster, 1))
        await using (var channel = await connection.CreateChannelAsync())
            await channel.QueueDeclareAsync(Queue, durable: true, exclusive: false, autoDelete: false,
                new Dictionary<string, object?> { ["x-queue-type"] = "quorum" });
        var leader = (await cluster.LedAsync(Topic)).Single();
        var others = cluster.Brokers.Keys.Where(broker => broker != leader).ToArray();

        using var deadline = new CancellationTokenSource(Patience);
        var confirmed = new ConcurrentDictionary<string, bool>();
        var committed = new ConcurrentDictionary<string, int>();
        var isPublished = false;
        var consuming = ConsumeAsync(cluster, others[1], committed, () => Volatile.Read(ref isPublished)
            && confirmed.Keys.All(committed.ContainsKey), deadline.Token);
        var publishing = PublishAsync(cluster, others[0], confirmed, deadline.Token);
        while (committed.Count < Messages / 4)
            await Task.Delay(10, deadline.Token);
        cluster.Kill(leader);
        await publishing;
        Volatile.Write(ref isPublished, true);
        await consuming;

        Assert.Equal(Messages, confirmed.Count);
        // In force once the commit was answered: no later delivery.
        Assert.DoesNotContain(committed, static one => one.Value > 0);
    }

    // Publishes each message until it is confirmed, on one connection: none of these brokers dies.
    private static async Task PublishAsync(RunningCluster cluster, int broker, ConcurrentDictionary<string, bool> confirmed,
        CancellationToken deadline)
    {
        await using var connection = await ConnectAsync(cluster, broker);
        await using var channel = await connection.CreateChannelAsync(new CreateChannelOptions(publisherConfirmationsEnabled: true,
            publisherConfirmationTrackingEnabled: true), deadline);
        var persistent = new BasicProperties { Persistent = true };
        for (var (number, attempt) = (0, 0); number < Messages; attempt++)
        {
            var text = $"{number}.{attempt}";
            try
            {
                await channel.BasicPublishAsync("", Queue, mandatory: true, persistent, Encoding.UTF8.GetBytes(text), deadline);
                confirmed[text] = true;
                number++;
            }
            catch (PublishException)
            {
                // Nacked, so its outcome is unknown: it is published again, as another message.
            }
        }
    }

    // Acknowledges in transactions. Counts the deliveries of each message after the commit that acknowledged it.
    private static async Task ConsumeAsync(RunningCluster cluster, int broker, ConcurrentDictionary<string, int> committed,
        Func<bool> isDone, CancellationToken deadline)
    {
        while (!isDone())
        {
            try
            {
                await using var connection = await ConnectAsync(cluster, broker);
                await using var channel = await connection.CreateChannelAsync(cancellationToken: deadline);
                await channel.TxSelectAsync(deadline);
                await channel.BasicQosAsync(0, 50, global: false, deadline);
                var deliveries = new ConcurrentQueue<BasicDeliverEventArgs>();
                var consumer = new AsyncEventingBasicConsumer(channel);
                consumer.ReceivedAsync += (_, delivery) =>
                {
                    deliveries.Enqueue(new BasicDeliverEventArgs(delivery.ConsumerTag, delivery.DeliveryTag, delivery.Redelivered,
                        delivery.Exchange, delivery.RoutingKey, delivery.BasicProperties, delivery.Body.ToArray(),
                        delivery.CancellationToken));
                    return Task.CompletedTask;
                };
                await channel.BasicConsumeAsync(Queue, autoAck: false, consumer, deadline);
                while (!isDone())
                {
                    if (!await CommitAsync(channel, deliveries, committed, deadline))
                        await Task.Delay(10, deadline);
                }
            }
            catch (Exception broken) when (broken is OperationInterruptedException or AlreadyClosedException)
            {
                // A commit without a proof ends the connection: what it acknowledged may come again.
            }
        }
    }

    private static async Task<bool> CommitAsync(IChannel channel, ConcurrentQueue<BasicDeliverEventArgs> deliveries,
        ConcurrentDictionary<string, int> committed, CancellationToken deadline)
    {
        var texts = new List<string>();
        while (texts.Count < 20 && deliveries.TryDequeue(out var delivery))
        {
            texts.Add(Encoding.UTF8.GetString(delivery.Body.Span));
            if (committed.ContainsKey(texts[^1]))
                committed.AddOrUpdate(texts[^1], 1, static (_, count) => count + 1);
            await channel.BasicAckAsync(delivery.DeliveryTag, multiple: false, deadline);
        }
        if (texts.Count == 0)
            return false;
        await channel.TxCommitAsync(deadline);
        foreach (var text in texts)
            committed.TryAdd(text, 0);
        return true;
    }

    private static async Task<IConnection> ConnectAsync(RunningCluster cluster, int broker)
    {
        var address = IPEndPoint.Parse(cluster.Brokers[broker].GetProperty("amqp").GetString()!);
        return await new ConnectionFactory
        {
            HostName = $"{address.Address}",
            Port = address.Port,
            AutomaticRecoveryEnabled = false,
            ContinuationTimeout = Patience,
        }.CreateConnectionAsync();
    }
}
