using OrleansMq.Clusters;
using OrleansMq.Gateways.Kafka.Requests;
using OrleansMq.Gateways.Kafka.Wire;

namespace OrleansMq.Gateways.Kafka.Apis;

/// <summary>Key 35: what the partitions that this broker leads take on its disk.</summary>
internal sealed class DescribeLogDirsApi() : KafkaApi<DescribeLogDirsRequest>(ApiKey.DescribeLogDirs, 1, 4, flexibleFrom: 2)
{
    protected override DescribeLogDirsRequest Read(ref RequestReader reader, short version)
    {
        var count = reader.ReadNullableArrayLength(elementBytes: 2);
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
        var topics = image.Names.Keys.Select(image.FindServed).OfType<ImageTopic>().Select(topic => (topic.Name, Sizes: SizesOf(context.Services, topic, request)))
            .Where(static topic => topic.Sizes.Count > 0).ToArray();
        response.WriteInt32(0);
        if (context.Version >= 3)
            response.WriteError(ErrorCode.None);
        response.WriteLength(1);
        response.WriteError(ErrorCode.None);
        response.WriteString(image.Brokers.TryGetValue(context.Services.Self, out var self) ? self.Registration.DataDirectory : "");
        response.WriteLength(topics.Length);
        foreach (var (name, sizes) in topics)
        {
            response.WriteString(name);
            response.WriteLength(sizes.Count);
            foreach (var (number, size) in sizes)
            {
                response.WriteInt32(number);
                response.WriteInt64(size);
                response.WriteInt64(0);
                response.WriteBool(false);
                response.WriteNoTags();
            }
            response.WriteNoTags();
        }
        if (context.Version >= 4)
        {
            // The size of the volume is not known here.
            response.WriteInt64(-1);
            response.WriteInt64(-1);
        }
        response.WriteNoTags();
        response.WriteNoTags();
        return Answered;
    }

    private static List<(int Number, long Size)> SizesOf(GatewayServices services, ImageTopic topic, DescribeLogDirsRequest request)
    {
        var sizes = new List<(int, long)>();
        if (request.Topics is not null && !request.Topics.ContainsKey(topic.Name))
            return sizes;
        for (var number = 0; number < topic.Serving; number++)
        {
            if ((request.Topics is null || request.Topics[topic.Name].Contains(number)) && services.Partitions.FindLocal(topic, number) is { } partition)
                sizes.Add((number, partition.SizeInBytes));
        }
        return sizes;
    }
}

/// <summary>The body; null for all.</summary>
internal sealed record DescribeLogDirsRequest(IReadOnlyDictionary<string, HashSet<int>>? Topics);
