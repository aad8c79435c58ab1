using System.Diagnostics.CodeAnalysis;
using OrleansMq.Api;

namespace OrleansMq.Groups.Assignment;

/// <summary>
/// The assignors that the leader of a classic group runs, and the steps around them: <see cref="Read"/> the members' subscriptions, look up
/// the topics, <see cref="Assign"/>.
/// </summary>
internal static class ClientAssignors
{
    /// <summary>All client assignors.</summary>
    public static IReadOnlyList<IClientAssignor> All { get; } = [new RangeAssignor(), new RoundRobinAssignor(), new StickyAssignor(),
        new CooperativeStickyAssignor()];

    /// <summary>Finds an assignor by name.</summary>
    public static bool TryGet(string name, [NotNullWhen(true)] out IClientAssignor? assignor) =>
        (assignor = All.FirstOrDefault(candidate => candidate.Name == name)) is not null;

    /// <summary>Creates the protocol with which a member joins for this assignor.</summary>
    public static GroupProtocol Offer(IClientAssignor assignor, ConsumerSubscription subscription) =>
        new(assignor.Name, ConsumerProtocol.Encode(subscription));

    /// <summary>Decodes the members' subscriptions for the chosen assignor.</summary>
    /// <param name="assignor">The assignor of <see cref="JoinGroupResult.ProtocolName"/>.</param>
    /// <param name="members">The members in <see cref="JoinGroupResult.Members"/>.</param>
    public static JoinedSubscriptions Read(IClientAssignor assignor, IReadOnlyList<JoinedMember> members)
    {
        var readable = new List<AssignmentMember>(members.Count);
        var unreadable = new List<(string, string)>();
        foreach (var member in members)
        {
            if (ConsumerProtocol.TryDecodeSubscription(member.Metadata, out var subscription, out var error))
                readable.Add(assignor.Member(member.MemberId, member.GroupInstanceId, subscription));
            else
                unreadable.Add((member.MemberId, error));
        }
        return new JoinedSubscriptions(readable, unreadable);
    }

    /// <summary>Computes the assignments for <see cref="SyncGroup.Assignments"/>: one for every member with a decodable subscription,
    /// ordered by id (ordinal).</summary>
    public static IReadOnlyList<MemberAssignment> Assign(IClientAssignor assignor, JoinedSubscriptions joined,
        IReadOnlyCollection<AssignmentTopic> topics) =>
        [.. assignor.Assign(joined.Members, topics).OrderBy(member => member.Key, StringComparer.Ordinal)
            .Select(member => new MemberAssignment(member.Key, ConsumerProtocol.Encode(new ConsumerAssignment(member.Value))))];
}

/// <summary>The decoded subscriptions of a classic group's members.</summary>
/// <param name="Members">Members with a decodable subscription.</param>
/// <param name="Unreadable">The other members, with the fault. They get no partitions, and the leader logs it.</param>
internal sealed record JoinedSubscriptions(IReadOnlyList<AssignmentMember> Members,
    IReadOnlyList<(string MemberId, string Error)> Unreadable)
{
    /// <summary>The topics whose partitions the leader must look up.</summary>
    public IReadOnlySet<string> Topics => Members.SelectMany(member => member.Topics).ToHashSet(StringComparer.Ordinal);
}
