using OrleansMq.Access;
using OrleansMq.Gateways.Kafka.Requests;
using OrleansMq.Gateways.Kafka.Wire;

namespace OrleansMq.Gateways.Kafka.Apis;

/// <summary>Key 78: acquires records of the partitions of a share session, and acknowledges earlier ones.</summary>
internal sealed class ShareFetchApi() : ShareGroupApi<ShareFetchRequest>(ApiKey.ShareFetch, 1, 2)
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

    protected override ValueTask<bool> AnswerAsync(RequestContext context, ShareFetchRequest request, ResponseWriter response)
    {
        var isAllowed = context.Access.Allows(AccessOperation.Read, ResourceType.Group, request.GroupId);
        response.WriteInt32(0);
        response.WriteError(isAllowed ? ErrorCode.UnsupportedVersion : ErrorCode.GroupAuthorizationFailed);
        response.WriteString(null);
        response.WriteInt32(0);
        response.WriteLength(0);
        ShareRequests.WriteNodeEndpoints(response, context, []);
        response.WriteNoTags();
        return Answered;
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
