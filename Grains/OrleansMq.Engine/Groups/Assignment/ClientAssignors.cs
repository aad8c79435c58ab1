using System.Diagnostics.CodeAnalysis;
using OrleansMq.Api;

namespace OrleansMq.Groups.Assignment;

/// <summary>
/// The assignors that the leader of a classic group runs, and the leader's work around them: <see cref="Read"/> what the members said, look
/// the topics up, <see cref="Assign"/>.
/// </summary>
public static class ClientAssignors
{
    /// <summary>All of them.</summary>
    public static IReadOnlyList<IClientAssignor> All { get; } = [new RangeAssignor(), new RoundRobinAssignor(), new StickyAssignor(),
        new CooperativeStickyAssignor()];

    /// <summary>The assignor of that name.</summary>
    public static bool TryGet(string name, [NotNullWhen(true)] out IClientAssignor? assignor) =>
        (assignor = All.FirstOrDefault(candidate => candidate.Name == name)) is not null;

    /// <summary>What a member offers when it joins with this assignor.</summary>
    public static GroupProtocol Offer(IClientAssignor assignor, ConsumerSubscription subscription) =>
        new(assignor.Name, ConsumerProtocol.Encode(subscription));

    /// <summary>Reads what the members said to the assignor that was chosen.</summary>
    /// <param name="assignor">The assignor of <see cref="JoinGroupResult.ProtocolName"/>.</param>
    /// <param name="members">As the leader is told in <see cref="JoinGroupResult.Members"/>.</param>
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

    /// <summary>The assignment as the leader brings it in <see cref="SyncGroup.Assignments"/>: every member that could be read, by id in
    /// ordinal order.</summary>
    public static IReadOnlyList<MemberAssignment> Assign(IClientAssignor assignor, JoinedSubscriptions joined,
        IReadOnlyCollection<AssignmentTopic> topics) =>
        [.. assignor.Assign(joined.Members, topics).OrderBy(member => member.Key, StringComparer.Ordinal)
            .Select(member => new MemberAssignment(member.Key, ConsumerProtocol.Encode(new ConsumerAssignment(member.Value))))];
}

/// <summary>What the leader of a classic group read in its members' subscriptions.</summary>
/// <param name="Members">Those that could be read.</param>
/// <param name="Unreadable">Those that could not, with what is wrong: they get nothing, and the leader says so in its log.</param>
public sealed record JoinedSubscriptions(IReadOnlyList<AssignmentMember> Members, IReadOnlyList<(string MemberId, string Error)> Unreadable)
{
    /// <summary>The topics whose partitions the leader has to know.</summary>
    public IReadOnlySet<string> Topics => Members.SelectMany(member => member.Topics).ToHashSet(StringComparer.Ordinal);
}
