namespace OrleansMq.Api;

/// <summary>A protocol that a member supports (for a consumer, an assignor), with the member's metadata for the group leader.</summary>
/// <param name="Name">For example <c>range</c> or <c>cooperative-sticky</c>.</param>
/// <param name="Metadata">For a consumer, its subscription:
/// <see href="https://kafka.apache.org/protocol">ConsumerProtocolSubscription</see>.</param>
public sealed record GroupProtocol(string Name, ReadOnlyMemory<byte> Metadata);

/// <summary>Kafka's JoinGroup request.</summary>
public sealed record JoinGroup : IGroupRequest<JoinGroupResult>
{
    /// <summary>The group.</summary>
    public required string GroupId { get; init; }

    /// <summary>The member's id; empty on the first join.</summary>
    public string MemberId { get; init; } = "";

    /// <summary>The instance id of a static member (KIP-345), unique in the group. The member keeps its partitions if it restarts within
    /// the session timeout. Null for a dynamic member.</summary>
    public string? GroupInstanceId { get; init; }

    /// <summary>The client's name for itself, for descriptions.</summary>
    public string ClientId { get; init; } = "";

    /// <summary>The client's address, for descriptions.</summary>
    public string ClientHost { get; init; } = "";

    /// <summary>How long a member may go without a heartbeat before it is removed. The coordinator enforces bounds.</summary>
    public TimeSpan SessionTimeout { get; init; } = TimeSpan.FromSeconds(45);

    /// <summary>How long the member may take to rejoin when the group rebalances.</summary>
    public TimeSpan RebalanceTimeout { get; init; } = TimeSpan.FromMinutes(5);

    /// <summary>The kind of group: <c>consumer</c> for consumers.</summary>
    public string ProtocolType { get; init; } = "consumer";

    /// <summary>The protocols the member supports, in order of preference.</summary>
    public IReadOnlyList<GroupProtocol> Protocols { get; init; } = [];

    /// <summary>Whether a first join without an id returns <see cref="ErrorCode.MemberIdRequired"/> with the id to join with (JoinGroup v4
    /// and above).</summary>
    public bool RequireKnownMemberId { get; init; } = true;

    /// <summary>Whether the caller understands <see cref="JoinGroupResult.SkipAssignment"/> (JoinGroup v9).</summary>
    public bool SupportsSkippingAssignment { get; init; } = true;

    /// <summary>The reason for joining, for logs (KIP-800).</summary>
    public string? Reason { get; init; }

    bool ICoordinatorRequest.WaitsForOthers => true;

    bool ICoordinatorRequest.NeedsFreshId => true;

    AccessOperation IGroupRequest.Operation => AccessOperation.Read;

    object ICoordinatorRequest.Refuse(ErrorCode error, string message) => JoinGroupResult.Failed(error, message, MemberId);
}

/// <summary>The response to <see cref="JoinGroup"/>.</summary>
public sealed record JoinGroupResult : IGroupAnswer
{
    /// <summary><see cref="ErrorCode.None"/>, or why the join failed.</summary>
    public required ErrorCode Error { get; init; }
    /// <summary>On error, the field at fault and how to fix it.</summary>
    public string? Message { get; init; }
    /// <summary>The new generation; -1 on error.</summary>
    public int GenerationId { get; init; } = -1;
    /// <summary>The group's protocol type.</summary>
    public string? ProtocolType { get; init; }
    /// <summary>The chosen protocol: of those that all members support, the most preferred.</summary>
    public string? ProtocolName { get; init; }
    /// <summary>The id of the member that computes the assignment.</summary>
    public string Leader { get; init; } = "";
    /// <summary>Whether the leader must keep the current assignment: it is a static leader that rejoined (KIP-814).</summary>
    public bool SkipAssignment { get; init; }
    /// <summary>The caller's id, newly assigned or unchanged.</summary>
    public string MemberId { get; init; } = "";
    /// <summary>For the leader, all members with their metadata; otherwise empty.</summary>
    public IReadOnlyList<JoinedMember> Members { get; init; } = [];

    /// <summary>Creates a failed result.</summary>
    public static JoinGroupResult Failed(ErrorCode error, string message, string memberId = "") =>
        new() { Error = error, Message = message, MemberId = memberId };
}

/// <summary>A member as reported to the group leader.</summary>
/// <param name="MemberId">The member's id.</param>
/// <param name="GroupInstanceId">The instance id of a static member; null for a dynamic member.</param>
/// <param name="Metadata">The member's metadata for the chosen protocol.</param>
public sealed record JoinedMember(string MemberId, string? GroupInstanceId, ReadOnlyMemory<byte> Metadata);

