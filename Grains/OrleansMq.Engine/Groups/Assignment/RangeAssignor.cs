namespace OrleansMq.Groups.Assignment;

/// <summary>
/// <c>range</c> as clients run it: each subscriber of a topic gets one contiguous range of its partitions; the first ones get one more.
/// Topics with the same number of partitions and the same subscribers are divided identically, so that equal keys meet in one member.
/// Ignores earlier assignments.
/// </summary>
internal sealed class RangeAssignor : IClientAssignor
{
    /// <inheritdoc/>
    public string Name => "range";

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
        for (var topic = 0; topic < problem.Topics.Length; topic++)
        {
            var subscribers = problem.Subscribers[topic];
            var (each, more) = Math.DivRem(problem.Topics[topic].PartitionCount, subscribers.Length);
            var next = problem.FirstPartition[topic];
            for (var place = 0; place < subscribers.Length; place++)
            {
                var count = each + (place < more ? 1 : 0);
                assigned.AsSpan(next, count).Fill(subscribers[place]);
                next += count;
            }
        }
        return problem.Name(assigned);
    }
}
