using System.Globalization;
using OrleansMq.Access;
using OrleansMq.Gateways.Kafka.Apis;
using OrleansMq.Gateways.Kafka.Requests;
using OrleansMq.Topics;

namespace OrleansMq.Gateways.Kafka.Partitions;

/// <summary>A configuration key as clients see it.</summary>
/// <param name="Name">Kafka's name.</param>
/// <param name="Value">Its value; null for one without.</param>
/// <param name="Source">Where that comes from.</param>
/// <param name="IsReadOnly">Whether it cannot be changed through the protocol.</param>
/// <param name="Type">What a value is: 1 boolean, 2 text, 3 int32, 5 int64, 6 number, 7 list.</param>
/// <param name="Documentation">What it does.</param>
internal sealed record DescribedConfig(string Name, string? Value, ConfigSource Source, bool IsReadOnly, sbyte Type, string Documentation);

/// <summary>Reads and changes the configuration of what has one.</summary>
internal static class ResourceConfigs
{
    private const sbyte Boolean = 1, Text = 2, Int32 = 3, Int64 = 5, Number = 6, List = 7;

    /// <summary>All keys with their values, or why not.</summary>
    public static async ValueTask<(ErrorCode Error, string? Message,
        IReadOnlyList<DescribedConfig> Configs)> DescribeAsync(RequestContext context,
        ConfigResource type, string name)
    {
        try
        {
            Demand(context, AccessOperation.DescribeConfigs, type, name);
            return type switch
            {
                ConfigResource.Topic => (ErrorCode.None, null, await DescribeTopicAsync(context, name).ConfigureAwait(false)),
                ConfigResource.Broker => (ErrorCode.None, null, DescribeBroker(context.Services, name)),
                ConfigResource.Group => (ErrorCode.None, null, await GroupConfigs.DescribeAsync(context, name).ConfigureAwait(false)),
                // There are none of these, so nothing is set.
                ConfigResource.BrokerLogger or ConfigResource.ClientMetrics => (ErrorCode.None, null, []),
                _ => (ErrorCode.InvalidRequest, $"There is no resource of type {(int)type}.", []),
            };
        }
        catch (BrokerException refused)
        {
            return (refused.Code, refused.Message, []);
        }
    }

    /// <summary>Changes keys of a topic or a share group; a value of null returns a key to its default. All or nothing.</summary>
    public static async ValueTask<(ErrorCode Error, string? Message)> AlterAsync(RequestContext context, ConfigResource type, string name,
        Func<IReadOnlyDictionary<string, string>, Dictionary<string, string?>> changesOf, bool validateOnly)
    {
        try
        {
            Demand(context, AccessOperation.AlterConfigs, type, name);
            if (type == ConfigResource.Group)
            {
                await GroupConfigs.AlterAsync(context, name, changesOf, validateOnly).ConfigureAwait(false);
                return (ErrorCode.None, null);
            }
            if (type != ConfigResource.Topic)
                return (ErrorCode.InvalidRequest, type == ConfigResource.Broker
                    ? "A broker's settings are flags of its program, and changed where that is started; only those of topics and share "
                        + "groups can be changed here."
                    : $"The configuration of resources of type {(int)type} cannot be changed; only those of topics and share groups can.");
            var topic = context.Services.Metadata.Image.FindServed(name)
                ?? throw new BrokerException(ErrorCode.UnknownTopicOrPartition, TopicCatalogue.UnknownTopic(name));
            var changes = changesOf(topic.Configs);
            if (validateOnly)
                Validate(topic.Configs, changes);
            else
                await context.Broker.AlterTopicAsync(name, changes, context.Aborted).ConfigureAwait(false);
            return (ErrorCode.None, null);
        }
        catch (BrokerException refused)
        {
            return (refused.Code, refused.Message);
        }
    }

    // The configuration of brokers, and what belongs to them, is the cluster's.
    private static void Demand(RequestContext context, AccessOperation operation, ConfigResource type, string name)
    {
        if (type == ConfigResource.Topic)
            context.Access.Demand(operation, ResourceType.Topic, name);
        else if (type == ConfigResource.Group)
            context.Access.Demand(operation, ResourceType.Group, name);
        else
            context.Access.Demand(operation, ResourceType.Cluster);
    }

    private static void Validate(IReadOnlyDictionary<string, string> before, Dictionary<string, string?> changes)
    {
        var after = new Dictionary<string, string>(before);
        foreach (var (key, value) in changes)
        {
            if (value is not null)
                after[key] = value;
            else
                after.Remove(key);
        }
        _ = TopicConfigRules.Parse(after, TopicConfig.Default).Next;
    }

    private static async ValueTask<IReadOnlyList<DescribedConfig>> DescribeTopicAsync(RequestContext context, string name)
    {
        var topic = await context.Broker.DescribeTopicAsync(name, context.Aborted).ConfigureAwait(false);
        return [.. topic.Configs.Select(static config => new DescribedConfig(config.Name, config.Value, config.IsDefault
            ? ConfigSource.Default : ConfigSource.Topic,
            TopicConfigKeys.Find(config.Name) is not { IsImplemented: true }, TypeOf(config.Name, config.Value),
            TopicConfigKeys.Find(config.Name)?.Documentation ?? ""))];
    }

    private static IReadOnlyList<DescribedConfig> DescribeBroker(GatewayServices services, string name)
    {
        // The empty name stands for the defaults of all brokers, which nobody can set.
        if (name.Length == 0)
            return [];
        if (!int.TryParse(name, NumberStyles.None, CultureInfo.InvariantCulture, out var broker)
            || !services.Metadata.Image.Brokers.TryGetValue(broker, out var known))
            throw new BrokerException(ErrorCode.InvalidRequest, $"There is no broker '{name}'.");
        var options = services.Options;
        return
        [
            Static("broker.id", name, Int32, "This broker's number."),
            Static("broker.rack", known.Registration.Rack, Text, "What fails together with this broker."),
            Static("auto.create.topics.enable", options.AutoCreateTopics
                ? "true" : "false", Boolean, "Whether a topic that a client asks for is created."),
            Static("socket.request.max.bytes", Of(options.MaxRequestBytes), Int32, "Bytes of a request at most."),
            Static("queued.max.request.bytes", Of(options.MaxInFlightBytes), Int64, "Bytes of requests in flight at most."),
            Static("fetch.max.bytes", Of(options.MaxFetchBytes), Int32, "Bytes of a fetch response at most."),
            Static("max.connections.per.ip", Of(options.MaxConnectionsPerAddress), Int32, "Connections from one address at most."),
            Static("connections.max.idle.ms", Of((long)options.MaxIdle.TotalMilliseconds), Int64, "How long a connection may say nothing."),
            Static("connections.max.reauth.ms", Of((long)options.MaxReauthentication.TotalMilliseconds), Int64,
                "How long an authentication is good for; 0: for ever."),
        ];

        static DescribedConfig Static(string name, string? value, sbyte type, string documentation) =>
            new(name, value, ConfigSource.StaticBroker, IsReadOnly: true, type, documentation);

        static string Of(long value) => value.ToString(CultureInfo.InvariantCulture);
    }

    private static sbyte TypeOf(string name, string value) => name switch
    {
        "cleanup.policy" => List,
        "min.cleanable.dirty.ratio" => Number,
        "max.message.bytes" or "min.insync.replicas" or "segment.bytes" or "index.interval.bytes" or "segment.index.bytes" => Int32,
        _ => value is "true" or "false" ? Boolean : long.TryParse(value, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out _)
            ? Int64 : Text,
    };
}
