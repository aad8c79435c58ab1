using System.Text.Json;

namespace OrleansMq.VirtualHosts;

/// <summary>Writes definitions in RabbitMQ's JSON. Predeclared exchanges and exclusive queues are left out, with their bindings.</summary>
internal sealed class DefinitionsWriter(Utf8JsonWriter writer, IReadOnlyDictionary<string, UserState> users,
    IReadOnlyList<VirtualHostState> hosts)
{
    private const string Format = "cluster";

    /// <summary>Writes all.</summary>
    public void Write(string version)
    {
        writer.WriteStartObject();
        writer.WriteString("rabbit_version", version);
        writer.WriteString("rabbitmq_version", version);
        writer.WriteString("rabbitmq_definition_format", Format);
        List("users", users.Values.OrderBy(user => user.Name, StringComparer.Ordinal), WriteUser);
        List("vhosts", hosts.Select(host => host.Settings), WriteHost);
        List("permissions", Permissions(), item =>
        {
            writer.WriteString("user", item.User);
            writer.WriteString("vhost", item.Host);
            writer.WriteString("configure", item.Permissions.Configure?.Text ?? "");
            writer.WriteString("write", item.Permissions.Write?.Text ?? "");
            writer.WriteString("read", item.Permissions.Read?.Text ?? "");
        });
        List("topic_permissions", Permissions().SelectMany(item => item.Permissions.Topics, (item, topic) => (item.User, item.Host, topic)),
            item =>
            {
                writer.WriteString("user", item.User);
                writer.WriteString("vhost", item.Host);
                writer.WriteString("exchange", item.topic.Key);
                writer.WriteString("write", item.topic.Value.Write);
                writer.WriteString("read", item.topic.Value.Read);
            });
        List("parameters", Parameters(), item =>
        {
            writer.WriteString("vhost", item.Host);
            writer.WriteString("component", item.Component);
            writer.WriteString("name", item.Name);
            writer.WriteStartObject("value");
            item.WriteValue();
            writer.WriteEndObject();
        });
        List<string>("global_parameters", [], _ => { });
        List("policies", All(host => host.Settings.Policies.Policies.Values), item =>
        {
            writer.WriteString("vhost", item.Host);
            writer.WriteString("name", item.Value.Name);
            WritePolicy(writer, item.Value);
        });
        List("queues", All(host => host.Topology.Queues.Where(queue => queue.Owner is null)
            .OrderBy(queue => queue.Name, StringComparer.Ordinal)), item =>
        {
            writer.WriteString("name", item.Value.Name);
            writer.WriteString("vhost", item.Host);
            writer.WriteBoolean("durable", item.Value.Durable);
            writer.WriteBoolean("auto_delete", item.Value.AutoDelete);
            WriteArguments(writer, item.Value.Arguments);
        });
        List("exchanges", All(host => host.Topology.Exchanges.OrderBy(exchange => exchange.Name, StringComparer.Ordinal)), item =>
        {
            writer.WriteString("name", item.Value.Name);
            writer.WriteString("vhost", item.Host);
            writer.WriteString("type", item.Value.Type);
            writer.WriteBoolean("durable", item.Value.Durable);
            writer.WriteBoolean("auto_delete", item.Value.AutoDelete);
            writer.WriteBoolean("internal", item.Value.Internal);
            WriteArguments(writer, item.Value.Arguments);
        });
        List("bindings", All(host => host.Topology.Bindings.Where(binding => binding.Kind == DestinationKind.Exchange
            || host.Topology.FindQueue(binding.Destination) is { Owner: null }).OrderBy(binding => binding.Source, StringComparer.Ordinal)
            .ThenBy(binding => binding.Destination, StringComparer.Ordinal).ThenBy(binding => binding.RoutingKey, StringComparer.Ordinal)
            .ThenBy(binding => binding.Arguments.ToString(), StringComparer.Ordinal)), item =>
        {
            writer.WriteString("source", item.Value.Source);
            writer.WriteString("vhost", item.Host);
            writer.WriteString("destination", item.Value.Destination);
            writer.WriteString("destination_type", item.Value.Kind == DestinationKind.Queue ? "queue" : "exchange");
            writer.WriteString("routing_key", item.Value.RoutingKey);
            WriteArguments(writer, item.Value.Arguments);
        });
        writer.WriteEndObject();
    }

    // Those of a user that was deleted, and made again under the same name, do not count.
    private IEnumerable<(string User, string Host, UserPermissions Permissions)> Permissions() =>
        from host in hosts
        from permissions in host.Settings.Permissions
        where users.GetValueOrDefault(permissions.Key)?.Id == permissions.Value.UserId
        select (permissions.Key, host.Settings.Name, permissions.Value);

    private IEnumerable<(string Host, string Component, string Name, Action WriteValue)> Parameters()
    {
        foreach (var settings in hosts.Select(static host => host.Settings))
        {
            foreach (var policy in settings.Policies.OperatorPolicies.Values)
                yield return (settings.Name, Definitions.OperatorPolicy, policy.Name, () => WritePolicy(writer, policy));
            if (settings.IsLimited)
                yield return (settings.Name, VirtualHostLimits.Component, VirtualHostLimits.Parameter, () => WriteLimits(writer, settings));
        }
    }

    private IEnumerable<(string Host, T Value)> All<T>(Func<VirtualHostState, IEnumerable<T>> part) =>
        hosts.SelectMany(part, (host, value) => (host.Settings.Name, value));

    private void WriteUser(UserState user)
    {
        writer.WriteString("name", user.Name);
        writer.WriteString("password_hash", user.PasswordHash);
        writer.WriteString("hashing_algorithm", user.HashingAlgorithm);
        writer.WriteStartArray("tags");
        foreach (var tag in user.Tags)
            writer.WriteStringValue(tag);
        writer.WriteEndArray();
    }

    private void WriteHost(VirtualHostSettings host)
    {
        writer.WriteString("name", host.Name);
        writer.WriteString("description", host.Description ?? "");
        writer.WriteStartArray("tags");
        foreach (var tag in host.Tags)
            writer.WriteStringValue(tag);
        writer.WriteEndArray();
        if (host.DefaultQueueType is { } type)
            writer.WriteString("default_queue_type", QueueArguments.NameOf(type));
    }

    /// <summary>Writes the fields of a policy, besides its name.</summary>
    internal static void WritePolicy(Utf8JsonWriter writer, Policy policy)
    {
        writer.WriteString("pattern", policy.Pattern.Text);
        writer.WriteString("apply-to", JsonNamingPolicy.SnakeCaseLower.ConvertName(policy.ApplyTo.ToString()));
        writer.WritePropertyName("definition");
        FieldJson.WriteTable(writer, policy.Definition, isMarked: false);
        writer.WriteNumber("priority", policy.Priority);
    }

    /// <summary>Writes the limits that a virtual host has.</summary>
    internal static void WriteLimits(Utf8JsonWriter writer, VirtualHostSettings settings)
    {
        if (settings.MaxConnections is { } connections)
            writer.WriteNumber(VirtualHostLimits.MaxConnections, connections);
        if (settings.MaxQueues is { } queues)
            writer.WriteNumber(VirtualHostLimits.MaxQueues, queues);
    }

    /// <summary>Writes arguments.</summary>
    internal static void WriteArguments(Utf8JsonWriter writer, FieldTable arguments)
    {
        writer.WritePropertyName("arguments");
        FieldJson.WriteTable(writer, arguments, isMarked: false);
    }

    private void List<T>(string name, IEnumerable<T> items, Action<T> write)
    {
        writer.WriteStartArray(name);
        foreach (var item in items)
        {
            writer.WriteStartObject();
            write(item);
            writer.WriteEndObject();
        }
        writer.WriteEndArray();
    }
}
