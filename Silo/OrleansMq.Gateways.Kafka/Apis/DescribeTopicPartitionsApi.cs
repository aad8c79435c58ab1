using OrleansMq.Access;
using OrleansMq.Clusters;
using OrleansMq.Gateways.Kafka.Partitions;
using OrleansMq.Gateways.Kafka.Requests;
using OrleansMq.Gateways.Kafka.Wire;
using OrleansMq.Topics;

namespace OrleansMq.Gateways.Kafka.Apis;

/// <summary>Key 75: topics and their partitions, page by page (KIP-966).</summary>
internal sealed class DescribeTopicPartitionsApi()
    : KafkaApi<DescribeTopicPartitionsRequest>(ApiKey.DescribeTopicPartitions, 0, 0, flexibleFrom: 0)
{
    // Partitions of one answer at most: what Kafka allows.
    private const int MaxPartitions = 2000;

    protected override DescribeTopicPartitionsRequest Read(ref RequestReader reader, short version)
    {
        var topics = new string[reader.ReadArrayLength(elementBytes: 2)];
        for (var index = 0; index < topics.Length; index++)
        {
            topics[index] = reader.ReadString();
            reader.SkipTags();
        }
        var limit = reader.ReadInt32();
        PartitionCursor? cursor = null;
        if (reader.ReadInt8() >= 0)
        {
            cursor = new PartitionCursor(reader.ReadString(), reader.ReadInt32());
            reader.SkipTags();
        }
        return new DescribeTopicPartitionsRequest(topics, limit, cursor);
    }

    protected override ValueTask<bool> AnswerAsync(RequestContext context, DescribeTopicPartitionsRequest request, ResponseWriter response)
    {
        var (pages, next) = Cut(context.Services.Metadata.Image, request, MayDescribe);
        response.WriteThrottle();
        response.WriteLength(pages.Count);
        foreach (var page in pages)
            Write(context, response, page);
        response.WriteInt8(next is null ? (sbyte)-1 : (sbyte)1);
        if (next is not null)
        {
            response.WriteString(next.Topic);
            response.WriteInt32(next.Partition);
            response.WriteNoTags();
        }
        response.WriteNoTags();
        return Answered;

        bool MayDescribe(string topic) => context.Access.Allows(AccessOperation.Describe, ResourceType.Topic, topic);
    }

    /// <summary>Topics by name from the cursor on, as many partitions as one answer may have, and where the next one goes on.</summary>
    private static (List<TopicPage> Pages, PartitionCursor? Next) Cut(ClusterImage image, DescribeTopicPartitionsRequest request,
        Func<string, bool> mayDescribe)
    {
        var left = Math.Clamp(request.PartitionLimit, 1, MaxPartitions);
        var names = request.Topics is [] ? image.Names.Keys.Where(name => image.FindServed(name) is not null && mayDescribe(name))
            : request.Topics.Distinct().Order(StringComparer.Ordinal);
        var pages = new List<TopicPage>();
        foreach (var name in names)
        {
            var from = 0;
            if (request.Cursor is { } cursor)
            {
                var order = string.CompareOrdinal(name, cursor.Topic);
                if (order < 0)
                    continue;
                from = order == 0 ? Math.Max(cursor.Partition, 0) : 0;
            }
            if (left == 0)
                return (pages, new PartitionCursor(name, from));
            var isAllowed = mayDescribe(name);
            var topic = isAllowed ? image.FindServed(name) : null;
            var count = Math.Min(left, Math.Max((topic?.Serving ?? 0) - from, 0));
            pages.Add(new TopicPage(name, topic, from, count, topic is not null ? ErrorCode.None
                : isAllowed ? ErrorCode.UnknownTopicOrPartition : ErrorCode.TopicAuthorizationFailed));
            left -= count;
            if (topic is not null && from + count < topic.Serving)
                return (pages, new PartitionCursor(name, from + count));
        }
        return (pages, null);
    }

    private static void Write(RequestContext context, ResponseWriter response, TopicPage page)
    {
        response.WriteError(page.Error);
        response.WriteString(page.Name);
        response.WriteUuid(page.Topic?.TopicId ?? Guid.Empty);
        response.WriteBool(InternalTopics.IsInternal(page.Name));
        response.WriteLength(page.Count);
        for (var number = page.From; number < page.From + page.Count; number++)
            Write(context, response, page.Topic!, number);
        response.WriteInt32(AuthorizedOperations.NotAsked);
        response.WriteNoTags();
    }

    private static void Write(RequestContext context, ResponseWriter response, ImageTopic topic, int number)
    {
        var partition = topic.Partitions[number];
        var (leader, epoch) = PartitionLeaders.Of(context.Services, topic, number);
        response.WriteError(leader < 0 ? ErrorCode.LeaderNotAvailable : ErrorCode.None);
        response.WriteInt32(number);
        response.WriteInt32(leader);
        response.WriteInt32(epoch);
        response.WriteInt32Array(partition.Replicas.AsSpan());
        response.WriteInt32Array(partition.Isr.AsSpan());
        response.WriteInt32Array(partition.Elr.AsSpan());
        response.WriteLength(0);
        response.WriteInt32Array([.. partition.Replicas.Where(broker => !context.Services.Metadata.Image.IsAlive(broker))]);
        response.WriteNoTags();
    }

    private sealed record TopicPage(string Name, ImageTopic? Topic, int From, int Count, ErrorCode Error);
}

/// <summary>The body.</summary>
/// <param name="Topics">Empty for all.</param>
/// <param name="PartitionLimit">Partitions of the answer at most.</param>
/// <param name="Cursor">Where to go on; null to begin.</param>
internal sealed record DescribeTopicPartitionsRequest(string[] Topics, int PartitionLimit, PartitionCursor? Cursor);

/// <summary>The first partition of the next answer.</summary>
internal sealed record PartitionCursor(string Topic, int Partition);
