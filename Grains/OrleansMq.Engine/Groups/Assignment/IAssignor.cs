namespace OrleansMq.Groups.Assignment;

/// <summary>A member of a group, as input for an assignor.</summary>
internal sealed record AssignmentMember
{
    /// <summary>The member's id, unique in the group.</summary>
    public required string MemberId { get; init; }

    /// <summary>The instance id of a static member. It determines the member's order, so that a restart under a new member id changes
    /// nothing.</summary>
    public string? InstanceId { get; init; }

    /// <summary>The member's rack; null for none.</summary>
    public string? RackId { get; init; }

    /// <summary>The topics it subscribes to. Topics that are not in the assignor's input are ignored.</summary>
    public IReadOnlyCollection<string> Topics { get; init; } = [];

    /// <summary>The partitions that it owns or is about to own.</summary>
    public IReadOnlyCollection<TopicPartition> Owned { get; init; } = [];

    /// <summary>The generation in which <see cref="Owned"/> was assigned; -1 if unknown. If two members claim a partition, the higher one
    /// wins.</summary>
    public int Generation { get; init; } = ConsumerSubscription.NoGeneration;
}

/// <summary>A topic, as input for an assignor.</summary>
/// <param name="Name">Its name.</param>
/// <param name="PartitionCount">The number of partitions.</param>
/// <param name="Racks">The racks of each partition's replicas; null if unknown.</param>
internal sealed record AssignmentTopic(string Name, int PartitionCount, IReadOnlyList<IReadOnlyCollection<string>>? Racks = null);

/// <summary>
/// Assigns partitions to members. Pure and deterministic: the same members and topics, in any order, give the same assignment. Every
/// partition of a topic with subscribers is assigned to exactly one of them (see <see cref="CooperativeStickyAssignor"/> for the one
/// exception).
/// </summary>
internal interface IAssignor
{
    /// <summary>The name under which groups select it, such as <c>range</c>.</summary>
    string Name { get; }

    /// <summary>Computes the assignment. Every member has an entry; its partitions are ordered by topic and number.</summary>
    /// <exception cref="ArgumentException">Two members have the same id, or two topics the same name.</exception>
    IReadOnlyDictionary<string, IReadOnlyList<TopicPartition>> Assign(IReadOnlyCollection<AssignmentMember> members,
        IReadOnlyCollection<AssignmentTopic> topics);
}

/// <summary>An assignor that the leader of a classic group runs. See <see cref="ClientAssignors"/>.</summary>
internal interface IClientAssignor : IAssignor
{
    /// <summary>Whether members continue reading during a rebalance, and revoke only the partitions that move. Otherwise they revoke all
    /// partitions before they join.</summary>
    bool IsCooperative { get; }

    /// <summary>Creates the subscription with which a member joins.</summary>
    /// <param name="topics">The topics to read.</param>
    /// <param name="owned">The partitions that it owns, or owned until this rebalance began.</param>
    /// <param name="generation">The generation in which they were assigned; -1 for none.</param>
    /// <param name="rackId">The member's rack.</param>
    ConsumerSubscription Subscribe(IReadOnlyList<string> topics, IReadOnlyList<TopicPartition> owned, int generation,
        string? rackId = null);

    /// <summary>Converts a member's subscription to input for this assignor.</summary>
    AssignmentMember Member(string memberId, string? instanceId, ConsumerSubscription subscription);
}
