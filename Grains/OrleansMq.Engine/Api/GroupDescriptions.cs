namespace OrleansMq.Api;

/// <summary>The state of a group. The names are Kafka's.</summary>
public enum GroupState
{
    /// <summary>Unknown.</summary>
    Unknown = 0,
    /// <summary>No members; there may be committed offsets.</summary>
    Empty = 1,
    /// <summary>Classic: waiting for all members to join.</summary>
    PreparingRebalance = 2,
    /// <summary>Classic: waiting for the leader's assignment.</summary>
    CompletingRebalance = 3,
    /// <summary>Every member has its assignment.</summary>
    Stable = 4,
    /// <summary>Deleted.</summary>
    Dead = 5,
    /// <summary>Consumer protocol: the new assignment is being computed.</summary>
    Assigning = 6,
    /// <summary>Consumer protocol: members are moving to the new assignment.</summary>
    Reconciling = 7,
}

/// <summary>Describes a group and its members.</summary>
/// <param name="GroupId">The group.</param>
public sealed record DescribeGroup(string GroupId) : IGroupRequest<GroupDescription>
{
    AccessOperation IGroupRequest.Operation => AccessOperation.Describe;

    object ICoordinatorRequest.Refuse(ErrorCode error, string message) => new GroupReply(error, message);
}

/// <summary>Describes a group in the one line that a list of groups has of it.</summary>
/// <param name="GroupId">The group.</param>
public sealed record ListGroup(string GroupId) : IGroupRequest<GroupListing>
{
    AccessOperation IGroupRequest.Operation => AccessOperation.Describe;

    object ICoordinatorRequest.Refuse(ErrorCode error, string message) => new GroupReply(error, message);
}

/// <summary>Deletes a group that has no members, with its offsets.</summary>
/// <param name="GroupId">The group.</param>
public sealed record DeleteGroup(string GroupId) : IGroupRequest<GroupReply>
{
    AccessOperation IGroupRequest.Operation => AccessOperation.Delete;

    object ICoordinatorRequest.Refuse(ErrorCode error, string message) => new GroupReply(error, message);
}

/// <summary>A group in a list.</summary>
/// <param name="GroupId">The group's id.</param>
/// <param name="ProtocolType"><c>consumer</c> for consumers; empty for a group with offsets only.</param>
/// <param name="State">The group's state.</param>
/// <param name="Type">The group's protocol.</param>
public sealed record GroupListing(string GroupId, string ProtocolType, GroupState State, GroupType Type);

/// <summary>A group with its members.</summary>
/// <param name="GroupId">The group's id.</param>
/// <param name="Type">The group's protocol.</param>
/// <param name="State">The group's state.</param>
/// <param name="ProtocolType"><c>consumer</c> for consumers; empty for a group with offsets only.</param>
/// <param name="Protocol">The assignor in use; empty for none.</param>
/// <param name="Epoch">The generation, or the group epoch.</param>
/// <param name="AssignmentEpoch">Consumer protocol: the epoch of the target assignment. Classic: the generation.</param>
/// <param name="Coordinator">The broker that coordinates the group.</param>
/// <param name="Members">The members, ordered by id (ordinal).</param>
public sealed record GroupDescription(string GroupId, GroupType Type, GroupState State, string ProtocolType, string Protocol, int Epoch,
    int AssignmentEpoch, int Coordinator, IReadOnlyList<GroupMember> Members);

/// <summary>A member of a group.</summary>
public sealed record GroupMember
{
    /// <summary>The member's id.</summary>
    public required string MemberId { get; init; }
    /// <summary>The instance id of a static member.</summary>
    public string? GroupInstanceId { get; init; }
    /// <summary>The member's rack.</summary>
    public string? RackId { get; init; }
    /// <summary>The client's name for itself.</summary>
    public string ClientId { get; init; } = "";
    /// <summary>The client's address.</summary>
    public string ClientHost { get; init; } = "";
    /// <summary>Consumer protocol: the member's epoch. Classic: the generation.</summary>
    public int MemberEpoch { get; init; }
    /// <summary>The member's protocol; a group that migrates from one protocol to the other has members of both.
    /// <see cref="GroupType.Unknown"/>: the group's protocol.</summary>
    public GroupType Type { get; init; }
    /// <summary>The topics subscribed to by name.</summary>
    public IReadOnlyList<string> SubscribedTopicNames { get; init; } = [];
    /// <summary>The subscribed regular expression; null for none.</summary>
    public string? SubscribedTopicRegex { get; init; }
    /// <summary>The partitions assigned to the member, if its assignment can be decoded.</summary>
    public IReadOnlyList<TopicPartition> Assignment { get; init; } = [];
    /// <summary>Consumer protocol: the target assignment. Classic: the same as <see cref="Assignment"/>.</summary>
    public IReadOnlyList<TopicPartition> TargetAssignment { get; init; } = [];
    /// <summary>Classic: the member's metadata for the current protocol.</summary>
    public ReadOnlyMemory<byte> ClassicMetadata { get; init; }
    /// <summary>Classic: the member's assignment in the protocol's encoding.</summary>
    public ReadOnlyMemory<byte> ClassicAssignment { get; init; }
}
