using OrleansMq.Gateways.Kafka.Partitions;
using OrleansMq.Gateways.Kafka.Requests;
using OrleansMq.Gateways.Kafka.Wire;

namespace OrleansMq.Gateways.Kafka.Apis;

/// <summary>Key 32: describes the configuration of topics and share groups, and the broker settings that clients ask for.</summary>
internal sealed class DescribeConfigsApi() : KafkaApi<DescribeConfigsRequest>(ApiKey.DescribeConfigs, 1, 4, flexibleFrom: 4)
{
    protected override DescribeConfigsRequest Read(ref RequestReader reader, short version)
    {
        var resources = new DescribedResource[reader.ReadArrayLength(elementBytes: 4)];
        for (var index = 0; index < resources.Length; index++)
        {
            resources[index] = new DescribedResource((ConfigResource)reader.ReadInt8(), reader.ReadString(),
                reader.ReadNullableStringArray());
            reader.SkipTags();
        }
        return new DescribeConfigsRequest(resources, reader.ReadBool(), version >= 3 && reader.ReadBool());
    }

    protected override async ValueTask<bool> AnswerAsync(RequestContext context, DescribeConfigsRequest request, ResponseWriter response)
    {
        response.WriteThrottle();
        // Described once each: named many times, a resource would take many times its memory.
        var resources = request.Resources.GroupBy(static resource => (resource.Type, resource.Name), static (_, same) => Join([.. same]))
            .ToArray();
        response.WriteLength(resources.Length);
        foreach (var resource in resources)
        {
            var (error, message, configs) = await ResourceConfigs.DescribeAsync(context, resource.Type,
                resource.Name).ConfigureAwait(false);
            response.WriteError(error);
            response.WriteString(message);
            response.WriteInt8((sbyte)resource.Type);
            response.WriteString(resource.Name);
            var wanted = configs.Where(config => resource.Keys is null or [] || resource.Keys.Contains(config.Name)).ToArray();
            response.WriteLength(wanted.Length);
            foreach (var config in wanted)
                Write(response, config, request);
            response.WriteNoTags();
        }
        response.WriteNoTags();
        return true;
    }

    private static DescribedResource Join(DescribedResource[] same) => same.Any(static resource => resource.Keys is null or [])
        ? same[0] with { Keys = null }
        : same[0] with { Keys = [.. same.SelectMany(static resource => resource.Keys!)] };

    private static void Write(ResponseWriter response, DescribedConfig config, DescribeConfigsRequest request)
    {
        response.WriteString(config.Name);
        response.WriteString(config.Value);
        response.WriteBool(config.IsReadOnly);
        response.WriteInt8((sbyte)config.Source);
        response.WriteBool(false);
        response.WriteLength(request.IncludeSynonyms ? 1 : 0);
        if (request.IncludeSynonyms)
        {
            response.WriteString(config.Name);
            response.WriteString(config.Value);
            response.WriteInt8((sbyte)config.Source);
            response.WriteNoTags();
        }
        if (response.Version >= 3)
        {
            response.WriteInt8(config.Type);
            response.WriteString(request.IncludeDocumentation ? config.Documentation : null);
        }
        response.WriteNoTags();
    }
}

/// <summary>The body.</summary>
internal sealed record DescribeConfigsRequest(DescribedResource[] Resources, bool IncludeSynonyms, bool IncludeDocumentation);

/// <summary>A resource, with the keys to describe; null for all keys.</summary>
internal sealed record DescribedResource(ConfigResource Type, string Name, string[]? Keys);
