using System.Text.Json;
using OrleansMq.Gateways.Amqp.Management.Peers;
using OrleansMq.Gateways.Amqp.Queues;
using OrleansMq.VirtualHosts;

namespace OrleansMq.Gateways.Amqp.Management;

// JSON as RabbitMQ writes it.
internal sealed partial class ManagementApi
{
    private static void List<T>(Utf8JsonWriter writer, IEnumerable<T> items, Action<Utf8JsonWriter, T> write, bool isObject = false)
    {
        writer.WriteStartArray();
        foreach (var item in items)
        {
            if (isObject)
                Object(writer, () => write(writer, item));
            else
                write(writer, item);
        }
        writer.WriteEndArray();
    }

    private static void Object(Utf8JsonWriter writer, Action write)
    {
        writer.WriteStartObject();
        write();
        writer.WriteEndObject();
    }

    private static void WriteOk(Utf8JsonWriter writer) => Object(writer, () => writer.WriteString("status", "ok"));

    private static void WriteTexts(Utf8JsonWriter writer, string name, IEnumerable<string> texts)
    {
        writer.WriteStartArray(name);
        foreach (var text in texts)
            writer.WriteStringValue(text);
        writer.WriteEndArray();
    }

    private void WriteOverview(Utf8JsonWriter writer, ManagementRequest request, ClusterTotals totals) => Object(writer, () =>
    {
        var hosts = request.Visible;
        writer.WriteString("management_version", Version);
        writer.WriteString("product_name", "OrleansMq");
        writer.WriteString("product_version", Version);
        writer.WriteString("rabbitmq_version", Version);
        writer.WriteString("cluster_name", broker.ClusterId);
        writer.WriteString("node", Node);
        writer.WriteStartArray("exchange_types");
        foreach (var type in new[] { ExchangeTypes.Direct, ExchangeTypes.Fanout, ExchangeTypes.Headers, ExchangeTypes.Topic,
            ExchangeTypes.ConsistentHash, ExchangeTypes.Delayed, ExchangeTypes.Random })
            Object(writer, () =>
            {
                writer.WriteString("name", type);
                writer.WriteBoolean("enabled", true);
            });
        writer.WriteEndArray();
        writer.WriteStartObject("object_totals");
        writer.WriteNumber("connections", totals.Connections);
        writer.WriteNumber("channels", totals.Channels);
        writer.WriteNumber("consumers", totals.Consumers);
        writer.WriteNumber("exchanges", hosts.Sum(host => host.Topology.Exchanges.Count() + ExchangeTypes.Predeclared.Count));
        writer.WriteNumber("queues", hosts.Sum(static host => host.Topology.QueueCount));
        writer.WriteEndObject();
        writer.WriteStartObject("queue_totals");
        writer.WriteNumber("messages", totals.Ready + totals.Unacknowledged);
        writer.WriteNumber("messages_ready", totals.Ready);
        writer.WriteNumber("messages_unacknowledged", totals.Unacknowledged);
        writer.WriteEndObject();
        // Only monitoring sees the ports of other brokers.
        writer.WriteStartArray("listeners");
        if (!request.User.IsMonitoring)
            _own.WriteListeners(writer);
        foreach (var listener in totals.Listeners)
            listener.WriteTo(writer);
        writer.WriteEndArray();
    });

    // RabbitMQ's, too, shows one that does not run, or does not answer, by its name alone.
    private static void WriteNode(Utf8JsonWriter writer, BrokerPage node)
    {
        if (node.Page is { First.IsEmpty: false } page)
        {
            writer.WriteRawValue(page.First.Span, skipInputValidation: true);
            return;
        }
        Object(writer, () =>
        {
            writer.WriteString("name", BrokerAnswers.NodeOf(node.Broker));
            writer.WriteString("type", "disc");
            writer.WriteBoolean("running", node.Page is not null);
        });
    }

    private void WriteHost(Utf8JsonWriter writer, VirtualHostImage host) => Object(writer, () =>
    {
        var settings = host.Settings;
        writer.WriteString("name", host.Name);
        writer.WriteString("description", settings.Description ?? "");
        WriteTexts(writer, "tags", settings.Tags);
        writer.WriteString("default_queue_type", settings.DefaultQueueType is { } type ? QueueArguments.NameOf(type) : "undefined");
        writer.WriteBoolean("tracing", false);
        writer.WriteStartObject("cluster_state");
        foreach (var node in _cluster.Brokers.Where(_cluster.IsAlive))
            writer.WriteString(BrokerAnswers.NodeOf(node), "running");
        writer.WriteEndObject();
    });

