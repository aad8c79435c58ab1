using OrleansMq.Gateways.Kafka.Partitions;
using OrleansMq.Gateways.Kafka.Requests;
using OrleansMq.Gateways.Kafka.Wire;
using OrleansMq.Topics;

namespace OrleansMq.Gateways.Kafka.Apis;

/// <summary>Key 44: changes single keys of the configuration of topics or share groups (KIP-339).</summary>
internal sealed class IncrementalAlterConfigsApi()
    : KafkaApi<IncrementalAlterConfigsRequest>(ApiKey.IncrementalAlterConfigs, 0, 1, flexibleFrom: 1)
{
    private const sbyte Set = 0, Delete = 1, Append = 2, Subtract = 3;

    protected override IncrementalAlterConfigsRequest Read(ref RequestReader reader, short version)
    {
        var resources = new ChangedResource[reader.ReadArrayLength(elementBytes: 4)];
        for (var index = 0; index < resources.Length; index++)
        {
            var (type, name) = ((ConfigResource)reader.ReadInt8(), reader.ReadString());
            var configs = new ConfigChange[reader.ReadArrayLength(elementBytes: 4)];
            for (var other = 0; other < configs.Length; other++)
            {
                configs[other] = new ConfigChange(reader.ReadString(), reader.ReadInt8(), reader.ReadNullableString());
                reader.SkipTags();
            }
            resources[index] = new ChangedResource(type, name, configs);
            reader.SkipTags();
        }
        return new IncrementalAlterConfigsRequest(resources, reader.ReadBool());
    }

    protected override async ValueTask<bool> AnswerAsync(RequestContext context, IncrementalAlterConfigsRequest request,
        ResponseWriter response)
    {
        response.WriteThrottle();
        response.WriteLength(request.Resources.Length);
        foreach (var resource in request.Resources)
        {
            var (error, message) = await ResourceConfigs.AlterAsync(context, resource.Type, resource.Name,
                before => ChangesOf(resource, before), request.ValidateOnly)
                .ConfigureAwait(false);
            AlterConfigsApi.Write(response, resource.Type, resource.Name, error, message);
        }
        response.WriteNoTags();
        return true;
    }

    private static Dictionary<string, string?> ChangesOf(ChangedResource resource, IReadOnlyDictionary<string, string> before)
    {
        var changes = new Dictionary<string, string?>();
        foreach (var config in resource.Configs)
        {
            if (changes.ContainsKey(config.Name))
                throw new BrokerException(ErrorCode.InvalidRequest, $"'{config.Name}' is in the request more than once.");
            changes[config.Name] = config.Operation switch
            {
                Set =>
                    config.Value ?? throw new BrokerException(ErrorCode.InvalidRequest, $"'{config.Name}' is to be set but has no value."),
                Delete => null,
                Append => string.Join(',', ListOf(config.Name, before).Union(Words(config.Value))),
                Subtract => string.Join(',', ListOf(config.Name, before).Except(Words(config.Value))),
                _ => throw new BrokerException(ErrorCode.InvalidRequest,
                    $"Operation {config.Operation} is unknown: use 0 (set), 1 (delete), 2 (append) or 3 (subtract)."),
            };
        }
        return changes;
    }

    private static IEnumerable<string> ListOf(string name, IReadOnlyDictionary<string, string> before)
    {
        if (name != "cleanup.policy")
            throw new BrokerException(ErrorCode.InvalidConfig, $"'{name}' is not a list: set it, or delete it.");
        return Words(before.GetValueOrDefault(name) ?? TopicConfigKeys.Find(name)!.Format(TopicConfig.Default));
    }

    private static string[] Words(string? list) =>
        (list ?? "").Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries);
}

/// <summary>The body.</summary>
internal sealed record IncrementalAlterConfigsRequest(ChangedResource[] Resources, bool ValidateOnly);

/// <summary>A resource with its changes.</summary>
internal sealed record ChangedResource(ConfigResource Type, string Name, ConfigChange[] Configs);

/// <summary>One change of one key.</summary>
internal readonly record struct ConfigChange(string Name, sbyte Operation, string? Value);
