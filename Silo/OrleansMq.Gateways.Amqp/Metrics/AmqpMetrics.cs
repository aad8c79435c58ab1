using System.Diagnostics.Metrics;
using OrleansMq.Gateways.Amqp.Alarms;
using OrleansMq.Gateways.Amqp.Connections;
using OrleansMq.Gateways.Amqp.Management.Peers;
using OrleansMq.Gateways.Amqp.Queues;
using OrleansMq.Gateways.Connections;
using OrleansMq.Hosting;

namespace OrleansMq.Gateways.Amqp.Metrics;

/// <summary>
/// Metrics under RabbitMQ's names, so that its dashboards and alerts read them; Silo/README.md lists them. Each broker reports its own
/// part: connections and messages of its clients, and the queues that it leads. Nothing is counted twice in a cluster, so that sums are
/// right.
/// </summary>
internal sealed class AmqpMetrics(ConnectionMetrics connections, ResourceAlarms alarms, QueueLook look)
{
    private static readonly KeyValuePair<string, object?> Protocol = new("protocol", "amqp091");

    /// <summary>Returns the connections that are open.</summary>
    public required Func<IEnumerable<ConnectionDescription>> Connections { get; init; }

    /// <summary>Returns the broker; null before it serves.</summary>
    public required Func<HostedBroker?> Broker { get; init; }

    /// <summary>Returns what its channels count; null before it serves.</summary>
    public required Func<MessageTotals?> Totals { get; init; }

    /// <summary>Adds the instruments to a meter.</summary>
    public void AddTo(Meter meter)
    {
        AddBroker(meter);
        AddConnections(meter);
        AddMessages(meter);
        AddQueues(meter);
    }

    private void AddBroker(Meter meter)
    {
        Gauge(meter, "identity.info", "The broker and its cluster.", () => Broker() is { } broker ? [new Measurement<long>(1,
            new("rabbitmq_node", BrokerAnswers.NodeOf(broker.BrokerId)), new("rabbitmq_cluster", broker.ClusterId),
            new("rabbitmq_cluster_permanent_id", broker.ClusterId))] : []);
        Gauge(meter, "build.info", "The version of RabbitMQ that clients are told.", static () => [new Measurement<long>(1,
            new("rabbitmq_version", ConnectionSettings.RabbitMqVersion), new("product_name", ConnectionSettings.Product))]);
        Gauge(meter, "process.resident.memory.bytes", "Memory of the process.",
            static () => [new Measurement<long>(Environment.WorkingSet)]);
        Gauge(meter, "alarms.memory.used.watermark", "1 while publishers are blocked for the memory of messages.",
            () => [new Measurement<long>(alarms.Memory.IsOver ? 1 : 0)]);
        Gauge(meter, "alarms.free.disk.space.watermark", "1 while publishers are blocked for the space of the data volume.",
            () => [new Measurement<long>(alarms.IsDiskShort ? 1 : 0)]);
    }

    private void AddConnections(Meter meter)
    {
        Gauge(meter, "connections", "Connections to this broker.", () => [new Measurement<long>(connections.Open)]);
        Counter(meter, "connections.opened", "Connections that were opened.", () => [new Measurement<long>(connections.TotalAccepted)]);
        Counter(meter, "connections.closed", "Connections that were closed.", () => [new Measurement<long>(connections.TotalClosed)]);
        Gauge(meter, "channels", "Channels of this broker's connections.", () => Channels(static channels => channels.Open));
        Counter(meter, "channels.opened", "Channels that were opened.", () => Channels(static channels => channels.Opened));
        Counter(meter, "channels.closed", "Channels that were closed.",
            () => Channels(static channels => channels.Opened - channels.Open));
        Gauge(meter, "consumers", "Consumers of this broker's connections.", () => [new Measurement<long>(Connections()
            .Sum(static connection => connection.Channels.Sum(static channel => (long)channel.Consumers.Count)))]);
    }

