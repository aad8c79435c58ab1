namespace OrleansMq.Api;

/// <summary>A protocol (an assignor, to a consumer) that a member offers, with what it has to say to that protocol's leader.</summary>
/// <param name="Name">As <c>range</c> or <c>cooperative-sticky</c>.</param>
/// <param name="Metadata">For a consumer its subscription, see
/// <see href="https://kafka.apache.org/protocol">ConsumerProtocolSubscription</see>.</param>
public sealed record GroupProtocol(string Name, ReadOnlyMemory<byte> Metadata);

/// <summary>Kafka's JoinGroup.</summary>
public sealed record JoinGroup : IGroupRequest<JoinGroupResult>
{
    /// <summary>The group.</summary>
    public required string GroupId { get; init; }

    /// <summary>The member's id; empty on the first time.</summary>
    public string MemberId { get; init; } = "";

    /// <summary>The instance id of a static member (KIP-345): unique in the group, it keeps its partitions when it restarts in time. Null:
    /// dynamic.</summary>
    public string? GroupInstanceId { get; init; }

    /// <summary>How the program calls itself, for descriptions.</summary>
    public string ClientId { get; init; } = "";

    /// <summary>The address it calls from, for descriptions.</summary>
    public string ClientHost { get; init; } = "";

    /// <summary>Without a heartbeat for so long a member is out. The coordinator has bounds for it.</summary>
    public TimeSpan SessionTimeout { get; init; } = TimeSpan.FromSeconds(45);

    /// <summary>How long the member may take to join again when the group rebalances.</summary>
    public TimeSpan RebalanceTimeout { get; init; } = TimeSpan.FromMinutes(5);

    /// <summary><c>consumer</c> for consumers.</summary>
    public string ProtocolType { get; init; } = "consumer";

    /// <summary>The protocols it knows, the most liked first.</summary>
    public IReadOnlyList<GroupProtocol> Protocols { get; init; } = [];

    /// <summary>Whether a first join without an id is answered by <see cref="ErrorCode.MemberIdRequired"/> and the id to join with
    /// (JoinGroup v4 and above).</summary>
    public bool RequireKnownMemberId { get; init; } = true;

    /// <summary>Whether the caller understands <see cref="JoinGroupResult.SkipAssignment"/> (JoinGroup v9).</summary>
    public bool SupportsSkippingAssignment { get; init; } = true;

    /// <summary>Why it joins, for logs (KIP-800).</summary>
    public string? Reason { get; init; }

    bool IGroupRequest.WaitsForMembers => true;

    object IGroupRequest.Refuse(ErrorCode error, string message) => JoinGroupResult.Failed(error, message, MemberId);
}

/// <summary>The answer to <see cref="JoinGroup"/>.</summary>
public sealed record JoinGroupResult : IGroupAnswer
{
    /// <summary><see cref="ErrorCode.None"/>, or why not.</summary>
    public required ErrorCode Error { get; init; }
    /// <summary>On error: the field, and the fix.</summary>
    public string? Message { get; init; }
    /// <summary>The generation that begins; -1 on error.</summary>
    public int GenerationId { get; init; } = -1;
    /// <summary>Of the group.</summary>
    public string? ProtocolType { get; init; }
    /// <summary>The protocol that all members know and most like best.</summary>
    public string? ProtocolName { get; init; }
    /// <summary>The member that assigns.</summary>
    public string Leader { get; init; } = "";
    /// <summary>The leader is to keep the assignment as it is: a static leader that came back (KIP-814).</summary>
    public bool SkipAssignment { get; init; }
    /// <summary>The caller's id, given or kept.</summary>
    public string MemberId { get; init; } = "";
    /// <summary>For the leader: all members with their metadata; else empty.</summary>
    public IReadOnlyList<JoinedMember> Members { get; init; } = [];

    /// <summary>An answer that only says why not.</summary>
    public static JoinGroupResult Failed(ErrorCode error, string message, string memberId = "") =>
        new() { Error = error, Message = message, MemberId = memberId };
}

/// <summary>A member as the leader sees it.</summary>
/// <param name="MemberId">Its id.</param>
/// <param name="GroupInstanceId">Null where it is dynamic.</param>
/// <param name="Metadata">What it said to the protocol that was chosen.</param>
public sealed record JoinedMember(string MemberId, string? GroupInstanceId, ReadOnlyMemory<byte> Metadata);

