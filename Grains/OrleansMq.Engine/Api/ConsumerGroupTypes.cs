namespace OrleansMq.Api;

/// <summary>Partitions of one topic, which is identified by its id.</summary>
/// <param name="TopicId">The topic.</param>
/// <param name="Partitions">The partition numbers, ascending.</param>
public sealed record TopicPartitions(Guid TopicId, IReadOnlyList<int> Partitions);

/// <summary>Kafka's ConsumerGroupHeartbeat request (KIP-848). A null property is unchanged since the last heartbeat.</summary>
public sealed record ConsumerGroupHeartbeat : IGroupRequest<ConsumerGroupHeartbeatResult>
{
    /// <summary>The epoch that joins the group.</summary>
    public const int JoinEpoch = 0;
    /// <summary>The epoch that leaves the group for good.</summary>
    public const int LeaveEpoch = -1;
    /// <summary>The epoch with which a static member leaves for a short time. Its partitions stay reserved for it.</summary>
    public const int LeaveForNowEpoch = -2;

    /// <summary>The group.</summary>
    public required string GroupId { get; init; }
    /// <summary>The member's id, chosen by the member (v1: a UUID). Empty in the first heartbeat of v0: the coordinator chooses
    /// it.</summary>
    public string MemberId { get; init; } = "";
    /// <summary>The last epoch received, or <see cref="JoinEpoch"/>, <see cref="LeaveEpoch"/>, <see cref="LeaveForNowEpoch"/>.</summary>
    public int MemberEpoch { get; init; }
    /// <summary>The instance id of a static member; null for a dynamic member, or unchanged.</summary>
    public string? InstanceId { get; init; }
    /// <summary>The member's rack (KIP-881); null for none, or unchanged.</summary>
    public string? RackId { get; init; }
    /// <summary>How long the member may take to revoke partitions; null for unchanged.</summary>
    public TimeSpan? RebalanceTimeout { get; init; }
    /// <summary>The names of the subscribed topics; null for unchanged.</summary>
    public IReadOnlyList<string>? SubscribedTopicNames { get; init; }
    /// <summary>A regular expression that must match the whole name of a topic. Empty removes it; null leaves it unchanged.</summary>
    public string? SubscribedTopicRegex { get; init; }
    /// <summary><c>uniform</c> or <c>range</c>; null for the group's default, or unchanged.</summary>
    public string? ServerAssignor { get; init; }
    /// <summary>All partitions that were assigned to the member and are not revoked yet, including those it does not read yet. A partition
    /// missing here may be assigned to another member. Null for unchanged.</summary>
    public IReadOnlyList<TopicPartitions>? OwnedPartitions { get; init; }
    /// <summary>The client's name for itself, for descriptions.</summary>
    public string ClientId { get; init; } = "";
    /// <summary>The client's address, for descriptions.</summary>
    public string ClientHost { get; init; } = "";
    /// <summary>How long the response may wait for a change of this member's assignment, at most the heartbeat interval. Zero, as in Kafka,
    /// does not wait.</summary>
    public TimeSpan MaxWait { get; init; }
    /// <summary>A number that increases with every heartbeat of a member, also across rejoins. A heartbeat that a later one overtook is
    /// refused as outdated. A numbered heartbeat always lists the owned partitions, so that an assignment lost with its response is sent
    /// again. 0, as in Kafka, means not numbered: the connection has to preserve the order.</summary>
    public long Sequence { get; init; }
    /// <summary>Whether the same heartbeat was sent before without a response. The response then contains the whole assignment, since the
    /// lost one may have contained it.</summary>
    public bool IsRepeated { get; init; }
    /// <summary>Whether a joining static member replaces one with its instance id that has not left. That member is fenced, and its
    /// partitions are this one's. For the first join of a process, whose predecessor is most likely dead. False, as in Kafka, is refused
    /// with <see cref="ErrorCode.UnreleasedInstanceId"/> until the session of the other ends.</summary>
    public bool TakesOverInstance { get; init; }
    /// <summary>How long the member may go without a heartbeat before it is removed, within the broker's bounds; null for the
    /// coordinator's own timeout, or unchanged.</summary>
    public TimeSpan? SessionTimeout { get; init; }
    /// <summary>The caller. The regular expression is resolved to topics that it may describe. Null from a broker of an earlier version: it
    /// has sent regular expressions only of callers that may describe every topic.</summary>
    internal Subscriber? Subscriber { get; init; }

    bool ICoordinatorRequest.NeedsFreshId => true;

    AccessOperation IGroupRequest.Operation => AccessOperation.Read;

    object ICoordinatorRequest.Refuse(ErrorCode error, string message) => ConsumerGroupHeartbeatResult.Failed(error, message);
}

/// <summary>The response to <see cref="ConsumerGroupHeartbeat"/>.</summary>
public sealed record ConsumerGroupHeartbeatResult : IGroupAnswer
{
    /// <summary><see cref="ErrorCode.None"/>, or why the heartbeat failed. On <see cref="ErrorCode.FencedMemberEpoch"/> and
    /// <see cref="ErrorCode.UnknownMemberId"/> the member abandons all partitions and rejoins.</summary>
    public required ErrorCode Error { get; init; }
    /// <summary>On error, the field at fault and how to fix it.</summary>
    public string? Message { get; init; }
    /// <summary>The caller's id.</summary>
    public string? MemberId { get; init; }
    /// <summary>The member's current epoch.</summary>
    public int MemberEpoch { get; init; }
    /// <summary>The time until the next heartbeat is due.</summary>
    public TimeSpan HeartbeatInterval { get; init; }
    /// <summary>How long the member may go without a heartbeat before it is removed. Without a response it must stop reading after this
    /// time. Zero if not stated.</summary>
    public TimeSpan SessionTimeout { get; init; }
    /// <summary>The member's whole assignment. The member revokes any other partition and confirms it in its next heartbeat. Null for
    /// unchanged.</summary>
    public IReadOnlyList<TopicPartitions>? Assignment { get; init; }

    /// <summary>Creates a failed result.</summary>
    public static ConsumerGroupHeartbeatResult Failed(ErrorCode error, string message) => new() { Error = error, Message = message };
}
