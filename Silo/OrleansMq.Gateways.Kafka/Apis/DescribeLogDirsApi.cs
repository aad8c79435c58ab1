using OrleansMq.Access;
using OrleansMq.Clusters;
using OrleansMq.Gateways.Kafka.Requests;
using OrleansMq.Gateways.Kafka.Wire;

namespace OrleansMq.Gateways.Kafka.Apis;

/// <summary>Key 35: returns the disk use of all replicas on this broker, leaders and followers.</summary>
internal sealed class DescribeLogDirsApi() : KafkaApi<DescribeLogDirsRequest>(ApiKey.DescribeLogDirs, 1, 4, flexibleFrom: 2)
{
    protected override DescribeLogDirsRequest Read(ref RequestReader reader, short version)
    {
        var count = reader.ReadNullableArrayLength(elementBytes: 3);
        if (count < 0)
            return new DescribeLogDirsRequest(null);
        var topics = new Dictionary<string, HashSet<int>>();
        for (; count > 0; count--)
        {
            var name = reader.ReadString();
            if (!topics.TryGetValue(name, out var numbers))
                topics[name] = numbers = [];
            numbers.UnionWith(reader.ReadInt32Array());
            reader.SkipTags();
        }
        return new DescribeLogDirsRequest(topics);
    }

    protected override ValueTask<bool> AnswerAsync(RequestContext context, DescribeLogDirsRequest request, ResponseWriter response)
    {
        var image = context.Services.Metadata.Image;
        var isAllowed = context.Access.Authorizes(AccessOperation.Describe, ResourceType.Cluster);
        var error = isAllowed ? ErrorCode.None : ErrorCode.ClusterAuthorizationFailed;
        var topics = (isAllowed ? context.Access.ListReplicas() : []).Where(partition => IsAskedFor(image, partition, request))
            .GroupBy(static partition => partition.TopicPartition.Topic).OrderBy(static topic => topic.Key, StringComparer.Ordinal)
            .ToArray();
        response.WriteThrottle();
        if (context.Version >= 3)
            response.WriteError(error);
        response.WriteLength(1);
        response.WriteError(error);
        response.WriteString(isAllowed && image.Brokers.TryGetValue(context.Services.Self, out var self)
            ? self.Registration.DataDirectory : "");
        response.WriteLength(topics.Length);
        foreach (var topic in topics)
        {
            response.WriteString(topic.Key);
            response.WriteLength(topic.Count());
            foreach (var partition in topic.OrderBy(static partition => partition.TopicPartition.Partition))
            {
                response.WriteInt32(partition.TopicPartition.Partition);
                response.WriteInt64(partition.SizeInBytes);
                response.WriteInt64(0); // The lag behind its own high watermark: always zero.
                response.WriteBool(false);
                response.WriteNoTags();
            }
            response.WriteNoTags();
        }
        if (context.Version >= 4)
        {
            // The gateway does not know the size of the volume.
            response.WriteInt64(-1);
            response.WriteInt64(-1);
        }
        response.WriteNoTags();
        response.WriteNoTags();
        return Answered;
    }

    // Skip the remains of a deleted topic.
    private static bool IsAskedFor(ClusterImage image, HeldReplica partition, DescribeLogDirsRequest request)
    {
        var (name, number) = (partition.TopicPartition.Topic, partition.TopicPartition.Partition);
        return image.FindServed(name) is { } topic && topic.TopicId == partition.TopicId && number < topic.Serving
            && (request.Topics is null || (request.Topics.TryGetValue(name, out var numbers) && numbers.Contains(number)));
    }
}

/// <summary>The body; null for all.</summary>
internal sealed record DescribeLogDirsRequest(IReadOnlyDictionary<string, HashSet<int>>? Topics);
