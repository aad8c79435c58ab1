namespace OrleansMq.Groups.Assignment;

/// <summary><c>sticky</c>: as even as the subscriptions allow, and members keep their partitions as far as possible. Eager: members stop
/// reading during a rebalance, and send their former partitions as user data (<see cref="StickyUserData"/>).</summary>
internal sealed class StickyAssignor : IClientAssignor
{
    /// <inheritdoc/>
    public string Name => "sticky";

    /// <inheritdoc/>
    public bool IsCooperative => false;

    /// <inheritdoc/>
    public ConsumerSubscription Subscribe(IReadOnlyList<string> topics, IReadOnlyList<TopicPartition> owned, int generation,
        string? rackId = null) =>
        new() { Topics = topics, OwnedPartitions = owned, Generation = generation, RackId = rackId,
            UserData = StickyUserData.Encode(owned, generation) };

    /// <inheritdoc/>
    public AssignmentMember Member(string memberId, string? instanceId, ConsumerSubscription subscription)
    {
        var (owned, generation) = StickyUserData.Decode(subscription.UserData);
        return new AssignmentMember
        {
            MemberId = memberId,
            InstanceId = instanceId,
            RackId = subscription.RackId,
            Topics = subscription.Topics,
            Owned = owned,
            Generation = generation,
        };
    }

    /// <inheritdoc/>
    public IReadOnlyDictionary<string, IReadOnlyList<TopicPartition>> Assign(IReadOnlyCollection<AssignmentMember> members,
        IReadOnlyCollection<AssignmentTopic> topics)
    {
        var problem = new AssignmentProblem(members, topics);
        return problem.Name(BalancedAssignment.Of(problem));
    }
}
