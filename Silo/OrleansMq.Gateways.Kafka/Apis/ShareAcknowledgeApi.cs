using OrleansMq.Access;
using OrleansMq.Gateways.Kafka.Requests;
using OrleansMq.Gateways.Kafka.Wire;

namespace OrleansMq.Gateways.Kafka.Apis;

/// <summary>Key 79: acknowledges records of a share session.</summary>
internal sealed class ShareAcknowledgeApi() : ShareGroupApi<ShareAcknowledgeRequest>(ApiKey.ShareAcknowledge, 1, 2)
{
    protected override ShareAcknowledgeRequest Read(ref RequestReader reader, short version) => new()
    {
        GroupId = reader.ReadNullableString() ?? "",
        MemberId = reader.ReadNullableString() ?? "",
        SessionEpoch = reader.ReadInt32(),
        IsRenewal = version >= 2 && reader.ReadBool(),
        Topics = ShareRequests.ReadTopics(ref reader),
    };

    protected override ValueTask<bool> AnswerAsync(RequestContext context, ShareAcknowledgeRequest request, ResponseWriter response)
    {
        var isAllowed = context.Access.Allows(AccessOperation.Read, ResourceType.Group, request.GroupId);
        response.WriteInt32(0);
        response.WriteError(isAllowed ? ErrorCode.UnsupportedVersion : ErrorCode.GroupAuthorizationFailed);
        response.WriteString(null);
        if (context.Version >= 2)
            response.WriteInt32(0);
        response.WriteLength(0);
        ShareRequests.WriteNodeEndpoints(response, context, []);
        response.WriteNoTags();
        return Answered;
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
