using System.Globalization;
using OrleansMq.Access;
using OrleansMq.Gateways.Kafka.Requests;
using OrleansMq.Gateways.Kafka.Wire;

namespace OrleansMq.Gateways.Kafka.Apis;

/// <summary>Key 74: lists the resources that have a configuration. Version 0 lists only client metrics, of which there are none.</summary>
internal sealed class ListConfigResourcesApi() : KafkaApi<ListConfigResourcesRequest>(ApiKey.ListConfigResources, 0, 1, flexibleFrom: 0)
{
    protected override ListConfigResourcesRequest Read(ref RequestReader reader, short version)
    {
        if (version < 1)
            return new ListConfigResourcesRequest([ConfigResource.ClientMetrics]);
        var types = new ConfigResource[reader.ReadArrayLength()];
        for (var index = 0; index < types.Length; index++)
            types[index] = (ConfigResource)reader.ReadInt8();
        return new ListConfigResourcesRequest(types is [] ? [ConfigResource.Topic, ConfigResource.Broker, ConfigResource.Group] : types);
    }

    protected override async ValueTask<bool> AnswerAsync(RequestContext context, ListConfigResourcesRequest request,
        ResponseWriter response)
    {
        var image = context.Services.Metadata.Image;
        var resources = new List<(ConfigResource Type, string Name)>();
        var isAllowed = context.Access.Authorizes(AccessOperation.DescribeConfigs, ResourceType.Cluster);
        if (isAllowed && request.Types.Contains(ConfigResource.Topic))
            resources.AddRange(image.Names.Keys.Where(name => image.FindServed(name) is not null)
                .Select(static name => (ConfigResource.Topic, name)));
        if (isAllowed && request.Types.Contains(ConfigResource.Broker))
            resources.AddRange(image.Brokers.Keys.Select(static broker =>
                (ConfigResource.Broker, broker.ToString(CultureInfo.InvariantCulture))));
        if (isAllowed && request.Types.Contains(ConfigResource.Group))
            resources.AddRange((await context.Broker.Groups.ListConfiguredAsync(context.Aborted).ConfigureAwait(false))
                .Select(static groupId => (ConfigResource.Group, groupId)));
        response.WriteThrottle();
        response.WriteError(isAllowed ? ErrorCode.None : ErrorCode.ClusterAuthorizationFailed);
        response.WriteLength(resources.Count);
        foreach (var (type, name) in resources)
        {
            response.WriteString(name);
            if (context.Version >= 1)
                response.WriteInt8((sbyte)type);
            response.WriteNoTags();
        }
        response.WriteNoTags();
        return true;
    }
}

/// <summary>The body.</summary>
internal sealed record ListConfigResourcesRequest(ConfigResource[] Types);
