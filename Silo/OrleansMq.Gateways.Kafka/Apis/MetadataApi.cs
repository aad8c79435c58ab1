using OrleansMq.Access;
using OrleansMq.Clusters;
using OrleansMq.Gateways.Kafka.Partitions;
using OrleansMq.Gateways.Kafka.Requests;
using OrleansMq.Gateways.Kafka.Wire;
using OrleansMq.Topics;

namespace OrleansMq.Gateways.Kafka.Apis;

/// <summary>Key 3: returns brokers, topics and partition leaders. A missing topic that is named is created if both client and broker allow
/// it.</summary>
internal sealed class MetadataApi() : KafkaApi<MetadataRequest>(ApiKey.Metadata, 0, 13, flexibleFrom: 9)
{
    protected override MetadataRequest Read(ref RequestReader reader, short version)
    {
        var count = reader.ReadNullableArrayLength(elementBytes: 2);
        MetadataTopic[]? topics = count < 0 || (version == 0 && count == 0) ? null : new MetadataTopic[count];
        for (var index = 0; index < topics?.Length; index++)
        {
            topics[index] = version >= 10 ? new MetadataTopic(reader.ReadUuid(), reader.ReadNullableString())
                : new MetadataTopic(Guid.Empty, reader.ReadString());
            reader.SkipTags();
        }
        var autoCreate = version < 4 || reader.ReadBool();
        var clusterOperations = version is >= 8 and <= 10 && reader.ReadBool();
        var topicOperations = version >= 8 && reader.ReadBool();
        return new MetadataRequest(topics, autoCreate, clusterOperations, topicOperations);
    }

    protected override async ValueTask<bool> AnswerAsync(RequestContext context, MetadataRequest request, ResponseWriter response)
    {
        var finder = new NamedTopics(context, request.AllowAutoTopicCreation);
        var named = request.Topics is null ? null : await finder.FindAsync([.. request.Topics.Distinct()]).ConfigureAwait(false);
        var image = context.Services.Metadata.Image;
        var topics = named
            ?? [.. image.Names.Keys.Select(image.FindServed).OfType<ImageTopic>()
                .Where(topic => context.Access.Allows(AccessOperation.Describe, ResourceType.Topic, topic.Name))
                .Select(topic => new NamedTopic(topic.Name, topic.TopicId, topic, ErrorCode.None))];
        var version = context.Version;
        if (version >= 3)
            response.WriteThrottle();
        var reachable = WriteBrokers(context, response);
        if (version >= 2)
            response.WriteString(context.Services.ClusterId);
        if (version >= 1)
            response.WriteInt32(reachable.Contains(image.Controller) ? image.Controller : reachable.DefaultIfEmpty(-1).Min());
        response.WriteLength(topics.Count);
        foreach (var topic in topics)
            Write(context, response, topic, reachable, request.IncludeTopicOperations);
        if (version is >= 8 and <= 10)
            response.WriteInt32(request.IncludeClusterOperations
                ? AuthorizedOperations.Cluster(context.Access) : AuthorizedOperations.NotAsked);
        if (version >= 13)
            response.WriteError(ErrorCode.None);
        response.WriteNoTags();
        return true;
    }

    private static HashSet<int> WriteBrokers(RequestContext context, ResponseWriter response)
    {
        var brokers = context.Services.Endpoints.All(context.Connection).ToArray();
        response.WriteLength(brokers.Length);
        foreach (var broker in brokers)
        {
            response.WriteInt32(broker.BrokerId);
            response.WriteString(broker.Host);
            response.WriteInt32(broker.Port);
            if (response.Version >= 1)
                response.WriteString(broker.Rack);
            response.WriteNoTags();
        }
        return [.. brokers.Select(broker => broker.BrokerId)];
    }

    private static void Write(RequestContext context, ResponseWriter response, NamedTopic named, HashSet<int> reachable,
        bool includeOperations)
    {
        var version = response.Version;
        response.WriteError(named.Error);
        response.WriteString(version >= 12 ? named.Name : named.Name ?? "");
        if (version >= 10)
            response.WriteUuid(named.TopicId);
        if (version >= 1)
            response.WriteBool(InternalTopics.IsInternal(named.Name));
        var count = named.Topic?.Serving ?? 0;
        response.WriteLength(count);
        for (var number = 0; number < count; number++)
            Write(context, response, named.Topic!, number, reachable);
        if (version >= 8)
            response.WriteInt32(includeOperations && named.Topic is { } known
                ? AuthorizedOperations.Topic(context.Access, known.Name) : AuthorizedOperations.NotAsked);
        response.WriteNoTags();
    }

    private static void Write(RequestContext context, ResponseWriter response, ImageTopic topic, int number, HashSet<int> reachable)
    {
        var version = response.Version;
        var partition = topic.Partitions[number];
        var (leader, epoch) = PartitionLeaders.Of(context.Services, topic, number);
        if (!reachable.Contains(leader))
            leader = -1;
        response.WriteError(leader < 0 ? ErrorCode.LeaderNotAvailable : ErrorCode.None);
        response.WriteInt32(number);
        response.WriteInt32(leader);
        if (version >= 7)
            response.WriteInt32(epoch);
        response.WriteInt32Array(partition.Replicas.AsSpan());
        response.WriteInt32Array(partition.Isr.AsSpan());
        if (version >= 5)
            response.WriteInt32Array([.. partition.Replicas.Where(broker => !context.Services.Metadata.Image.IsAlive(broker))]);
        response.WriteNoTags();
    }
}

/// <summary>The body.</summary>
/// <param name="Topics">The topics; null for all.</param>
/// <param name="AllowAutoTopicCreation">Whether the client allows the creation of missing topics.</param>
/// <param name="IncludeClusterOperations">Whether to include the authorized operations of the cluster.</param>
/// <param name="IncludeTopicOperations">Whether to include the authorized operations of each topic.</param>
internal sealed record MetadataRequest(MetadataTopic[]? Topics, bool AllowAutoTopicCreation, bool IncludeClusterOperations,
    bool IncludeTopicOperations);

/// <summary>A topic by name, or from version 12 on by id.</summary>
internal readonly record struct MetadataTopic(Guid TopicId, string? Name);
