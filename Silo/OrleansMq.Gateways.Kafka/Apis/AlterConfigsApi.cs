using OrleansMq.Gateways.Kafka.Partitions;
using OrleansMq.Gateways.Kafka.Requests;
using OrleansMq.Gateways.Kafka.Wire;

namespace OrleansMq.Gateways.Kafka.Apis;

/// <summary>Key 33: replaces the whole configuration of topics or share groups. Keys that are not named return to their defaults.</summary>
internal sealed class AlterConfigsApi() : KafkaApi<AlterConfigsRequest>(ApiKey.AlterConfigs, 0, 2, flexibleFrom: 2)
{
    protected override AlterConfigsRequest Read(ref RequestReader reader, short version)
    {
        var resources = new AlteredResource[reader.ReadArrayLength(elementBytes: 4)];
        for (var index = 0; index < resources.Length; index++)
        {
            resources[index] = new AlteredResource((ConfigResource)reader.ReadInt8(), reader.ReadString(), ConfigPairs.Read(ref reader));
            reader.SkipTags();
        }
        return new AlterConfigsRequest(resources, reader.ReadBool());
    }

    protected override async ValueTask<bool> AnswerAsync(RequestContext context, AlterConfigsRequest request, ResponseWriter response)
    {
        response.WriteThrottle();
        response.WriteLength(request.Resources.Length);
        foreach (var resource in request.Resources)
        {
            var (error, message) = await ResourceConfigs.AlterAsync(context, resource.Type, resource.Name,
                before => ChangesOf(resource, before), request.ValidateOnly)
                .ConfigureAwait(false);
            Write(response, resource.Type, resource.Name, error, message);
        }
        response.WriteNoTags();
        return true;
    }

    /// <summary>Writes the result for one resource; both kinds of alter requests share it.</summary>
    public static void Write(ResponseWriter response, ConfigResource type, string name, ErrorCode error, string? message)
    {
        response.WriteError(error);
        response.WriteString(message);
        response.WriteInt8((sbyte)type);
        response.WriteString(name);
        response.WriteNoTags();
    }

    private static Dictionary<string, string?> ChangesOf(AlteredResource resource, IReadOnlyDictionary<string, string> before)
    {
        var changes = before.Keys.ToDictionary(static key => key, static _ => (string?)null);
        foreach (var config in resource.Configs)
            changes[config.Name] = config.Value;
        return changes;
    }
}

/// <summary>The body.</summary>
internal sealed record AlterConfigsRequest(AlteredResource[] Resources, bool ValidateOnly);

/// <summary>A resource with its new configuration.</summary>
internal sealed record AlteredResource(ConfigResource Type, string Name, ConfigPair[] Configs);
