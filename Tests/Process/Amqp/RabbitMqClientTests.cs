using System.Net;
using System.Text;
using OrleansMq.Tests.Process.Running;
using RabbitMQ.Client;
using RabbitMQ.Client.Events;

namespace OrleansMq.Tests.Process.Amqp;

/// <summary>RabbitMQ's .NET client over the broker program.</summary>
public sealed class RabbitMqClientTests : IDisposable
{
    private const int Messages = 500;
    private const string Queue = "orders";
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);
    private static readonly CreateChannelOptions Confirmed = new(publisherConfirmationsEnabled: true,
        publisherConfirmationTrackingEnabled: true);

    private readonly TemporaryDirectory _directory = new();

    public void Dispose() => _directory.Dispose();

    [Theory]
    [InlineData("best")]
    [InlineData("standalone")]
    public async Task Confirmed_messages_are_there_after_a_kill_and_acknowledged_ones_are_not(string flavour)
    {
        await using (var broker = await UpAsync(flavour))
        {
            await using (var connection = await ConnectAsync(broker))
                await PublishAsync(connection);
            // The queue's log is a topic that every client reads.
            var read = (await broker.OmqAsync(["consume", "amqp." + Queue, "--max", "1"])).Expect(0);
            Assert.Equal("order 0\n", Encoding.UTF8.GetString(read.Output));
            await broker.KillAsync();
        }
        await using (var broker = await UpAsync(flavour))
        {
            await using (var connection = await ConnectAsync(broker))
                Assert.Equal(Enumerable.Range(0, Messages).Select(static number => $"order {number}"), await ConsumeAsync(connection));
            await broker.KillAsync();
        }
        await using (var broker = await UpAsync(flavour))
        {
            await using var connection = await ConnectAsync(broker);
            await using var channel = await connection.CreateChannelAsync();
            Assert.Equal(0u, (await channel.QueueDeclarePassiveAsync(Queue)).MessageCount);
            Assert.Null(await channel.BasicGetAsync(Queue, autoAck: true));
        }
    }

    private Task<RunningBroker> UpAsync(string flavour) =>
        RunningBroker.UpAsync(_directory["data"], 0, "--kafka", "off", "--amqp", "127.0.0.1:0", "--flavour", flavour);

    private static Task<IConnection> ConnectAsync(RunningBroker broker)
    {
        var address = IPEndPoint.Parse(broker.Field("amqp"));
        return new ConnectionFactory { HostName = $"{address.Address}", Port = address.Port, AutomaticRecoveryEnabled = false }
            .CreateConnectionAsync();
    }

    private static async Task PublishAsync(IConnection connection)
    {
        await using var channel = await connection.CreateChannelAsync(Confirmed);
        await channel.QueueDeclareAsync(Queue, durable: true, exclusive: false, autoDelete: false,
            new Dictionary<string, object?> { ["x-queue-type"] = "quorum" });
        var persistent = new BasicProperties { Persistent = true };
        // Each call returns when the broker has confirmed.
        for (var i = 0; i < Messages; i++)
            await channel.BasicPublishAsync("", Queue, mandatory: true, persistent, Encoding.UTF8.GetBytes($"order {i}"));
    }

    private static async Task<List<string>> ConsumeAsync(IConnection connection)
    {
        await using var channel = await connection.CreateChannelAsync();
        await channel.BasicQosAsync(0, 50, global: false);
        var (bodies, all) = (new List<string>(), new TaskCompletionSource());
        var consumer = new AsyncEventingBasicConsumer(channel);
        consumer.ReceivedAsync += async (_, delivery) =>
        {
            bodies.Add(Encoding.UTF8.GetString(delivery.Body.Span));
            await channel.BasicAckAsync(delivery.DeliveryTag, multiple: false);
            if (bodies.Count == Messages)
                all.TrySetResult();
        };
        await channel.BasicConsumeAsync(Queue, autoAck: false, consumer);
        await all.Task.WaitAsync(Patience);
        // An answer from the broker: the acknowledgements before it have come.
        await channel.CloseAsync();
        return bodies;
    }
}
