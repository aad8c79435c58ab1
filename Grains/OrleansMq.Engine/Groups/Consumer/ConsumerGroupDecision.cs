using OrleansMq.Api;

namespace OrleansMq.Groups.Consumer;

/// <summary>The next state of a consumer group, and the response.</summary>
/// <param name="Next">The next state; the same instance if nothing changed.</param>
/// <param name="Reply">The response; null if there is nothing new and the caller waits (see
/// <see cref="ConsumerGroupDecision.AnswerHeartbeat"/>).</param>
/// <param name="MemberId">The member concerned, with its new id; empty for none, or if the request was refused.</param>
internal readonly record struct ConsumerDecision<TReply>(ConsumerGroup Next, TReply? Reply, string MemberId) where TReply : class;

/// <summary>What was last sent to a member. While it is unchanged, a long poll is not answered.</summary>
/// <param name="Epoch">The member's epoch.</param>
/// <param name="Assigned">The member's assignment.</param>
internal sealed record ToldAssignment(int Epoch, PartitionSet Assigned);

/// <summary>
/// The decisions of the consumer protocol (KIP-848): how a heartbeat, a deadline, an expired session or a change of topics changes a group.
/// Pure: time, topics and new ids are arguments. The caller applies the next state, stores it, and responds only afterwards.
/// <para>A rebalance has no phase in which all members wait. The group epoch increases, a new target is computed at once, and each member
/// moves there with its own heartbeats. It is first told to revoke partitions. When it confirms that, it gets the new epoch and the free
/// partitions of its target; the others follow when their holders have revoked them. Members never stop reading what they keep.</para>
/// </summary>
internal static partial class ConsumerGroupDecision
{
    /// <summary>Removes a member that left, timed out, or did not revoke partitions in time. Its partitions are free.</summary>
    public static ConsumerGroup Remove(ConsumerGroup group, string memberId, GroupTopics topics, DateTimeOffset now) =>
        group.State.Members.ContainsKey(memberId) ? Remove(group, [memberId], topics, now) : group;

    /// <summary>Handles deadlines: removes members that did not comply in time.</summary>
    public static ConsumerGroup OnTime(ConsumerGroup group, GroupTopics topics, DateTimeOffset now)
    {
        var late = group.Deadlines.Where(deadline => deadline.Value <= now).Select(deadline => deadline.Key).ToList();
        return late.Count == 0 ? group : Remove(group, late, topics, now);
    }

    /// <summary>Handles a newer image of the topics, or other rules: computes a new target if the subscribed topics have changed, of the
    /// group or of a member.</summary>
    public static ConsumerGroup OnTopics(ConsumerGroup group, GroupTopics topics)
    {
        var state = group.State;
        if (!topics.IsKnown || state.Members.IsEmpty)
            return group;
        if (state.GroupEpoch == state.TargetEpoch)
        {
            var subscriptions = new ConsumerSubscriptions(topics, group);
            if (subscriptions.OfAll(state).SequenceEqual(state.Topics) && !state.Members.Values.Any(subscriptions.IsChanged))
                return subscriptions.ResolvedIn(state) is var resolved && ReferenceEquals(resolved, group.Resolved)
                    ? group : group with { Resolved = resolved };
            state = state with { GroupEpoch = state.GroupEpoch + 1 };
        }
        return TargetAssignment.Renew(group, state, topics);
    }

    /// <summary>Reconciles members that wait in a long poll, as if each had sent an empty heartbeat.</summary>
    public static ConsumerGroup Advance(ConsumerGroup group, IEnumerable<string> waiting, DateTimeOffset now)
    {
        var holders = new PartitionHolders(group.State);
        foreach (var memberId in waiting)
        {
            if (group.State.Members.TryGetValue(memberId, out var member) && !member.IsClassic)
                group = Reconcile(group, member, owned: null, member.Epoch, holders, now).Stamp(memberId, member);
        }
        return group;
    }

    /// <summary>Returns what was last sent to a member; null if it does not exist.</summary>
    public static ToldAssignment? Told(ConsumerGroup group, string memberId) =>
        group.State.Members.TryGetValue(memberId, out var member) ? new ToldAssignment(member.Epoch, member.Assigned) : null;

