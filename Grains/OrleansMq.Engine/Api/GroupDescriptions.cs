namespace OrleansMq.Api;

/// <summary>Which protocol forms a group.</summary>
public enum GroupType
{
    /// <summary>Not known.</summary>
    Unknown = 0,
    /// <summary>Join, sync, heartbeat, leave.</summary>
    Classic = 1,
    /// <summary>KIP-848.</summary>
    Consumer = 2,
}

/// <summary>What a group is doing. The names are Kafka's.</summary>
public enum GroupState
{
    /// <summary>Not known.</summary>
    Unknown = 0,
    /// <summary>No members; perhaps offsets.</summary>
    Empty = 1,
    /// <summary>Classic: waits for all members to join.</summary>
    PreparingRebalance = 2,
    /// <summary>Classic: waits for the leader's assignment.</summary>
    CompletingRebalance = 3,
    /// <summary>Every member has its assignment.</summary>
    Stable = 4,
    /// <summary>Deleted.</summary>
    Dead = 5,
    /// <summary>Consumer protocol: the new assignment is worked out.</summary>
    Assigning = 6,
    /// <summary>Consumer protocol: members are on their way to the new assignment.</summary>
    Reconciling = 7,
}

/// <summary>Describes a group and its members.</summary>
/// <param name="GroupId">The group.</param>
public sealed record DescribeGroup(string GroupId) : IGroupRequest<GroupDescription>
{
    object IGroupRequest.Refuse(ErrorCode error, string message) => new GroupReply(error, message);
}

/// <summary>Describes a group in the one line that a list of groups has of it.</summary>
/// <param name="GroupId">The group.</param>
public sealed record ListGroup(string GroupId) : IGroupRequest<GroupListing>
{
    object IGroupRequest.Refuse(ErrorCode error, string message) => new GroupReply(error, message);
}

/// <summary>Deletes a group that has no members, with its offsets.</summary>
/// <param name="GroupId">The group.</param>
public sealed record DeleteGroup(string GroupId) : IGroupRequest<GroupReply>
{
    object IGroupRequest.Refuse(ErrorCode error, string message) => new GroupReply(error, message);
}

/// <summary>A group in a list.</summary>
/// <param name="GroupId">Its id.</param>
/// <param name="ProtocolType"><c>consumer</c> for consumers; empty for a group that has only offsets.</param>
/// <param name="State">What it is doing.</param>
/// <param name="Type">Which protocol forms it.</param>
public sealed record GroupListing(string GroupId, string ProtocolType, GroupState State, GroupType Type);

/// <summary>A group in full.</summary>
/// <param name="GroupId">Its id.</param>
/// <param name="Type">Which protocol forms it.</param>
/// <param name="State">What it is doing.</param>
/// <param name="ProtocolType"><c>consumer</c> for consumers; empty for a group that has only offsets.</param>
/// <param name="Protocol">The assignor in use; empty for none.</param>
/// <param name="Epoch">The generation, or the group epoch.</param>
/// <param name="AssignmentEpoch">Consumer protocol: the epoch of the target assignment; else the generation.</param>
/// <param name="Coordinator">The broker that coordinates it.</param>
/// <param name="Members">Its members, by id in ordinal order.</param>
public sealed record GroupDescription(string GroupId, GroupType Type, GroupState State, string ProtocolType, string Protocol, int Epoch,
    int AssignmentEpoch,
    int Coordinator, IReadOnlyList<GroupMember> Members);

/// <summary>A member of a group.</summary>
public sealed record GroupMember
{
    /// <summary>Its id.</summary>
    public required string MemberId { get; init; }
    /// <summary>The instance id of a static member.</summary>
    public string? GroupInstanceId { get; init; }
    /// <summary>Its rack.</summary>
    public string? RackId { get; init; }
    /// <summary>How the program calls itself.</summary>
    public string ClientId { get; init; } = "";
    /// <summary>The address it calls from.</summary>
    public string ClientHost { get; init; } = "";
    /// <summary>Consumer protocol: its epoch; else the generation.</summary>
    public int MemberEpoch { get; init; }
    /// <summary>The protocol it speaks: while a group moves from one to the other, both are in it. <see cref="GroupType.Unknown"/>: that of
    /// the group.</summary>
    public GroupType Type { get; init; }
    /// <summary>The topics it named.</summary>
    public IReadOnlyList<string> SubscribedTopicNames { get; init; } = [];
    /// <summary>The regular expression it gave; null for none.</summary>
    public string? SubscribedTopicRegex { get; init; }
    /// <summary>What it holds, where that can be read.</summary>
    public IReadOnlyList<TopicPartition> Assignment { get; init; } = [];
    /// <summary>Consumer protocol: what it is to hold in the end; else the same as <see cref="Assignment"/>.</summary>
    public IReadOnlyList<TopicPartition> TargetAssignment { get; init; } = [];
    /// <summary>Classic: what it said to the protocol in use.</summary>
    public ReadOnlyMemory<byte> ClassicMetadata { get; init; }
    /// <summary>Classic: its assignment in the protocol's bytes.</summary>
    public ReadOnlyMemory<byte> ClassicAssignment { get; init; }
}
