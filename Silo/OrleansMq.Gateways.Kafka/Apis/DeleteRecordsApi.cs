using OrleansMq.Gateways.Kafka.Requests;
using OrleansMq.Gateways.Kafka.Wire;

namespace OrleansMq.Gateways.Kafka.Apis;

/// <summary>Key 21: raises log start offsets. Offset -1 is the high watermark.</summary>
internal sealed class DeleteRecordsApi() : KafkaApi<DeleteRecordsRequest>(ApiKey.DeleteRecords, 0, 2, flexibleFrom: 2)
{
    protected override DeleteRecordsRequest Read(ref RequestReader reader, short version)
    {
        var topics = new DeleteRecordsTopic[reader.ReadArrayLength(elementBytes: 3)];
        for (var index = 0; index < topics.Length; index++)
        {
            var name = reader.ReadString();
            var partitions = new DeleteRecordsPartition[reader.ReadArrayLength(elementBytes: 12)];
            for (var other = 0; other < partitions.Length; other++)
            {
                partitions[other] = new DeleteRecordsPartition(reader.ReadInt32(), reader.ReadInt64());
                reader.SkipTags();
            }
            topics[index] = new DeleteRecordsTopic(name, partitions);
            reader.SkipTags();
        }
        reader.ReadInt32(); // The timeout.
        return new DeleteRecordsRequest(topics);
    }

    protected override async ValueTask<bool> AnswerAsync(RequestContext context, DeleteRecordsRequest request, ResponseWriter response)
    {
        response.WriteInt32(0);
        response.WriteLength(request.Topics.Length);
        foreach (var topic in request.Topics)
        {
            response.WriteString(topic.Name);
            response.WriteLength(topic.Partitions.Length);
            foreach (var partition in topic.Partitions)
            {
                var (error, start) = await DeleteAsync(context, topic.Name, partition).ConfigureAwait(false);
                response.WriteInt32(partition.Index);
                response.WriteInt64(start);
                response.WriteError(error);
                response.WriteNoTags();
            }
            response.WriteNoTags();
        }
        response.WriteNoTags();
        return true;
    }

    private static async ValueTask<(ErrorCode Error, long LogStartOffset)> DeleteAsync(RequestContext context, string topic,
        DeleteRecordsPartition wanted)
    {
        if (!context.Services.Partitions.TryFind(context.Access, AccessOperation.Delete, topic, Guid.Empty, wanted.Index, out var found))
            found = await context.Services.Partitions.ActivateAsync(context.Access, AccessOperation.Delete, topic, Guid.Empty, wanted.Index,
                context.Aborted).ConfigureAwait(false);
        if (!found.Partition.IsOpen)
            return (found.Error, -1);
        try
        {
            return (ErrorCode.None, await found.Partition.DeleteRecordsAsync(wanted.Offset, context.Aborted).ConfigureAwait(false));
        }
        catch (BrokerException refused)
        {
            return (refused.Code, -1);
        }
    }
}

/// <summary>The body.</summary>
internal sealed record DeleteRecordsRequest(DeleteRecordsTopic[] Topics);

/// <summary>Partitions of one topic.</summary>
internal sealed record DeleteRecordsTopic(string Name, DeleteRecordsPartition[] Partitions);

/// <summary>A partition, and the offset before which its records are deleted.</summary>
internal readonly record struct DeleteRecordsPartition(int Index, long Offset);