    private static void WriteUser(Utf8JsonWriter writer, UserState user) => WriteUser(writer, user, isHashShown: true);

    private static void WriteUser(Utf8JsonWriter writer, UserState user, bool isHashShown) => Object(writer, () =>
    {
        writer.WriteString("name", user.Name);
        if (isHashShown)
        {
            writer.WriteString("password_hash", user.PasswordHash);
            writer.WriteString("hashing_algorithm", user.HashingAlgorithm);
        }
        WriteTexts(writer, "tags", user.Tags);
    });

    private static void WritePermissions(Utf8JsonWriter writer, (string Host, string User, UserPermissions Permissions) item)
    {
        writer.WriteString("user", item.User);
        writer.WriteString("vhost", item.Host);
        writer.WriteString("configure", item.Permissions.Configure?.Text ?? "");
        writer.WriteString("write", item.Permissions.Write?.Text ?? "");
        writer.WriteString("read", item.Permissions.Read?.Text ?? "");
    }

    private static void WritePolicy(Utf8JsonWriter writer, (string Host, Policy Policy) item)
    {
        writer.WriteString("vhost", item.Host);
        writer.WriteString("name", item.Policy.Name);
        DefinitionsWriter.WritePolicy(writer, item.Policy);
    }

    private static void WriteExchange(Utf8JsonWriter writer, (string Host, ExchangeState Exchange) item) => Object(writer, () =>
    {
        writer.WriteString("name", item.Exchange.Name);
        writer.WriteString("vhost", item.Host);
        writer.WriteString("type", item.Exchange.Type);
        writer.WriteBoolean("durable", item.Exchange.Durable);
        writer.WriteBoolean("auto_delete", item.Exchange.AutoDelete);
        writer.WriteBoolean("internal", item.Exchange.Internal);
        DefinitionsWriter.WriteArguments(writer, item.Exchange.Arguments);
    });

    private void WriteQueue(Utf8JsonWriter writer, DescribedQueue queue) => Object(writer, () =>
    {
        var state = queue.State;
        writer.WriteString("name", state.Name);
        writer.WriteString("vhost", queue.Host);
        writer.WriteString("type", QueueArguments.NameOf(state.Type));
        writer.WriteString("node", NodeOf(queue));
        writer.WriteString("state", queue.Counts is null ? "down" : "running");
        writer.WriteBoolean("durable", state.Durable);
        writer.WriteBoolean("auto_delete", state.AutoDelete);
        writer.WriteBoolean("exclusive", state.Owner is not null);
        DefinitionsWriter.WriteArguments(writer, state.Arguments);
        writer.WriteString("policy", queue.Settings.Policy);
        writer.WriteString("operator_policy", queue.Settings.OperatorPolicy);
        writer.WriteNumber("consumers", queue.Consumers);
        if (queue.Counts is not { } counts)
            return;
        writer.WriteNumber("messages", counts.Ready + counts.Held);
        writer.WriteNumber("messages_ready", counts.Ready);
        writer.WriteNumber("messages_unacknowledged", counts.Held);
        if (counts.ReadyBytes is { } ready)
            writer.WriteNumber("message_bytes_ready", ready);
        if (counts is not { ReadyBytes: { } waiting, HeldBytes: { } held })
            return;
        writer.WriteNumber("message_bytes_unacknowledged", held);
        writer.WriteNumber("message_bytes", waiting + held);
    });

    // The leader of its topic, or the broker that has it in memory; this one where there is none.
    private string NodeOf(DescribedQueue queue)
    {
        if (queue.State.Keeper is { } keeper)
            return broker.Peers.BrokerOf(QueueHome.Of(keeper).Incarnation) is { } home ? BrokerAnswers.NodeOf(home) : Node;
        var partition = LogQueue.PartitionOf(queue.Host, queue.State);
        var leader = broker.Metadata.Image.FindServed(partition.Topic)?.Partitions[partition.Partition].Leader ?? -1;
        return leader >= 0 ? BrokerAnswers.NodeOf(leader) : Node;
    }

    private static void WriteBinding(Utf8JsonWriter writer, (string Host, BindingState Binding) item)
    {
        var binding = item.Binding;
        writer.WriteString("source", binding.Source);
        writer.WriteString("vhost", item.Host);
        writer.WriteString("destination", binding.Destination);
        writer.WriteString("destination_type", binding.Kind == DestinationKind.Queue ? "queue" : "exchange");
        writer.WriteString("routing_key", binding.RoutingKey);
        DefinitionsWriter.WriteArguments(writer, binding.Arguments);
        writer.WriteString("properties_key", KeyOf(binding));
    }
}
