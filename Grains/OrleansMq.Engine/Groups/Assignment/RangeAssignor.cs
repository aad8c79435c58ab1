namespace OrleansMq.Groups.Assignment;

/// <summary>
/// <c>range</c> as clients run it: of each topic every subscriber gets one run of numbers, the first ones one partition more. Topics with
/// the same count and the same subscribers are cut at the same places, so that equal keys meet in one member. It knows nothing of what was
/// before.
/// </summary>
public sealed class RangeAssignor : IClientAssignor
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
