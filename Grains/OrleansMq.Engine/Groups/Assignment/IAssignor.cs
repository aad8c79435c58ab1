namespace OrleansMq.Groups.Assignment;

/// <summary>A member of a group, as far as an assignor is interested in it.</summary>
public sealed record AssignmentMember
{
    /// <summary>Its id, unique in the group.</summary>
    public required string MemberId { get; init; }

    /// <summary>The instance id of a static member: it decides the order then, so that a restart under a new member id changes
    /// nothing.</summary>
    public string? InstanceId { get; init; }

    /// <summary>Its rack; null for none.</summary>
    public string? RackId { get; init; }

    /// <summary>The topics it reads. Those that are not among the assignor's topics are left out of account.</summary>
    public IReadOnlyCollection<string> Topics { get; init; } = [];

    /// <summary>What it holds now, or is to hold now.</summary>
    public IReadOnlyCollection<TopicPartition> Owned { get; init; } = [];

    /// <summary>When it was given <see cref="Owned"/>: the higher wins where two claim the same partition; -1 if not known.</summary>
    public int Generation { get; init; } = ConsumerSubscription.NoGeneration;
}

/// <summary>A topic, as far as an assignor is interested in it.</summary>
/// <param name="Name">Its name.</param>
/// <param name="PartitionCount">Its partitions are 0 to this, exclusive.</param>
/// <param name="Racks">By partition the racks of its replicas; null where they are not known.</param>
public sealed record AssignmentTopic(string Name, int PartitionCount, IReadOnlyList<IReadOnlyCollection<string>>? Racks = null);

/// <summary>
/// Says who reads which partition. Pure and deterministic: the same members and topics, in whatever order, give the same assignment. Every
/// partition of a topic that a member is subscribed to is given to exactly one of these members (see
/// <see cref="CooperativeStickyAssignor"/> for the one exception).
/// </summary>
public interface IAssignor
{
    /// <summary>The name under which groups agree on it, as <c>range</c>.</summary>
    string Name { get; }

    /// <summary>Who is to read what: every member has an entry; its partitions are ordered by topic and number.</summary>
    /// <exception cref="ArgumentException">Two members with one id, or two topics with one name.</exception>
    IReadOnlyDictionary<string, IReadOnlyList<TopicPartition>> Assign(IReadOnlyCollection<AssignmentMember> members,
        IReadOnlyCollection<AssignmentTopic> topics);
}

/// <summary>An assignor that the leader of a classic group runs. See <see cref="ClientAssignors"/>.</summary>
public interface IClientAssignor : IAssignor
{
    /// <summary>Whether members keep reading while the group rebalances, and give up only what they are told to. Otherwise they give
    /// everything up before they join.</summary>
    bool IsCooperative { get; }

    /// <summary>What a member says to this assignor when it joins.</summary>
    /// <param name="topics">What it wants to read.</param>
    /// <param name="owned">What it has, or had until this rebalance began.</param>
    /// <param name="generation">The generation in which it was given that; -1 if none.</param>
    /// <param name="rackId">Its rack.</param>
    ConsumerSubscription Subscribe(IReadOnlyList<string> topics, IReadOnlyList<TopicPartition> owned, int generation,
        string? rackId = null);

    /// <summary>What this assignor makes of a member's subscription.</summary>
    AssignmentMember Member(string memberId, string? instanceId, ConsumerSubscription subscription);
}