/// <summary>Kafka's SyncGroup.</summary>
public sealed record SyncGroup : IGroupRequest<SyncGroupResult>
{
    /// <summary>The group.</summary>
    public required string GroupId { get; init; }
    /// <summary>The generation that was joined.</summary>
    public int GenerationId { get; init; }
    /// <summary>The caller's id.</summary>
    public string MemberId { get; init; } = "";
    /// <summary>The instance id of a static member.</summary>
    public string? GroupInstanceId { get; init; }
    /// <summary>Null (before SyncGroup v5): not checked.</summary>
    public string? ProtocolType { get; init; }
    /// <summary>Null (before SyncGroup v5): not checked.</summary>
    public string? ProtocolName { get; init; }
    /// <summary>From the leader: the assignments of all members; a member that is left out gets nothing.</summary>
    public IReadOnlyList<MemberAssignment> Assignments { get; init; } = [];

    bool IGroupRequest.WaitsForMembers => true;

    object IGroupRequest.Refuse(ErrorCode error, string message) => new SyncGroupResult(error, message);
}

/// <summary>What a member is to read, in its protocol's bytes.</summary>
/// <param name="MemberId">The member's id.</param>
/// <param name="Assignment">For a consumer a ConsumerProtocolAssignment.</param>
public sealed record MemberAssignment(string MemberId, ReadOnlyMemory<byte> Assignment);

/// <summary>The answer to <see cref="SyncGroup"/>.</summary>
/// <param name="Error"><see cref="ErrorCode.None"/>, or why not.</param>
/// <param name="Message">On error: the field, and the fix.</param>
/// <param name="ProtocolType">Of the group.</param>
/// <param name="ProtocolName">Of the generation.</param>
/// <param name="Assignment">The caller's; empty for nothing.</param>
public sealed record SyncGroupResult(ErrorCode Error, string? Message = null, string? ProtocolType = null, string? ProtocolName = null,
    ReadOnlyMemory<byte> Assignment = default) : IGroupAnswer;

/// <summary>Kafka's Heartbeat.</summary>
/// <param name="GroupId">The group.</param>
/// <param name="GenerationId">The generation the member is in.</param>
/// <param name="MemberId">Its id.</param>
/// <param name="GroupInstanceId">The instance id of a static member.</param>
public sealed record Heartbeat(string GroupId, int GenerationId, string MemberId, string? GroupInstanceId = null)
    : IGroupRequest<GroupReply>
{
    object IGroupRequest.Refuse(ErrorCode error, string message) => new GroupReply(error, message);
}

/// <summary>An answer that is an error code.</summary>
/// <param name="Error"><see cref="ErrorCode.None"/>, or why not.</param>
/// <param name="Message">On error: the field, and the fix.</param>
public readonly record struct GroupReply(ErrorCode Error, string? Message = null) : IGroupAnswer
{
    internal BrokerException ToException() => new(Error, Message ?? Error.ToString());
}

/// <summary>Kafka's LeaveGroup.</summary>
/// <param name="GroupId">The group.</param>
/// <param name="Members">The members that leave.</param>
public sealed record LeaveGroup(string GroupId, IReadOnlyList<LeavingMember> Members) : IGroupRequest<LeaveGroupResult>
{
    object IGroupRequest.Refuse(ErrorCode error, string message) => new LeaveGroupResult(error, [], message);
}

/// <summary>A member that leaves.</summary>
/// <param name="MemberId">Its id; empty where <paramref name="GroupInstanceId"/> alone names it.</param>
/// <param name="GroupInstanceId">The instance id of a static member.</param>
/// <param name="Reason">For logs (KIP-800).</param>
public sealed record LeavingMember(string MemberId, string? GroupInstanceId = null, string? Reason = null);

/// <summary>The answer to <see cref="LeaveGroup"/>.</summary>
/// <param name="Error">Of the whole request.</param>
/// <param name="Members">One answer a member, in the order of the request.</param>
/// <param name="Message">On error: the field, and the fix.</param>
public sealed record LeaveGroupResult(ErrorCode Error, IReadOnlyList<LeftMember> Members, string? Message = null) : IGroupAnswer;

/// <summary>What became of a member that was to leave.</summary>
/// <param name="MemberId">Its id.</param>
/// <param name="GroupInstanceId">Its instance id.</param>
/// <param name="Error"><see cref="ErrorCode.None"/>, or why not.</param>
public sealed record LeftMember(string MemberId, string? GroupInstanceId, ErrorCode Error);
