using OrleansMq.Access;
using OrleansMq.Gateways.Kafka.Requests;
using OrleansMq.Gateways.Kafka.Shares;
using OrleansMq.Gateways.Kafka.Wire;
using OrleansMq.Shares;

namespace OrleansMq.Gateways.Kafka.Apis;

/// <summary>Key 78: acquires records of the partitions of a share session, and acknowledges earlier ones.</summary>
internal sealed class ShareFetchApi() : KafkaApi<ShareFetchRequest>(ApiKey.ShareFetch, 1, 2, flexibleFrom: 0)
{
    protected override ShareFetchRequest Read(ref RequestReader reader, short version) => new()
    {
        GroupId = reader.ReadNullableString() ?? "",
        MemberId = reader.ReadNullableString() ?? "",
        SessionEpoch = reader.ReadInt32(),
        MaxWait = TimeSpan.FromMilliseconds(Math.Max(reader.ReadInt32(), 0)),
        MinBytes = reader.ReadInt32(),
        MaxBytes = reader.ReadInt32(),
        MaxRecords = reader.ReadInt32(),
        BatchSize = reader.ReadInt32(),
        IsStrict = version >= 2 && reader.ReadInt8() == 1,
        IsRenewal = version >= 2 && reader.ReadBool(),
        Topics = ShareRequests.ReadTopics(ref reader),
        Forgotten = ReadForgotten(ref reader),
    };

    private static ForgottenShareTopic[] ReadForgotten(ref RequestReader reader)
    {
        var forgotten = new ForgottenShareTopic[reader.ReadArrayLength(elementBytes: 18)];
        for (var index = 0; index < forgotten.Length; index++)
        {
            forgotten[index] = new ForgottenShareTopic(reader.ReadUuid(), reader.ReadInt32Array());
            reader.SkipTags();
        }
        return forgotten;
    }

    protected override async ValueTask<bool> AnswerAsync(RequestContext context, ShareFetchRequest request, ResponseWriter response)
    {
        var error = Enter(context, request, out var session);
        if (error != ErrorCode.None)
        {
            if (error == ErrorCode.ShareSessionLimitReached)
                await Task.Delay(request.MaxWait < LongestPause ? request.MaxWait : LongestPause, context.Services.Options.TimeProvider,
                    context.Aborted).ConfigureAwait(false);
            Write(context, response, error, default, []);
            return true;
        }
        var (image, unknown) = (context.Services.Metadata.Image, new List<SharePartitionId>());
        if (request.SessionEpoch != ShareSessions<ShareReader>.ClosingEpoch && !context.Services.Shares.TryAdd(session!,
            request.Topics.SelectMany(static topic => topic.Partitions,
                static (topic, partition) => new SharePartitionId(topic.TopicId, partition.Index)),
            partition => image.Topics.TryGetValue(partition.TopicId, out var topic) && partition.Partition >= 0
                && partition.Partition < topic.Serving, unknown))
        {
            Write(context, response, ErrorCode.InvalidRequest, default, []);
            return true;
        }
        var run = new ShareRun(context, request.GroupId, session!);
        run.Refuse(unknown);
        await run.AcknowledgeAsync(request.Topics).ConfigureAwait(false);
        if (request.SessionEpoch == ShareSessions<ShareReader>.ClosingEpoch)
        {
            ShareServer.End(session!);
        }
        else
        {
            foreach (var topic in request.Forgotten)
            {
                foreach (var partition in topic.Partitions)
                    session!.Forget(new SharePartitionId(topic.TopicId, partition));
            }
            if (!request.IsRenewal)
                await run.FetchAsync(request).ConfigureAwait(false);
        }
        Write(context, response, ErrorCode.None, run.LockDuration, [.. run.Results.Where(static result => result.IsNews)]);
        return true;
    }

    private static readonly TimeSpan LongestPause = TimeSpan.FromSeconds(30);

    private static ErrorCode Enter(RequestContext context, ShareFetchRequest request, out ShareSession<ShareReader>? session)
    {
        session = null;
        if (!context.Access.Authorizes(AccessOperation.Read, ResourceType.Group, request.GroupId))
            return ErrorCode.GroupAuthorizationFailed;
        if (request.GroupId.Length == 0 || request.MemberId.Length == 0)
            return ErrorCode.InvalidRequest;
        // A session that begins holds no record; one that renews locks fetches none.
        var acknowledges = request.Topics.Any(static topic => topic.Partitions.Any(static one => one.Acknowledgements.Length > 0));
        if ((request.SessionEpoch == ShareSessions<ShareReader>.OpeningEpoch && acknowledges)
            || (request.IsRenewal && (request.MaxWait > TimeSpan.Zero || request.MinBytes != 0 || request.MaxBytes != 0
                || request.MaxRecords != 0)))
            return ErrorCode.InvalidRequest;
        return context.Services.Shares.Enter(context, new ShareSessionKey(request.GroupId, request.MemberId), request.SessionEpoch,
            out session);
    }

    private static void Write(RequestContext context, ResponseWriter response, ErrorCode error, TimeSpan lockDuration,
        ShareResult[] results)
    {
        response.WriteThrottle();
        response.WriteError(error);
        response.WriteString(null);
        response.WriteInt32((int)lockDuration.TotalMilliseconds);
        var topics = results.GroupBy(static result => result.Id.TopicId).ToArray();
        response.WriteLength(topics.Length);
        foreach (var topic in topics)
        {
            response.WriteUuid(topic.Key);
            response.WriteLength(topic.Count());
            foreach (var result in topic)
                Write(response, result);
            response.WriteNoTags();
        }
        ShareRequests.WriteNodeEndpoints(response, context, results.Select(static result => result.Leader));
        response.WriteNoTags();
    }

    private static void Write(ResponseWriter response, ShareResult result)
    {
        response.WriteInt32(result.Id.Partition);
        response.WriteError(result.Error);
        response.WriteString(result.Message);
        response.WriteError(result.AcknowledgeError);
        response.WriteString(null);
        ShareRequests.WriteLeader(response, result.Leader, result.LeaderEpoch);
        response.WriteRecords(result.Batches);
        response.WriteLength(result.Acquired.Count);
        foreach (var run in result.Acquired)
        {
            response.WriteInt64(run.First);
            response.WriteInt64(run.Last);
            response.WriteInt16((short)Math.Min(run.Deliveries, short.MaxValue));
            response.WriteNoTags();
        }
        response.WriteNoTags();
    }
}

/// <summary>The body.</summary>
internal sealed record ShareFetchRequest
{
    public required string GroupId { get; init; }
    public required string MemberId { get; init; }
    /// <summary>0 opens the session, -1 closes it; else the last one and 1.</summary>
    public int SessionEpoch { get; init; }
    public TimeSpan MaxWait { get; init; }
    public int MinBytes { get; init; }
    public int MaxBytes { get; init; }
    public int MaxRecords { get; init; }
    /// <summary>The most records of one entry of the acquired ones.</summary>
    public int BatchSize { get; init; }
    /// <summary>Whether <see cref="MaxRecords"/> is never exceeded.</summary>
    public bool IsStrict { get; init; }
    /// <summary>Whether it renews locks, and fetches nothing.</summary>
    public bool IsRenewal { get; init; }
    public required ShareTopic[] Topics { get; init; }
    public required ForgottenShareTopic[] Forgotten { get; init; }
}

/// <summary>Partitions that leave a share session.</summary>
internal sealed record ForgottenShareTopic(Guid TopicId, int[] Partitions);
