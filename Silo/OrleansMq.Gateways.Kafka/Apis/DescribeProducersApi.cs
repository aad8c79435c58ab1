using OrleansMq.Gateways.Kafka.Partitions;
using OrleansMq.Gateways.Kafka.Requests;
using OrleansMq.Gateways.Kafka.Wire;
using OrleansMq.Producers;

namespace OrleansMq.Gateways.Kafka.Apis;

/// <summary>Key 61: describes the producers that partitions know, with what they have open there (KIP-664).</summary>
internal sealed class DescribeProducersApi() : KafkaApi<DescribeProducersRequest>(ApiKey.DescribeProducers, 0, 0, flexibleFrom: 0)
{
    protected override DescribeProducersRequest Read(ref RequestReader reader, short version)
    {
        var topics = new TransactionTopic[reader.ReadArrayLength(elementBytes: 3)];
        for (var index = 0; index < topics.Length; index++)
        {
            topics[index] = new TransactionTopic(reader.ReadString(), reader.ReadInt32Array());
            reader.SkipTags();
        }
        return new DescribeProducersRequest(topics);
    }

    protected override async ValueTask<bool> AnswerAsync(RequestContext context, DescribeProducersRequest request, ResponseWriter response)
    {
        response.WriteThrottle();
        response.WriteLength(request.Topics.Length);
        var repeated = RepeatedPartitions.Of(from topic in request.Topics
                                             from partition in topic.Partitions
                                             select (topic.Name, partition));
        foreach (var topic in request.Topics)
        {
            response.WriteString(topic.Name);
            response.WriteLength(topic.Partitions.Length);
            foreach (var partition in topic.Partitions)
            {
                if (repeated.Contains((topic.Name, partition)))
                {
                    Write(response, partition, ErrorCode.InvalidRequest,
                        $"The request names partition {partition} of '{topic.Name}' more than once: name it once.", []);
                    continue;
                }
                if (!context.Services.Partitions.TryFind(context.Access, AccessOperation.Read, topic.Name, Guid.Empty, partition,
                    out var found))
                    found = await context.Services.Partitions.ActivateAsync(context.Access, AccessOperation.Read, topic.Name, Guid.Empty,
                        partition, context.Aborted).ConfigureAwait(false);
                Write(response, partition, found);
            }
            response.WriteNoTags();
        }
        response.WriteNoTags();
        return true;
    }

    private static void Write(ResponseWriter response, int partition, in LocatedPartition found)
    {
        var (error, message) = (found.Error, found.Message);
        if (found.Partition.IsOpen)
            error = found.Partition.CanRead(out message);
        Write(response, partition, error, message, error == ErrorCode.None ? found.Partition.DescribeProducers() : []);
    }

    private static void Write(ResponseWriter response, int partition, ErrorCode error, string? message,
        IReadOnlyCollection<ActiveProducer> producers)
    {
        response.WriteInt32(partition);
        response.WriteError(error);
        response.WriteString(error == ErrorCode.None ? null : message);
        response.WriteLength(producers.Count);
        foreach (var producer in producers)
            Write(response, producer);
        response.WriteNoTags();
    }

    private static void Write(ResponseWriter response, in ActiveProducer producer)
    {
        response.WriteInt64(producer.ProducerId);
        response.WriteInt32(producer.Epoch);
        response.WriteInt32(producer.LastSequence);
        response.WriteInt64(producer.LastTimestamp);
        response.WriteInt32(producer.CoordinatorEpoch);
        response.WriteInt64(producer.TransactionStart);
        response.WriteNoTags();
    }
}

/// <summary>The body.</summary>
internal sealed record DescribeProducersRequest(TransactionTopic[] Topics);