    private void AddMessages(Meter meter)
    {
        Messages("received", "Messages that clients published.", MessageCount.Received);
        Messages("received.confirm", "Messages that clients published on channels that confirm.", MessageCount.ReceivedConfirm);
        Messages("confirmed", "Publishes that were confirmed.", MessageCount.Confirmed);
        Messages("routed", "Copies of messages to queues.", MessageCount.Routed);
        Messages("unroutable.returned", "Messages without a queue that were returned to their publishers.",
            MessageCount.UnroutableReturned);
        Messages("unroutable.dropped", "Messages without a queue that were dropped.", MessageCount.UnroutableDropped);
        Messages("delivered", "Messages that clients received.", MessageCount.ConsumedAutoAck, MessageCount.ConsumedManualAck,
            MessageCount.GotAutoAck, MessageCount.GotManualAck);
        Messages("delivered.consume.auto.ack", "Messages to consumers that do not acknowledge.", MessageCount.ConsumedAutoAck);
        Messages("delivered.consume.manual.ack", "Messages to consumers that acknowledge.", MessageCount.ConsumedManualAck);
        Messages("delivered.get.auto.ack", "Messages that clients got without acknowledgement.", MessageCount.GotAutoAck);
        Messages("delivered.get.manual.ack", "Messages that clients got and acknowledge.", MessageCount.GotManualAck);
        Messages("get.empty", "Gets of empty queues.", MessageCount.GotNone);
        Messages("redelivered", "Messages that may have been delivered before.", MessageCount.Redelivered);
        Messages("acknowledged", "Messages that clients acknowledged.", MessageCount.Acknowledged);
        foreach (var (reason, name) in new[] { (DeathReason.Rejected, "rejected"), (DeathReason.Expired, "expired"),
            (DeathReason.MaxLength, "maxlen"), (DeathReason.DeliveryLimit, "delivery.limit") })
            Count($"dead.lettered.{name}", "Dead letters that were published.", totals => totals.ReadDeadLetters(reason));

        void Messages(string name, string description, params MessageCount[] counts) =>
            Count(name, description, totals => counts.Sum(totals.Read));

        void Count(string name, string description, Func<MessageTotals, long> read) => Counter(meter, $"global.messages.{name}",
            description, () => Totals() is { } totals ? [new Measurement<long>(read(totals), Protocol)] : []);
    }

    private void AddQueues(Meter meter)
    {
        Gauge(meter, "queues", "Queues that this broker leads, or has in memory.", () => [new Measurement<long>(look.Queues.Count)]);
        Queue("messages.ready", "Messages of a queue that wait.", static queue => queue.Counts.Ready);
        Queue("messages.unacked", "Messages of a queue that consumers hold.", static queue => queue.Counts.Held);
        Queue("messages", "Messages of a queue.", static queue => queue.Counts.Ready + queue.Counts.Held);
        Queue("consumers", "Consumers of a queue, at all brokers.", static queue => queue.Consumers);
        Gauge(meter, "queue.messages.ready.bytes", "Bodies of the messages of a queue that wait, where its bytes are counted.",
            () => look.Queues.Where(static queue => queue.Counts.ReadyBytes is not null)
                .Select(static queue => Of(queue, queue.Counts.ReadyBytes!.Value)));

        void Queue(string name, string description, Func<CountedQueue, long> read) =>
            Gauge(meter, $"queue.{name}", description, () => look.Queues.Select(queue => Of(queue, read(queue))));
    }

    private static Measurement<long> Of(CountedQueue queue, long value) =>
        new(value, new("vhost", queue.VirtualHost), new("queue", queue.Name));

    private IEnumerable<Measurement<long>> Channels(Func<(int Open, long Opened), long> read) =>
        Totals() is { } totals ? [new Measurement<long>(read(totals.Channels))] : [];

    private static void Gauge(Meter meter, string name, string description, Func<IEnumerable<Measurement<long>>> observe) =>
        meter.CreateObservableGauge($"rabbitmq.{name}", observe, null, description);

    private static void Counter(Meter meter, string name, string description, Func<IEnumerable<Measurement<long>>> observe) =>
        meter.CreateObservableCounter($"rabbitmq.{name}", observe, null, description);
}
