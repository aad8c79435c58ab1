namespace OrleansMq.Api;

/// <summary>Partitions of one topic, by its id.</summary>
/// <param name="TopicId">The topic.</param>
/// <param name="Partitions">Their numbers, ascending.</param>
public sealed record TopicPartitions(Guid TopicId, IReadOnlyList<int> Partitions);

/// <summary>Kafka's ConsumerGroupHeartbeat (KIP-848). What is null is unchanged since the last one.</summary>
public sealed record ConsumerGroupHeartbeat : IGroupRequest<ConsumerGroupHeartbeatResult>
{
    /// <summary>To join.</summary>
    public const int JoinEpoch = 0;
    /// <summary>To leave for good.</summary>
    public const int LeaveEpoch = -1;
    /// <summary>A static member leaves for a short time: its partitions wait for it.</summary>
    public const int LeaveForNowEpoch = -2;

    /// <summary>The group.</summary>
    public required string GroupId { get; init; }
    /// <summary>The member's id, which it makes itself (v1: a UUID); empty on a first heartbeat of v0: the coordinator makes it.</summary>
    public string MemberId { get; init; } = "";
    /// <summary>The epoch it was told last; <see cref="JoinEpoch"/>, <see cref="LeaveEpoch"/>, <see cref="LeaveForNowEpoch"/>.</summary>
    public int MemberEpoch { get; init; }
    /// <summary>The instance id of a static member; null: dynamic, or unchanged.</summary>
    public string? InstanceId { get; init; }
    /// <summary>Its rack (KIP-881); null: none, or unchanged.</summary>
    public string? RackId { get; init; }
    /// <summary>How long it may take to give partitions up; null: unchanged.</summary>
    public TimeSpan? RebalanceTimeout { get; init; }
    /// <summary>Topics by name; null: unchanged.</summary>
    public IReadOnlyList<string>? SubscribedTopicNames { get; init; }
    /// <summary>A regular expression that whole names of topics are to match; empty: none any more; null: unchanged.</summary>
    public string? SubscribedTopicRegex { get; init; }
    /// <summary><c>uniform</c> or <c>range</c>; null: the group's default, or unchanged.</summary>
    public string? ServerAssignor { get; init; }
    /// <summary>All that it was given and has not given up: also what it has heard of and does not read yet. What is missing here is
    /// another's from then on. Null: unchanged.</summary>
    public IReadOnlyList<TopicPartitions>? OwnedPartitions { get; init; }
    /// <summary>How the program calls itself, for descriptions.</summary>
    public string ClientId { get; init; } = "";
    /// <summary>The address it calls from, for descriptions.</summary>
    public string ClientHost { get; init; } = "";
    /// <summary>How long the answer may wait for news of this member's assignment: at most the heartbeat interval. Zero, as in Kafka: not
    /// at all.</summary>
    public TimeSpan MaxWait { get; init; }
    /// <summary>Rises with every heartbeat of a member, also when it joins again. A heartbeat overtaken by a later one is refused as
    /// outdated. A numbered heartbeat reports all that the member holds, so that an assignment lost with its answer is sent again. 0, as in
    /// Kafka: not numbered; the connection keeps the order.</summary>
    public long Sequence { get; init; }
    /// <summary>Whether the same was sent before and not answered: then the answer says all the member is to hold, since an answer that is
    /// lost may have said it.</summary>
    public bool IsRepeated { get; init; }

    object IGroupRequest.Refuse(ErrorCode error, string message) => ConsumerGroupHeartbeatResult.Failed(error, message);
}

/// <summary>The answer to <see cref="ConsumerGroupHeartbeat"/>.</summary>
public sealed record ConsumerGroupHeartbeatResult : IGroupAnswer
{
    /// <summary><see cref="ErrorCode.None"/>, or why not. <see cref="ErrorCode.FencedMemberEpoch"/> and
    /// <see cref="ErrorCode.UnknownMemberId"/>: give all partitions up and join again.</summary>
    public required ErrorCode Error { get; init; }
    /// <summary>On error: the field, and the fix.</summary>
    public string? Message { get; init; }
    /// <summary>The caller's id.</summary>
    public string? MemberId { get; init; }
    /// <summary>The epoch it is in now.</summary>
    public int MemberEpoch { get; init; }
    /// <summary>When the next heartbeat is due.</summary>
    public TimeSpan HeartbeatInterval { get; init; }
    /// <summary>Without a heartbeat for so long the member is out: it is not to hold partitions longer without an answer. Zero: not
    /// said.</summary>
    public TimeSpan SessionTimeout { get; init; }
    /// <summary>All it is to hold: what it holds beyond that it gives up and says so in its next heartbeat. Null: unchanged.</summary>
    public IReadOnlyList<TopicPartitions>? Assignment { get; init; }

    /// <summary>An answer that only says why not.</summary>
    public static ConsumerGroupHeartbeatResult Failed(ErrorCode error, string message) => new() { Error = error, Message = message };
}
