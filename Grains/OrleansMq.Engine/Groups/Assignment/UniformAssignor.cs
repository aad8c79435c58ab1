namespace OrleansMq.Groups.Assignment;

/// <summary><c>uniform</c> as the coordinator runs it (KIP-848): as even as the subscriptions allow, moving as little as that takes, and
/// from the own rack where it is free to choose. The coordinator hands partitions over one by one, so there are no phases here.</summary>
public sealed class UniformAssignor : IAssignor
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
