namespace OrleansMq.Tests.Simulation.Groups;

/// <summary>Checks invariant 5. Among members of the stored group, in the generation or epoch that they believe in, no two own the same
/// partition. In the coordinators' answers, a partition of one generation is given to one member.</summary>
internal sealed class OwnershipChecker(GroupSimulation simulation)
{
    private readonly Dictionary<(int Generation, TopicPartition Partition), string> _given = [];

    public void OnTaken(SimulatedMember member, IReadOnlyList<TopicIdPartition> taken)
    {
        if (!IsValid(member))
            return;
        foreach (var other in simulation.Members)
        {
            if (other == member || !other.IsAlive || other.Held.Count == 0)
                continue;
            foreach (var partition in taken)
            {
                if (other.Held.Contains(partition) && !IsAssumed(member, partition) && !IsAssumed(other, partition) && IsValid(other))
                    throw new Verdict($"invariant 5: {member} in {member.Epoch} takes {simulation.Describe([partition])}, which {other} "
                        + $"holds in {other.Epoch}");
            }
        }
    }

    // Classic members are told names: a member that knows another topic of that name than its coordinator reads that one.
    private bool IsAssumed(SimulatedMember member, TopicIdPartition partition) => member.Assumed.Contains(partition)
        || (member is ClassicMember && simulation.IsNamesake(member.MemberId, partition));

    /// <summary>A coordinator gives a classic member its assignment. A restart under the same instance id continues it.</summary>
    public void OnGiven(string member, int generation, IEnumerable<TopicPartition> partitions)
    {
        foreach (var partition in partitions)
        {
            if (!_given.TryAdd((generation, partition), member) && _given[(generation, partition)] != member)
                throw new Verdict($"invariant 5: in generation {generation} {partition} is given to {_given[(generation, partition)]} and "
                    + $"to {member}");
        }
    }

    /// <summary>The group was deleted: generations start again.</summary>
    public void OnDeleted() => _given.Clear();

    /// <summary>Whether the member is in the stored group, in the generation or epoch that it believes in.</summary>
    public bool IsValid(SimulatedMember member) => member.Epoch >= 0 && simulation.StoredEpochOf(member.MemberId) == member.Epoch;
}
