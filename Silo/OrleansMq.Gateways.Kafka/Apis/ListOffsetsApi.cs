using OrleansMq.Api;
using OrleansMq.Gateways.Kafka.Partitions;
using OrleansMq.Gateways.Kafka.Requests;
using OrleansMq.Gateways.Kafka.Wire;

namespace OrleansMq.Gateways.Kafka.Apis;

/// <summary>Key 2: finds offsets by time, and the ends of logs.</summary>
internal sealed class ListOffsetsApi() : KafkaApi<ListOffsetsRequest>(ApiKey.ListOffsets, 1, 10, flexibleFrom: 6)
{
    // Offsets of records on this broker's disk and in remote storage (KIP-405). All records are on disk.
    private const long EarliestLocal = -4;
    private const long LatestTiered = -5;

    protected override ListOffsetsRequest Read(ref RequestReader reader, short version)
    {
        reader.ReadInt32(); // A replica's id.
        var isolation = version >= 2 && reader.ReadInt8() == 1 ? IsolationLevel.ReadCommitted : IsolationLevel.ReadUncommitted;
        var topics = new ListOffsetsTopic[reader.ReadArrayLength(elementBytes: 3)];
        for (var index = 0; index < topics.Length; index++)
        {
            var name = reader.ReadString();
            var partitions = new ListOffsetsPartition[reader.ReadArrayLength(elementBytes: 12)];
            for (var other = 0; other < partitions.Length; other++)
            {
                partitions[other] = new ListOffsetsPartition(reader.ReadInt32(), version >= 4
                    ? reader.ReadInt32() : -1, reader.ReadInt64());
                reader.SkipTags();
            }
            topics[index] = new ListOffsetsTopic(name, partitions);
            reader.SkipTags();
        }
        if (version >= 10)
            reader.ReadInt32(); // The timeout of remote storage.
        return new ListOffsetsRequest(isolation, topics);
    }

    protected override async ValueTask<bool> AnswerAsync(RequestContext context, ListOffsetsRequest request, ResponseWriter response)
    {
        if (context.Version >= 2)
            response.WriteThrottle();
        response.WriteLength(request.Topics.Length);
        // As with Kafka: each lookup may decompress a batch.
        var repeated = RepeatedPartitions.Of(from topic in request.Topics
                                             from partition in topic.Partitions
                                             select (topic.Name, partition.Index));
        var asked = 0;
        foreach (var topic in request.Topics)
        {
            response.WriteString(topic.Name);
            response.WriteLength(topic.Partitions.Length);
            foreach (var partition in topic.Partitions)
            {
                // A lookup by time may decompress a batch, and a topic may have thousands of partitions.
                if (asked++ > 0)
                    context.Aborted.ThrowIfCancellationRequested();
                if (repeated.Contains((topic.Name, partition.Index)))
                {
                    Write(response, partition.Index, new OffsetResult(ErrorCode.InvalidRequest, -1));
                    continue;
                }
                if (!context.Services.Partitions.TryFind(context.Access, AccessOperation.Describe, topic.Name, Guid.Empty,
                    partition.Index, out var found))
                    found = await context.Services.Partitions.ActivateAsync(context.Access, AccessOperation.Describe, topic.Name,
                        Guid.Empty, partition.Index, context.Aborted).ConfigureAwait(false);
                Write(response, partition.Index, Find(context.Version, request.Isolation, found, partition));
            }
            response.WriteNoTags();
        }
        response.WriteNoTags();
        return true;
    }

    private static OffsetResult Find(short version, IsolationLevel isolation, in LocatedPartition found,
        in ListOffsetsPartition wanted)
    {
        if (!found.Partition.IsOpen)
            return new OffsetResult(found.Error, -1);
        var partition = found.Partition;
        if (PartitionReads.CheckEpoch(partition, wanted.CurrentLeaderEpoch) is not ErrorCode.None and var refused)
            return new OffsetResult(refused, -1);
        switch (wanted.Timestamp)
        {
            case EarliestLocal when version >= 8:
                return partition.FindOffset(OffsetSpec.Earliest);
            case LatestTiered when version >= 9:
                return new OffsetResult(ErrorCode.None, -1);
            case < -3:
            case -3 when version < 7:
                return new OffsetResult(ErrorCode.UnsupportedVersion, -1);
        }
        return partition.FindOffset(new OffsetSpec(wanted.Timestamp) { Isolation = isolation });
    }

    private static void Write(ResponseWriter response, int index, in OffsetResult result)
    {
        response.WriteInt32(index);
        response.WriteError(result.Error);
        response.WriteInt64(result.Timestamp);
        response.WriteInt64(result.Offset);
        if (response.Version >= 4)
            response.WriteInt32(result.LeaderEpoch);
        response.WriteNoTags();
    }
}

/// <summary>The body.</summary>
internal sealed record ListOffsetsRequest(IsolationLevel Isolation, ListOffsetsTopic[] Topics);

/// <summary>Partitions of one topic.</summary>
internal sealed record ListOffsetsTopic(string Name, ListOffsetsPartition[] Partitions);

/// <summary>An offset to find.</summary>
/// <param name="Index">The partition's number.</param>
/// <param name="CurrentLeaderEpoch">The leader epoch that the client knows; -1 to skip the check.</param>
/// <param name="Timestamp">Milliseconds since 1970, or a negative value that names a position.</param>
internal readonly record struct ListOffsetsPartition(int Index, int CurrentLeaderEpoch, long Timestamp);
