namespace OrleansMq.Groups.Assignment;

/// <summary>
/// <c>cooperative-sticky</c> (KIP-429): the assignment of <see cref="StickyAssignor"/> in two phases. Members continue reading during a
/// rebalance. A partition that moves between two members is first assigned to neither. Its owner revokes it and rejoins, and in the
/// following rebalance the other member gets it. So members never stop reading what they keep, and no partition has two readers.
/// </summary>
internal sealed class CooperativeStickyAssignor : IClientAssignor
{
    /// <summary>The name of the protocol.</summary>
    public const string ProtocolName = "cooperative-sticky";

    /// <inheritdoc/>
    public string Name => ProtocolName;

    /// <inheritdoc/>
    public bool IsCooperative => true;

    /// <inheritdoc/>
    public ConsumerSubscription Subscribe(IReadOnlyList<string> topics, IReadOnlyList<TopicPartition> owned, int generation,
        string? rackId = null) =>
        new() { Topics = topics, OwnedPartitions = owned, Generation = generation, RackId = rackId,
            UserData = StickyUserData.Encode(generation) };

    /// <inheritdoc/>
    public AssignmentMember Member(string memberId, string? instanceId, ConsumerSubscription subscription) => new()
    {
        MemberId = memberId,
        InstanceId = instanceId,
        RackId = subscription.RackId,
        Topics = subscription.Topics,
        Owned = subscription.OwnedPartitions,
        // Clients that write version 1 of the subscription have no other field for it.
        Generation = subscription.Generation >= 0 ? subscription.Generation : StickyUserData.Decode(subscription.UserData).Generation,
    };

    /// <inheritdoc/>
    /// <remarks>Omits a partition that another member claims, unless its new member was assigned it in a later generation.</remarks>
    public IReadOnlyDictionary<string, IReadOnlyList<TopicPartition>> Assign(IReadOnlyCollection<AssignmentMember> members,
        IReadOnlyCollection<AssignmentTopic> topics)
    {
        var problem = new AssignmentProblem(members, topics);
        var assigned = BalancedAssignment.Of(problem);
        for (var member = 0; member < problem.Members.Length; member++)
        {
            foreach (var partition in problem.Members[member].Owned.Select(problem.IndexOf).Where(index => index != AssignmentProblem.None))
            {
                if (assigned[partition] != member && assigned[partition] != problem.Owner[partition])
                    assigned[partition] = AssignmentProblem.None;
            }
        }
        return problem.Name(assigned);
    }
}
