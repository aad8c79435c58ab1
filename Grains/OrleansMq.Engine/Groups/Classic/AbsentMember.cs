using OrleansMq.Api;
using OrleansMq.Groups.Assignment;

namespace OrleansMq.Groups.Classic;

/// <summary>
/// A static member that is away when a generation is formed. It stays in the group with the subscription of its last join, which does not
/// contain what it was assigned since. A cooperative leader would give these partitions to others at once, while the member still reads
/// them; when it comes back under its member id, it gets the new generation, and could commit them under it. So the coordinator adds the
/// assignment to the owned partitions: the leader leaves them where they are, or assigns them to none until the member has revoked them.
/// The claim has the generation of the members that are there, since leaders ignore older ones.
/// </summary>
internal static class AbsentMember
{
    /// <summary>The limit of the bytes of a member's subscriptions with its claim. The claim grows with each assignment, and every protocol
    /// has a copy of it.</summary>
    internal const int MaxBytes = 4 * 1024 * 1024;

    /// <summary>Returns the member with a claim to what it may be reading; null above <see cref="MaxBytes"/>.</summary>
    /// <param name="state">The group, in the last generation.</param>
    /// <param name="member">The member.</param>
    /// <param name="claims">The claims of all members.</param>
    public static ClassicMember? Claiming(ClassicGroupState state, ClassicMember member, LatestClaims claims)
    {
        if (!ConsumerProtocol.TryDecodeAssignment(member.Assignment, out var assignment, out _))
            return member;
        var protocols = member.Protocols.ToBuilder();
        var bytes = 0;
        for (var i = 0; i < protocols.Count && bytes <= MaxBytes; i++)
        {
            protocols[i] = Claiming(member.MemberId, protocols[i], assignment.Partitions, state.Generation, claims);
            bytes += protocols[i].Metadata.Length;
        }
        return bytes <= MaxBytes ? member with { Protocols = protocols.ToImmutable() } : null;
    }

    // Version 0 has no owned partitions: its members revoke all before they join.
    private static GroupProtocol Claiming(string memberId, GroupProtocol offered, IReadOnlyList<TopicPartition> assigned, int generation,
        LatestClaims claims)
    {
        var version = ConsumerProtocol.VersionOf(offered.Metadata.Span);
        if (version < 1 || !ConsumerProtocol.TryDecodeSubscription(offered.Metadata, out var subscription, out _))
            return offered;
        var owned = subscription.OwnedPartitions.Where(partition => claims.IsNewest(partition, memberId)).Union(assigned).ToList();
        if (owned.Count == 0)
            return offered;
        var claiming = subscription with
        {
            OwnedPartitions = owned,
            Generation = generation,
            // Where clients that write version 1 have the generation.
            UserData = offered.Name == CooperativeStickyAssignor.ProtocolName && subscription.UserData is not null
                ? StickyUserData.Encode(generation)
                : subscription.UserData,
        };
        return new GroupProtocol(offered.Name, ConsumerProtocol.Encode(claiming, Math.Min(version, ConsumerProtocol.HighestVersion)));
    }
}
