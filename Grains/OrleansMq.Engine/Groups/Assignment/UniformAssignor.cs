namespace OrleansMq.Groups.Assignment;

/// <summary><c>uniform</c> as the coordinator runs it (KIP-848): as even as the subscriptions allow, with few moves, and from the own rack
/// where possible. The coordinator moves partitions one by one, so no phases are needed here.</summary>
internal sealed class UniformAssignor : IAssignor
{
    /// <inheritdoc/>
    public string Name => "uniform";

    /// <inheritdoc/>
    public IReadOnlyDictionary<string, IReadOnlyList<TopicPartition>> Assign(IReadOnlyCollection<AssignmentMember> members,
        IReadOnlyCollection<AssignmentTopic> topics)
    {
        var problem = new AssignmentProblem(members, topics);
        return problem.Name(BalancedAssignment.Of(problem));
    }
}