/// <summary>Kafka's SyncGroup request.</summary>
public sealed record SyncGroup : IGroupRequest<SyncGroupResult>
{
    /// <summary>The group.</summary>
    public required string GroupId { get; init; }
    /// <summary>The joined generation.</summary>
    public int GenerationId { get; init; }
    /// <summary>The caller's id.</summary>
    public string MemberId { get; init; } = "";
    /// <summary>The instance id of a static member.</summary>
    public string? GroupInstanceId { get; init; }
    /// <summary>The protocol type to check; null (before SyncGroup v5) skips the check.</summary>
    public string? ProtocolType { get; init; }
    /// <summary>The protocol name to check; null (before SyncGroup v5) skips the check.</summary>
    public string? ProtocolName { get; init; }
    /// <summary>From the leader, the assignments of all members. A member without an entry gets no partitions.</summary>
    public IReadOnlyList<MemberAssignment> Assignments { get; init; } = [];

    bool ICoordinatorRequest.WaitsForOthers => true;

    AccessOperation IGroupRequest.Operation => AccessOperation.Read;

    object ICoordinatorRequest.Refuse(ErrorCode error, string message) => new SyncGroupResult(error, message);
}

/// <summary>The assignment of one member, in the protocol's encoding.</summary>
/// <param name="MemberId">The member's id.</param>
/// <param name="Assignment">For a consumer, a ConsumerProtocolAssignment.</param>
public sealed record MemberAssignment(string MemberId, ReadOnlyMemory<byte> Assignment);

/// <summary>The response to <see cref="SyncGroup"/>.</summary>
/// <param name="Error"><see cref="ErrorCode.None"/>, or why the sync failed.</param>
/// <param name="Message">On error, the field at fault and how to fix it.</param>
/// <param name="ProtocolType">The group's protocol type.</param>
/// <param name="ProtocolName">The generation's protocol.</param>
/// <param name="Assignment">The caller's assignment; empty for no partitions.</param>
public sealed record SyncGroupResult(ErrorCode Error, string? Message = null, string? ProtocolType = null, string? ProtocolName = null,
    ReadOnlyMemory<byte> Assignment = default) : IGroupAnswer;

/// <summary>Kafka's Heartbeat request.</summary>
/// <param name="GroupId">The group.</param>
/// <param name="GenerationId">The member's generation.</param>
/// <param name="MemberId">The member's id.</param>
/// <param name="GroupInstanceId">The instance id of a static member.</param>
public sealed record Heartbeat(string GroupId, int GenerationId, string MemberId, string? GroupInstanceId = null)
    : IGroupRequest<GroupReply>
{
    AccessOperation IGroupRequest.Operation => AccessOperation.Read;

    object ICoordinatorRequest.Refuse(ErrorCode error, string message) => new GroupReply(error, message);
}

/// <summary>A response that consists of an error code.</summary>
/// <param name="Error"><see cref="ErrorCode.None"/>, or why the request failed.</param>
/// <param name="Message">On error, the field at fault and how to fix it.</param>
public readonly record struct GroupReply(ErrorCode Error, string? Message = null) : IGroupAnswer
{
    internal BrokerException ToException() => new(Error, Message ?? Error.ToString());
}

/// <summary>Kafka's LeaveGroup request.</summary>
/// <param name="GroupId">The group.</param>
/// <param name="Members">The members that leave.</param>
public sealed record LeaveGroup(string GroupId, IReadOnlyList<LeavingMember> Members) : IGroupRequest<LeaveGroupResult>
{
    AccessOperation IGroupRequest.Operation => AccessOperation.Read;

    object ICoordinatorRequest.Refuse(ErrorCode error, string message) => new LeaveGroupResult(error, [], message);
}

/// <summary>A member that leaves.</summary>
/// <param name="MemberId">The member's id; empty if <paramref name="GroupInstanceId"/> alone identifies it.</param>
/// <param name="GroupInstanceId">The instance id of a static member.</param>
/// <param name="Reason">The reason for leaving, for logs (KIP-800).</param>
public sealed record LeavingMember(string MemberId, string? GroupInstanceId = null, string? Reason = null);

/// <summary>The response to <see cref="LeaveGroup"/>.</summary>
/// <param name="Error">The error of the whole request.</param>
/// <param name="Members">One result per member, in request order.</param>
/// <param name="Message">On error, the field at fault and how to fix it.</param>
public sealed record LeaveGroupResult(ErrorCode Error, IReadOnlyList<LeftMember> Members, string? Message = null) : IGroupAnswer;

/// <summary>The result for one leaving member.</summary>
/// <param name="MemberId">The member's id.</param>
/// <param name="GroupInstanceId">The member's instance id.</param>
/// <param name="Error"><see cref="ErrorCode.None"/>, or why the member was not removed.</param>
public sealed record LeftMember(string MemberId, string? GroupInstanceId, ErrorCode Error);
