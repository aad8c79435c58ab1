using OrleansMq.Api;
using OrleansMq.Gateways.Kafka.Partitions;
using OrleansMq.Gateways.Kafka.Requests;
using OrleansMq.Gateways.Kafka.Wire;

namespace OrleansMq.Gateways.Kafka.Apis;

/// <summary>
/// Key 1: reads record batches of many partitions, and waits until there are enough. Sessions (KIP-227) are declined: every answer has
/// session id 0, which makes the client list all its partitions every time.
/// </summary>
internal sealed class FetchApi() : KafkaApi<FetchApiRequest>(ApiKey.Fetch, 4, 18, flexibleFrom: 12)
{
    protected override FetchApiRequest Read(ref RequestReader reader, short version)
    {
        if (version <= 14)
            reader.ReadInt32(); // A replica's id: no client is one.
        var request = new FetchApiRequest
        {
            MaxWait = TimeSpan.FromMilliseconds(Math.Max(reader.ReadInt32(), 0)),
            MinBytes = reader.ReadInt32(),
            MaxBytes = reader.ReadInt32(),
            Isolation = reader.ReadInt8() == 1 ? IsolationLevel.ReadCommitted : IsolationLevel.ReadUncommitted,
            SessionId = version >= 7 ? reader.ReadInt32() : 0,
            SessionEpoch = version >= 7 ? reader.ReadInt32() : -1,
            Topics = new FetchTopic[reader.ReadArrayLength(elementBytes: 3)],
        };
        for (var index = 0; index < request.Topics.Length; index++)
            request.Topics[index] = ReadTopic(ref reader, version);
        if (version >= 7)
            PassOverForgotten(ref reader, version);
        if (version >= 11)
            reader.ReadString(); // The client's rack: every partition is read from its leader.
        return request;
    }

    private static FetchTopic ReadTopic(ref RequestReader reader, short version)
    {
        var (name, id) = version >= 13 ? (null, reader.ReadUuid()) : (reader.ReadString(), Guid.Empty);
        var partitions = new FetchApiPartition[reader.ReadArrayLength(elementBytes: 16)];
        for (var index = 0; index < partitions.Length; index++)
        {
            var number = reader.ReadInt32();
            var currentEpoch = version >= 9 ? reader.ReadInt32() : -1;
            var offset = reader.ReadInt64();
            var lastEpoch = version >= 12 ? reader.ReadInt32() : -1;
            if (version >= 5)
                reader.ReadInt64(); // A replica's log start offset.
            partitions[index] = new FetchApiPartition(number, currentEpoch, offset, lastEpoch, reader.ReadInt32());
            reader.SkipTags();
        }
        reader.SkipTags();
        return new FetchTopic(name, id, partitions);
    }

    private static void PassOverForgotten(ref RequestReader reader, short version)
    {
        for (var left = reader.ReadArrayLength(elementBytes: 3); left > 0; left--)
        {
            if (version >= 13)
                reader.ReadUuid();
            else
                reader.ReadString();
            reader.ReadInt32Array();
            reader.SkipTags();
        }
    }

    protected override async ValueTask<bool> AnswerAsync(RequestContext context, FetchApiRequest request, ResponseWriter response)
    {
        // A client uses a session only after it got one; this one is not from this broker.
        if (request.SessionId != 0 && request.SessionEpoch > 0)
        {
            WriteHead(context, response, ErrorCode.FetchSessionIdNotFound);
            response.WriteLength(0);
            response.WriteNoTags();
            return true;
        }
        using var read = new PartitionReads(context, request);
        await read.RunAsync().ConfigureAwait(false);
        // Empty, as KIP-219 has it: the client fetches the same again when the time has passed.
        if (read.IsOverQuota())
        {
            WriteHead(context, response, ErrorCode.None);
            response.WriteLength(0);
            response.WriteNoTags();
            return true;
        }
        WriteHead(context, response, ErrorCode.None);
        response.WriteLength(request.Topics.Length);
        var next = 0;
        foreach (var topic in request.Topics)
        {
            if (context.Version >= 13)
                response.WriteUuid(topic.TopicId);
            else
                response.WriteString(topic.Name);
            response.WriteLength(topic.Partitions.Length);
            foreach (var partition in topic.Partitions)
                Write(response, partition.Index, read.Take(next++));
            response.WriteNoTags();
        }
        if (context.Version >= 16)
            LeaderTags.WriteNodeEndpoints(response, tag: 0, context, read.Redirects);
        else
            response.WriteNoTags();
        return true;
    }

    private static void WriteHead(RequestContext context, ResponseWriter response, ErrorCode error)
    {
        response.WriteThrottle();
        if (context.Version < 7)
            return;
        response.WriteError(error);
        response.WriteInt32(0);
    }

    private static void Write(ResponseWriter response, int index, in PartitionRead read)
    {
        var version = response.Version;
        var fetched = read.Fetched!;
        response.WriteInt32(index);
        response.WriteError(fetched.Error);
        response.WriteInt64(fetched.HighWatermark);
        response.WriteInt64(fetched.LastStableOffset);
        if (version >= 5)
            response.WriteInt64(fetched.LogStartOffset);
        WriteAborted(response, fetched);
        if (version >= 11)
            response.WriteInt32(-1); // No preferred read replica.
        response.WriteRecords(fetched);
        if (version >= 12)
            WriteTags(response, read);
    }

    // In the order of their markers, as the client passes them.
    private static void WriteAborted(ResponseWriter response, FetchResult fetched)
    {
        response.WriteLength(fetched.Aborted.Count);
        foreach (var aborted in fetched.Aborted)
        {
            response.WriteInt64(aborted.ProducerId);
            response.WriteInt64(aborted.First);
            response.WriteNoTags();
        }
    }

    private static void WriteTags(ResponseWriter response, in PartitionRead read)
    {
        var namesLeader = read.Redirect >= 0;
        response.WriteTagCount((read.Diverging is null ? 0 : 1) + (namesLeader ? 1 : 0));
        if (read.Diverging is { } diverging)
            response.WriteTag(0, diverging, static (content, end) =>
            {
                content.WriteInt32(end.Epoch);
                content.WriteInt64(end.StartOffset);
                content.WriteNoTags();
            });
        if (namesLeader)
            LeaderTags.WriteCurrentLeader(response, tag: 1, read.Found.Leader, read.Found.LeaderEpoch);
    }
}

/// <summary>The body.</summary>
internal sealed record FetchApiRequest
{
    /// <summary>How long to wait for <see cref="MinBytes"/>.</summary>
    public TimeSpan MaxWait { get; init; }
    public int MinBytes { get; init; }
    public int MaxBytes { get; init; }
    public IsolationLevel Isolation { get; init; }
    public int SessionId { get; init; }
    public int SessionEpoch { get; init; }
    public required FetchTopic[] Topics { get; init; }
}

/// <summary>A topic by name, from version 13 on by id.</summary>
internal sealed record FetchTopic(string? Name, Guid TopicId, FetchApiPartition[] Partitions);

/// <summary>A partition to read.</summary>
/// <param name="Index">The partition's number.</param>
/// <param name="CurrentLeaderEpoch">The leader epoch that the client knows; -1 to skip the check.</param>
/// <param name="Offset">The first offset to read.</param>
/// <param name="LastFetchedEpoch">The epoch of the record before it; -1 to skip the check.</param>
/// <param name="MaxBytes">The most bytes of this partition.</param>
internal readonly record struct FetchApiPartition(int Index, int CurrentLeaderEpoch, long Offset, int LastFetchedEpoch, int MaxBytes);
