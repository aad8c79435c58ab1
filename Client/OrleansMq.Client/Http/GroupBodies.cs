using OrleansMq.Api;

namespace OrleansMq.Client;

/// <summary>The body of <c>POST /api/groups/join</c>; see <see cref="JoinGroup"/>. Times are milliseconds.</summary>
internal sealed record JoinGroupBody(string GroupId, string MemberId = "", string? GroupInstanceId = null, string ClientId = "",
    string ClientHost = "", long SessionTimeoutMs = 45_000, long RebalanceTimeoutMs = 300_000, string ProtocolType = "consumer",
    IReadOnlyList<GroupProtocol>? Protocols = null,
    bool RequireKnownMemberId = true, bool SupportsSkippingAssignment = true, string? Reason = null)
{
    /// <summary>Converts <paramref name="request"/> to a body.</summary>
    public static JoinGroupBody Of(JoinGroup request) =>
        new(request.GroupId, request.MemberId, request.GroupInstanceId, request.ClientId, request.ClientHost,
            Milliseconds.Of(request.SessionTimeout), Milliseconds.Of(request.RebalanceTimeout), request.ProtocolType, request.Protocols,
            request.RequireKnownMemberId, request.SupportsSkippingAssignment, request.Reason);

    /// <summary>Converts the body to a request.</summary>
    public JoinGroup ToRequest() => new()
    {
        GroupId = GroupId,
        MemberId = MemberId,
        GroupInstanceId = GroupInstanceId,
        ClientId = ClientId,
        ClientHost = ClientHost,
        SessionTimeout = Milliseconds.ToTime(SessionTimeoutMs),
        RebalanceTimeout = Milliseconds.ToTime(RebalanceTimeoutMs),
        ProtocolType = ProtocolType,
        Protocols = Protocols ?? [],
        RequireKnownMemberId = RequireKnownMemberId,
        SupportsSkippingAssignment = SupportsSkippingAssignment,
        Reason = Reason,
    };
}

/// <summary>The body of <c>POST /api/groups/sync</c>; see <see cref="SyncGroup"/>.</summary>
internal sealed record SyncGroupBody(string GroupId, int GenerationId, string MemberId, string? GroupInstanceId = null,
    string? ProtocolType = null, string? ProtocolName = null, IReadOnlyList<MemberAssignment>? Assignments = null)
{
    /// <summary>Converts <paramref name="request"/> to a body.</summary>
    public static SyncGroupBody Of(SyncGroup request) =>
        new(request.GroupId, request.GenerationId, request.MemberId, request.GroupInstanceId,
            request.ProtocolType, request.ProtocolName, request.Assignments);

    /// <summary>Converts the body to a request.</summary>
    public SyncGroup ToRequest() => new()
    {
        GroupId = GroupId,
        GenerationId = GenerationId,
        MemberId = MemberId,
        GroupInstanceId = GroupInstanceId,
        ProtocolType = ProtocolType,
        ProtocolName = ProtocolName,
        Assignments = Assignments ?? [],
    };
}

/// <summary>The body of <c>POST /api/groups/consumer-heartbeat</c>; see <see cref="ConsumerGroupHeartbeat"/>. Times are
/// milliseconds.</summary>
internal sealed record ConsumerHeartbeatBody(string GroupId, string MemberId = "", int MemberEpoch = 0, string? InstanceId = null,
    string? RackId = null,
    long? RebalanceTimeoutMs = null, IReadOnlyList<string>? SubscribedTopicNames = null, string? SubscribedTopicRegex = null,
    string? ServerAssignor = null,
    IReadOnlyList<TopicPartitions>? OwnedPartitions = null, string ClientId = "", string ClientHost = "", long MaxWaitMs = 0,
    long Sequence = 0,
    bool IsRepeated = false, bool TakesOverInstance = false, long? SessionTimeoutMs = null)
{
    /// <summary>Converts <paramref name="request"/> to a body.</summary>
    public static ConsumerHeartbeatBody Of(ConsumerGroupHeartbeat request) =>
        new(request.GroupId, request.MemberId, request.MemberEpoch, request.InstanceId,
            request.RackId, request.RebalanceTimeout is { } timeout ? Milliseconds.Of(timeout) : null, request.SubscribedTopicNames,
            request.SubscribedTopicRegex,
            request.ServerAssignor, request.OwnedPartitions, request.ClientId, request.ClientHost, Milliseconds.Of(request.MaxWait),
            request.Sequence,
            request.IsRepeated, request.TakesOverInstance, request.SessionTimeout is { } session ? Milliseconds.Of(session) : null);

    /// <summary>Converts the body to a request.</summary>
    public ConsumerGroupHeartbeat ToRequest() => new()
    {
        GroupId = GroupId,
        MemberId = MemberId,
        MemberEpoch = MemberEpoch,
        InstanceId = InstanceId,
        RackId = RackId,
        RebalanceTimeout = RebalanceTimeoutMs is { } timeout ? Milliseconds.ToTime(timeout) : null,
        SubscribedTopicNames = SubscribedTopicNames,
        SubscribedTopicRegex = SubscribedTopicRegex,
        ServerAssignor = ServerAssignor,
        OwnedPartitions = OwnedPartitions,
        ClientId = ClientId,
        ClientHost = ClientHost,
        MaxWait = Milliseconds.ToTime(MaxWaitMs),
        Sequence = Sequence,
        IsRepeated = IsRepeated,
        TakesOverInstance = TakesOverInstance,
        SessionTimeout = SessionTimeoutMs is { } session ? Milliseconds.ToTime(session) : null,
    };
}

