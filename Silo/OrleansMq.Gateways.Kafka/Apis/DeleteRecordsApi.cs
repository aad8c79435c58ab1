using OrleansMq.Gateways.Kafka.Requests;
using OrleansMq.Gateways.Kafka.Wire;

namespace OrleansMq.Gateways.Kafka.Apis;

/// <summary>Key 21: raises log start offsets. Offset -1 is the high watermark.</summary>
internal sealed class DeleteRecordsApi() : KafkaApi<DeleteRecordsRequest>(ApiKey.DeleteRecords, 0, 2, flexibleFrom: 2)
{
    // More than a client names in one request, unless it means harm.
    private const int AtATime = 1000;
    // A broker deletes within that time what waits for no other.
    private const int LeastTimeoutMs = 1000;

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
        return new DeleteRecordsRequest(topics, reader.ReadInt32());
    }

    protected override async ValueTask<bool> AnswerAsync(RequestContext context, DeleteRecordsRequest request, ResponseWriter response)
    {
        // All at once: each may wait for a replica that does not answer, and the requests behind this one wait for all.
        using var timeout = new CancellationTokenSource(
            TimeSpan.FromMilliseconds(Math.Max(request.TimeoutMs, LeastTimeoutMs)), context.Services.Options.TimeProvider);
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(timeout.Token, context.Aborted);
        var deletions = request.Topics
            .SelectMany(static topic => topic.Partitions.Select(partition => (Topic: topic.Name, Wanted: partition))).ToArray();
        var results = new (ErrorCode Error, long LogStartOffset)[deletions.Length];
        await Parallel.ForAsync(0, deletions.Length, new ParallelOptions { MaxDegreeOfParallelism = AtATime }, async (index, _) =>
            results[index] = await DeleteAsync(context, deletions[index].Topic, deletions[index].Wanted, deadline.Token)
                .ConfigureAwait(false)).ConfigureAwait(false);
        var next = 0;
        response.WriteThrottle();
        response.WriteLength(request.Topics.Length);
        foreach (var topic in request.Topics)
        {
            response.WriteString(topic.Name);
            response.WriteLength(topic.Partitions.Length);
            foreach (var partition in topic.Partitions)
            {
                var (error, start) = results[next++];
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
        DeleteRecordsPartition wanted, CancellationToken deadline)
    {
        try
        {
            var partitions = context.Services.Partitions;
            if (!partitions.TryFind(context.Access, AccessOperation.Delete, topic, Guid.Empty, wanted.Index, out var found))
                found = await partitions.ActivateAsync(context.Access, AccessOperation.Delete, topic, Guid.Empty, wanted.Index, deadline)
                    .ConfigureAwait(false);
            if (!found.Partition.IsOpen)
                return (found.Error, -1);
            return (ErrorCode.None, await found.Partition.DeleteRecordsAsync(wanted.Offset, deadline).ConfigureAwait(false));
        }
        catch (BrokerException refused)
        {
            return (refused.Code, -1);
        }
        catch (OperationCanceledException) when (!context.Aborted.IsCancellationRequested)
        {
            return (ErrorCode.RequestTimedOut, -1);
        }
    }
}

/// <summary>The body, with the time that all of it may take.</summary>
internal sealed record DeleteRecordsRequest(DeleteRecordsTopic[] Topics, int TimeoutMs);

/// <summary>Partitions of one topic.</summary>
internal sealed record DeleteRecordsTopic(string Name, DeleteRecordsPartition[] Partitions);

/// <summary>A partition, and the offset before which its records are deleted.</summary>
internal readonly record struct DeleteRecordsPartition(int Index, long Offset);
