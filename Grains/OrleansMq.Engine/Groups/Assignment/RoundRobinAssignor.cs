namespace OrleansMq.Groups.Assignment;

/// <summary><c>roundrobin</c>: the partitions of all topics are assigned to the members in turn, skipping members that do not subscribe to
/// the topic. Ignores earlier assignments.</summary>
internal sealed class RoundRobinAssignor : IClientAssignor
{
    /// <inheritdoc/>
    public string Name => "roundrobin";

    /// <inheritdoc/>
    public bool IsCooperative => false;

    /// <inheritdoc/>
    public ConsumerSubscription Subscribe(IReadOnlyList<string> topics, IReadOnlyList<TopicPartition> owned, int generation,
        string? rackId = null) =>
        new() { Topics = topics, OwnedPartitions = owned, Generation = generation, RackId = rackId };

    /// <inheritdoc/>
    public AssignmentMember Member(string memberId, string? instanceId, ConsumerSubscription subscription) =>
        new() { MemberId = memberId, InstanceId = instanceId, RackId = subscription.RackId, Topics = subscription.Topics };

    /// <inheritdoc/>
    public IReadOnlyDictionary<string, IReadOnlyList<TopicPartition>> Assign(IReadOnlyCollection<AssignmentMember> members,
        IReadOnlyCollection<AssignmentTopic> topics)
    {
        var problem = new AssignmentProblem(members, topics);
        var assigned = new int[problem.PartitionCount];
        var turn = 0;
        for (var partition = 0; partition < assigned.Length; partition++)
        {
            var topic = problem.TopicOf(partition);
            while (!problem.IsSubscribed(turn, topic))
                turn = (turn + 1) % problem.Members.Length;
            assigned[partition] = turn;
            turn = (turn + 1) % problem.Members.Length;
        }
        return problem.Name(assigned);
    }
}
