using OrleansMq.Access;
using OrleansMq.Gateways.Kafka.Requests;
using OrleansMq.Gateways.Kafka.Shares;
using OrleansMq.Gateways.Kafka.Wire;
using OrleansMq.Shares;

namespace OrleansMq.Gateways.Kafka.Apis;

/// <summary>Key 79: acknowledges records of a share session.</summary>
internal sealed class ShareAcknowledgeApi() : KafkaApi<ShareAcknowledgeRequest>(ApiKey.ShareAcknowledge, 1, 2, flexibleFrom: 0)
{
    protected override ShareAcknowledgeRequest Read(ref RequestReader reader, short version) => new()
    {
        GroupId = reader.ReadNullableString() ?? "",
        MemberId = reader.ReadNullableString() ?? "",
        SessionEpoch = reader.ReadInt32(),
        IsRenewal = version >= 2 && reader.ReadBool(),
        Topics = ShareRequests.ReadTopics(ref reader),
    };

    protected override async ValueTask<bool> AnswerAsync(RequestContext context, ShareAcknowledgeRequest request, ResponseWriter response)
    {
        var error = Enter(context, request, out var session);
        if (error != ErrorCode.None)
        {
            Write(context, response, error, default, []);
            return true;
        }
        var run = new ShareRun(context, request.GroupId, session!);
        await run.AcknowledgeAsync(request.Topics).ConfigureAwait(false);
        if (request.SessionEpoch == ShareSessions<ShareReader>.ClosingEpoch)
            ShareServer.End(session!);
        Write(context, response, ErrorCode.None, run.LockDuration, [.. run.Results]);
        return true;
    }

    private static ErrorCode Enter(RequestContext context, ShareAcknowledgeRequest request, out ShareSession<ShareReader>? session)
    {
        session = null;
        if (!context.Access.Authorizes(AccessOperation.Read, ResourceType.Group, request.GroupId))
            return ErrorCode.GroupAuthorizationFailed;
        if (request.GroupId.Length == 0 || request.MemberId.Length == 0)
            return ErrorCode.InvalidRequest;
        // Only a fetch opens a session.
        return request.SessionEpoch == ShareSessions<ShareReader>.OpeningEpoch ? ErrorCode.InvalidShareSessionEpoch
            : context.Services.Shares.Enter(context, new ShareSessionKey(request.GroupId, request.MemberId), request.SessionEpoch,
                out session);
    }

    private static void Write(RequestContext context, ResponseWriter response, ErrorCode error, TimeSpan lockDuration,
        ShareResult[] results)
    {
        response.WriteThrottle();
        response.WriteError(error);
        response.WriteString(null);
        if (context.Version >= 2)
            response.WriteInt32((int)lockDuration.TotalMilliseconds);
        var topics = results.GroupBy(static result => result.Id.TopicId).ToArray();
        response.WriteLength(topics.Length);
        foreach (var topic in topics)
        {
            response.WriteUuid(topic.Key);
            response.WriteLength(topic.Count());
            foreach (var result in topic)
            {
                response.WriteInt32(result.Id.Partition);
                response.WriteError(result.AcknowledgeError);
                response.WriteString(null);
                ShareRequests.WriteLeader(response, result.Leader, result.LeaderEpoch);
                response.WriteNoTags();
            }
            response.WriteNoTags();
        }
        ShareRequests.WriteNodeEndpoints(response, context, results.Select(static result => result.Leader));
        response.WriteNoTags();
    }
}

/// <summary>The body.</summary>
internal sealed record ShareAcknowledgeRequest
{
    public required string GroupId { get; init; }
    public required string MemberId { get; init; }
    /// <summary>-1 closes the session; else the last one and 1.</summary>
    public int SessionEpoch { get; init; }
    public bool IsRenewal { get; init; }
    public required ShareTopic[] Topics { get; init; }
}
