using OrleansMq.Gateways.Kafka.Partitions;
using OrleansMq.Gateways.Kafka.Requests;
using OrleansMq.Gateways.Kafka.Wire;

namespace OrleansMq.Gateways.Kafka.Apis;

/// <summary>Key 23: finds the end of a leader epoch, by which a consumer detects that records it has read were truncated
/// (KIP-320).</summary>
internal sealed class OffsetForLeaderEpochApi() : KafkaApi<OffsetForLeaderEpochRequest>(ApiKey.OffsetForLeaderEpoch, 2, 4, flexibleFrom: 4)
{
    protected override OffsetForLeaderEpochRequest Read(ref RequestReader reader, short version)
    {
        if (version >= 3)
            reader.ReadInt32(); // A replica's id.
        var topics = new EpochTopic[reader.ReadArrayLength(elementBytes: 3)];
        for (var index = 0; index < topics.Length; index++)
        {
            var name = reader.ReadString();
            var partitions = new EpochPartition[reader.ReadArrayLength(elementBytes: 12)];
            for (var other = 0; other < partitions.Length; other++)
            {
                partitions[other] = new EpochPartition(reader.ReadInt32(), reader.ReadInt32(), reader.ReadInt32());
                reader.SkipTags();
            }
            topics[index] = new EpochTopic(name, partitions);
            reader.SkipTags();
        }
        return new OffsetForLeaderEpochRequest(topics);
    }

    protected override async ValueTask<bool> AnswerAsync(RequestContext context, OffsetForLeaderEpochRequest request,
        ResponseWriter response)
    {
        response.WriteThrottle();
        response.WriteLength(request.Topics.Length);
        foreach (var topic in request.Topics)
        {
            response.WriteString(topic.Name);
            response.WriteLength(topic.Partitions.Length);
            foreach (var partition in topic.Partitions)
            {
                if (!context.Services.Partitions.TryFind(context.Access, AccessOperation.Describe, topic.Name, Guid.Empty,
                    partition.Index, out var found))
                    found = await context.Services.Partitions.ActivateAsync(context.Access, AccessOperation.Describe, topic.Name,
                        Guid.Empty, partition.Index, context.Aborted).ConfigureAwait(false);
                Write(response, found, partition);
            }
            response.WriteNoTags();
        }
        response.WriteNoTags();
        return true;
    }

    private static void Write(ResponseWriter response, in LocatedPartition found, in EpochPartition wanted)
    {
        var error = !found.Partition.IsOpen ? found.Error
            : found.Partition.CanRead(out _) is not ErrorCode.None and var refused ? refused
            : PartitionReads.CheckEpoch(found.Partition, wanted.CurrentLeaderEpoch);
        var end = error == ErrorCode.None ? found.Partition.EndOffsetOf(wanted.LeaderEpoch) : Log.LeaderEpochCache.None;
        response.WriteError(error);
        response.WriteInt32(wanted.Index);
        response.WriteInt32(end.Epoch);
        response.WriteInt64(end.StartOffset);
        response.WriteNoTags();
    }
}

/// <summary>The body.</summary>
internal sealed record OffsetForLeaderEpochRequest(EpochTopic[] Topics);

/// <summary>Partitions of one topic.</summary>
internal sealed record EpochTopic(string Name, EpochPartition[] Partitions);

/// <summary>An epoch's end to find.</summary>
/// <param name="Index">The partition's number.</param>
/// <param name="CurrentLeaderEpoch">The leader epoch that the client knows; -1 to skip the check.</param>
/// <param name="LeaderEpoch">The epoch to find the end of.</param>
internal readonly record struct EpochPartition(int Index, int CurrentLeaderEpoch, int LeaderEpoch);
