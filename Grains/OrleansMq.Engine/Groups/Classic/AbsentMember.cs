using OrleansMq.Api;
using OrleansMq.Groups.Assignment;

namespace OrleansMq.Groups.Classic;

/// <summary>
/// A static member that is away when a generation is formed. It stays in the group with the subscription of its last join, which does not
/// contain what it was assigned since. A cooperative leader would give these partitions to others at once, while the member still reads
/// them; when it comes back under its member id, it gets the new generation, and could commit them under it. So the coordinator adds the
/// assignment to the owned partitions: the leader leaves them where they are, or gives them to nobody until the member has revoked them.
/// </summary>
internal static class AbsentMember
{
    /// <summary>Returns the member as one that owns its assignment, too; unchanged if its bytes are not those of a consumer.</summary>
    /// <param name="state">The group, in the generation of that assignment.</param>
    /// <param name="member">The member.</param>
    public static ClassicMember OwningItsAssignment(ClassicGroupState state, ClassicMember member) =>
        state.IsOfConsumers && ConsumerProtocol.TryDecodeAssignment(member.Assignment, out var assignment, out _)
            && assignment.Partitions.Count > 0
            ? member with { Protocols = [.. member.Protocols.Select(offered => Owning(offered, assignment.Partitions, state.Generation))] }
            : member;

    // Version 0 has no owned partitions: its members revoke all before they join.
    private static GroupProtocol Owning(GroupProtocol offered, IReadOnlyList<TopicPartition> assigned, int generation)
    {
        var version = ConsumerProtocol.VersionOf(offered.Metadata.Span);
        if (version < 1 || !ConsumerProtocol.TryDecodeSubscription(offered.Metadata, out var subscription, out _)
            || !assigned.Except(subscription.OwnedPartitions).Any())
            return offered;
        var owning = subscription with { OwnedPartitions = [.. subscription.OwnedPartitions.Union(assigned)], Generation = generation };
        return new GroupProtocol(offered.Name, ConsumerProtocol.Encode(owning, Math.Min(version, ConsumerProtocol.HighestVersion)));
    }
}