    /// <summary>Returns the response to a member in a long poll; null while nothing has changed.</summary>
    /// <param name="group">The group.</param>
    /// <param name="memberId">The waiting member.</param>
    /// <param name="told">What was last sent to it.</param>
    /// <param name="options">Contains the heartbeat interval.</param>
    public static ConsumerGroupHeartbeatResult? AnswerHeartbeat(ConsumerGroup group, string memberId, ToldAssignment told,
        GroupOptions options)
    {
        if (!group.State.Members.TryGetValue(memberId, out var member))
            return Unknown(memberId);
        if (member.Epoch == ConsumerGroupHeartbeat.LeaveForNowEpoch)
            return ConsumerGroupHeartbeatResult.Failed(ErrorCode.FencedMemberEpoch, "The member has left for now: join again.");
        var isChanged = !member.Assigned.Equals(told.Assigned);
        return isChanged || member.Epoch != told.Epoch ? Answer(member, withAssignment: isChanged, options) : null;
    }

    /// <summary>Returns the response to a member whose long poll has timed out.</summary>
    /// <param name="group">The group.</param>
    /// <param name="request">The request.</param>
    /// <param name="memberId">The member's id.</param>
    /// <param name="options">Contains the heartbeat interval.</param>
    public static ConsumerGroupHeartbeatResult AnswerNoNews(ConsumerGroup group, ConsumerGroupHeartbeat request, string memberId,
        GroupOptions options) =>
        group.State.Members.TryGetValue(memberId, out var member)
            // If it owns other partitions than assigned, it may have missed an earlier response.
            ? Answer(member, withAssignment: request.OwnedPartitions is { } owned && !PartitionSet.Of(owned).Equals(member.Assigned),
                options)
            : Unknown(memberId);

    /// <summary>Returns the session timeout of a member; null if it does not exist.</summary>
    public static TimeSpan? SessionTimeout(ConsumerGroup group, string memberId, GroupOptions options) =>
        group.State.Members.TryGetValue(memberId, out var member) ? SessionOf(member, options) : null;

    private static ConsumerGroup Remove(ConsumerGroup group, IReadOnlyCollection<string> memberIds, GroupTopics topics, DateTimeOffset now)
    {
        group = group.Without(memberIds);
        var state = group.State with { GroupEpoch = group.State.GroupEpoch + 1 };
        if (state.Members.IsEmpty)
            state = state with { EmptySince = now, TargetEpoch = state.GroupEpoch, Assignor = null, Topics = state.Topics.Clear() };
        return TargetAssignment.Renew(group, state, topics);
    }

    private static ConsumerGroupHeartbeatResult Answer(ConsumerMember member, bool withAssignment, GroupOptions options) => new()
    {
        Error = ErrorCode.None,
        MemberId = member.MemberId,
        MemberEpoch = member.Epoch,
        HeartbeatInterval = IntervalOf(member, options),
        SessionTimeout = SessionOf(member, options),
        Assignment = withAssignment ? member.Assigned.ToTopicPartitions() : null,
    };

    private static TimeSpan SessionOf(ConsumerMember member, GroupOptions options) =>
        member.Classic?.SessionTimeout ?? member.SessionTimeout ?? options.ConsumerSessionTimeout;

    /// <summary>Returns a heartbeat interval of which at least three fit into the session that the member asked for.</summary>
    private static TimeSpan IntervalOf(ConsumerMember member, GroupOptions options) =>
        member.SessionTimeout is { } session && session / 3 < options.ConsumerHeartbeatInterval
            ? session / 3 : options.ConsumerHeartbeatInterval;

    private static GroupReply InvalidSession(TimeSpan session, GroupOptions options) => new(ErrorCode.InvalidSessionTimeout,
        $"The session timeout is {session.TotalMilliseconds:0} ms; this broker allows {options.MinSessionTimeout.TotalMilliseconds:0} to "
        + $"{options.MaxSessionTimeout.TotalMilliseconds:0} ms.");

    private static ConsumerGroupHeartbeatResult Unknown(string memberId) =>
        ConsumerGroupHeartbeatResult.Failed(ErrorCode.UnknownMemberId, UnknownMessage(memberId));

    private static string UnknownMessage(string memberId) =>
        $"The group has no member '{memberId}' (any more): give all partitions up and join again.";
}
