using System.Collections.Concurrent;
using System.Net;
using System.Text;
using RabbitMQ.Client;
using RabbitMQ.Client.Events;
using RabbitMQ.Client.Exceptions;

namespace OrleansMq.Tests.ProcessClusters;

/// <summary>RabbitMQ's .NET client over a cluster of three silos that loses the leader of its queue.</summary>
public sealed class AmqpClusterTests
{
    private const string Queue = "orders";
    private const string Topic = "amqp." + Queue;
    private const int Messages = 1000;
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
        var confirmed = new ConcurrentBag<string>();
        var acknowledged = new Acknowledgements();
        using var isEmpty = new CancellationTokenSource();
        var consuming = ConsumeAsync(cluster, others[1], acknowledged, isEmpty.Token, deadline.Token);
        var publishing = PublishAsync(cluster, others[0], confirmed, deadline.Token);
        while (acknowledged.Committed.Count < Messages / 4)
            await Task.Delay(10, deadline.Token);
        cluster.Kill(leader);
        await publishing;
        await RunningCluster.UntilAsync(() => cluster.AskAsync("queue", "list", Topic),
            static queues => queues[0].GetProperty("unsettled").GetInt64() == 0, "the queue to be empty");
        await isEmpty.CancelAsync();
        await consuming;

        Assert.Equal(Messages, confirmed.Count);
        // A commit without an answer may be in force.
        Assert.Empty(confirmed.Except(acknowledged.Tried.Keys));
        Assert.Empty(acknowledged.Again);
    }

    // Publishes each message until it is confirmed, on one connection: none of these brokers dies.
    private static async Task PublishAsync(RunningCluster cluster, int broker, ConcurrentBag<string> confirmed, CancellationToken deadline)
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
                confirmed.Add(text);
                number++;
            }
            catch (PublishException)
            {
                // Nacked, so its outcome is unknown: it is published again, as another message.
            }
        }
    }

    // Acknowledges in transactions.
    private static async Task ConsumeAsync(RunningCluster cluster, int broker, Acknowledgements acknowledged, CancellationToken isEmpty,
        CancellationToken deadline)
    {
        while (!isEmpty.IsCancellationRequested)
        {
            try
            {
                await using var connection = await ConnectAsync(cluster, broker);
                await using var channel = await connection.CreateChannelAsync(cancellationToken: deadline);
                await channel.TxSelectAsync(deadline);
                await channel.BasicQosAsync(0, 50, global: false, deadline);
                var deliveries = new ConcurrentQueue<(ulong Tag, string Text)>();
                var consumer = new AsyncEventingBasicConsumer(channel);
                consumer.ReceivedAsync += (_, delivery) =>
                {
                    deliveries.Enqueue((delivery.DeliveryTag, Encoding.UTF8.GetString(delivery.Body.Span)));
                    return Task.CompletedTask;
                };
                await channel.BasicConsumeAsync(Queue, autoAck: false, consumer, deadline);
                while (!isEmpty.IsCancellationRequested)
                {
                    if (!await CommitAsync(channel, deliveries, acknowledged, deadline))
                        await Task.Delay(10, deadline);
                }
            }
            catch (Exception broken) when (broken is OperationInterruptedException or AlreadyClosedException)
            {
                // A commit without a proof ends the connection: what it acknowledged may come again.
            }
        }
    }

    private static async Task<bool> CommitAsync(IChannel channel, ConcurrentQueue<(ulong Tag, string Text)> deliveries,
        Acknowledgements acknowledged, CancellationToken deadline)
    {
        // Otherwise no call would tell that the channel is closed.
        if (channel.CloseReason is { } reason)
            throw new AlreadyClosedException(reason);
        var texts = new List<string>();
        while (texts.Count < 20 && deliveries.TryDequeue(out var delivery))
        {
            texts.Add(delivery.Text);
            acknowledged.Try(delivery.Text);
            await channel.BasicAckAsync(delivery.Tag, multiple: false, deadline);
        }
        if (texts.Count == 0)
            return false;
        await channel.TxCommitAsync(deadline);
        texts.ForEach(acknowledged.Commit);
        return true;
    }

    /// <summary>What the consumer acknowledged: all it tried, what a commit proves, and what came again after that.</summary>
    private sealed class Acknowledgements
    {
        public ConcurrentDictionary<string, bool> Tried { get; } = new();
        public ConcurrentDictionary<string, bool> Committed { get; } = new();
        public ConcurrentBag<string> Again { get; } = [];

        public void Try(string text)
        {
            Tried[text] = true;
            if (Committed.ContainsKey(text))
                Again.Add(text);
        }

        public void Commit(string text) => Committed[text] = true;
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