/// <summary>The response to <c>POST /api/groups/consumer-heartbeat</c>; see <see cref="ConsumerGroupHeartbeatResult"/>. Times are
/// milliseconds.</summary>
internal sealed record ConsumerHeartbeatAnswer(ErrorCode Error, string? Message, string? MemberId, int MemberEpoch,
    long HeartbeatIntervalMs, IReadOnlyList<TopicPartitions>? Assignment, long SessionTimeoutMs = 0)
{
    /// <summary>Converts <paramref name="result"/> to a response body.</summary>
    public static ConsumerHeartbeatAnswer Of(ConsumerGroupHeartbeatResult result) =>
        new(result.Error, result.Message, result.MemberId, result.MemberEpoch,
            Milliseconds.Of(result.HeartbeatInterval), result.Assignment, Milliseconds.Of(result.SessionTimeout));

    /// <summary>Converts the response body to a result.</summary>
    public ConsumerGroupHeartbeatResult ToResult() => new()
    {
        Error = Error,
        Message = Message,
        MemberId = MemberId,
        MemberEpoch = MemberEpoch,
        HeartbeatInterval = Milliseconds.ToTime(HeartbeatIntervalMs),
        SessionTimeout = Milliseconds.ToTime(SessionTimeoutMs),
        Assignment = Assignment,
    };
}

/// <summary>The body of <c>POST /api/groups/commit-offsets</c>; see <see cref="OffsetCommit"/>.</summary>
internal sealed record OffsetCommitBody(string GroupId, IReadOnlyList<PartitionOffset> Offsets, int GenerationIdOrMemberEpoch = -1,
    string MemberId = "", string? GroupInstanceId = null)
{
    /// <summary>Converts <paramref name="request"/> to a body.</summary>
    public static OffsetCommitBody Of(OffsetCommit request) =>
        new(request.GroupId, request.Offsets, request.GenerationIdOrMemberEpoch, request.MemberId,
            request.GroupInstanceId);

    /// <summary>Converts the body to a request.</summary>
    public OffsetCommit ToRequest() => new()
    {
        GroupId = GroupId,
        Offsets = Offsets,
        GenerationIdOrMemberEpoch = GenerationIdOrMemberEpoch,
        MemberId = MemberId,
        GroupInstanceId = GroupInstanceId,
    };
}

/// <summary>The body of <c>POST /api/groups/fetch-offsets</c>; see <see cref="OffsetFetch"/>.</summary>
internal sealed record OffsetFetchBody(string GroupId, IReadOnlyList<TopicPartition>? Partitions = null, string? MemberId = null,
    int MemberEpoch = -1, bool RequireStable = false, bool AllowStale = false)
{
    /// <summary>Converts <paramref name="request"/> to a body.</summary>
    public static OffsetFetchBody Of(OffsetFetch request) =>
        new(request.GroupId, request.Partitions, request.MemberId, request.MemberEpoch, request.RequireStable,
            request.AllowStale);

    /// <summary>Converts the body to a request.</summary>
    public OffsetFetch ToRequest() => new()
    {
        GroupId = GroupId,
        Partitions = Partitions,
        MemberId = MemberId,
        MemberEpoch = MemberEpoch,
        RequireStable = RequireStable,
        AllowStale = AllowStale,
    };
}

/// <summary>The response to <c>GET /api/groups/{group}/coordinator</c> and <c>GET /api/transactions/{id}/coordinator</c>.</summary>
/// <param name="BrokerId">The broker that currently coordinates the group or transactional id.</param>
internal sealed record CoordinatorAnswer(int BrokerId);

/// <summary>The body of <c>POST /api/groups/{group}/reset</c>; see <see cref="OffsetReset"/>.</summary>
/// <param name="Target">Where to reset to; null if <paramref name="Offsets"/> gives an offset for each partition.</param>
/// <param name="Topics">Resets all partitions of these topics.</param>
/// <param name="Partitions">Resets these partitions. Without topics, partitions and offsets, all partitions with committed offsets are
/// reset.</param>
/// <param name="Offsets">Resets these partitions to these offsets.</param>
/// <param name="Execute">Whether to execute the reset, or only plan it.</param>
internal sealed record ResetOffsetsBody(OffsetTarget? Target = null, IReadOnlyList<string>? Topics = null,
    IReadOnlyList<TopicPartition>? Partitions = null, IReadOnlyList<OffsetToSet>? Offsets = null, bool Execute = false)
{
    /// <summary>Converts <paramref name="reset"/> to a body.</summary>
    public static ResetOffsetsBody Of(OffsetReset reset, bool execute) => new(reset.Target, reset.Topics, reset.Partitions,
        reset.Offsets?.Select(offset => new OffsetToSet(offset.Key.Topic, offset.Key.Partition, offset.Value)).ToArray(), execute);
}

/// <summary>A partition and its new offset.</summary>
/// <param name="Topic">The topic's name.</param>
/// <param name="Partition">The partition's number.</param>
/// <param name="Offset">The next offset to read, from 0.</param>
internal sealed record OffsetToSet(string Topic, int Partition, long Offset);

/// <summary>Converts times to and from JSON.</summary>
internal static class Milliseconds
{
    /// <summary>Returns whole milliseconds; an infinite time becomes the maximum.</summary>
    public static long Of(TimeSpan time) =>
        time == Timeout.InfiniteTimeSpan ? (long)TimeSpan.MaxValue.TotalMilliseconds : (long)time.TotalMilliseconds;

    /// <summary>Returns the time; values beyond the maximum become the maximum.</summary>
    public static TimeSpan ToTime(long milliseconds) =>
        milliseconds >= (long)TimeSpan.MaxValue.TotalMilliseconds ? TimeSpan.MaxValue
        : milliseconds <= (long)TimeSpan.MinValue.TotalMilliseconds ? TimeSpan.MinValue
        : TimeSpan.FromMilliseconds(milliseconds);
}
