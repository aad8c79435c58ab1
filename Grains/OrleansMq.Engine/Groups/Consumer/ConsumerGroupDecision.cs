using OrleansMq.Api;

namespace OrleansMq.Groups.Consumer;

/// <summary>What a consumer group becomes, and what is answered.</summary>
/// <param name="Next">The group from now on; the same instance if nothing changed.</param>
/// <param name="Reply">The answer; null: there is no news, the caller waits (see
/// <see cref="ConsumerGroupDecision.AnswerHeartbeat"/>).</param>
/// <param name="MemberId">The member it is about, with the id that it has from now on; empty for none, or where it is refused.</param>
public readonly record struct ConsumerDecision<TReply>(ConsumerGroup Next, TReply? Reply, string MemberId) where TReply : class;

/// <summary>What a member was told last: while its state is the same, there is nothing to answer a long poll with.</summary>
/// <param name="Epoch">Its epoch.</param>
/// <param name="Assigned">What it may read.</param>
public sealed record ToldAssignment(int Epoch, PartitionSet Assigned);

/// <summary>
/// The consumer protocol (KIP-848), decided: what a heartbeat, a time that has come, a session that has ended or a change of topics makes
/// of a group. Pure: time, topics and new ids come in as arguments. Who calls applies the next state, stores it, and only then answers.
/// <para>A rebalance has no phases that all wait for. The group epoch rises, a new target is worked out at once, and each member goes there
/// by itself with its heartbeats: what it is to lose it is told to give up; when it says that it did, it gets what is free of its target
/// and the new epoch; what others still hold it gets when they have let go. Who keeps what they have never stops reading.</para>
/// </summary>
public static partial class ConsumerGroupDecision
{
    /// <summary>A member is out: it left, its session ended, or it did not give partitions up in time. What it held is free.</summary>
    public static ConsumerGroup Remove(ConsumerGroup group, string memberId, GroupTopics topics, DateTimeOffset now) =>
        group.State.Members.ContainsKey(memberId) ? Remove(group, [memberId], topics, now) : group;

    /// <summary>What the passing of time does: members that did not do in time what they were told are out.</summary>
    public static ConsumerGroup OnTime(ConsumerGroup group, GroupTopics topics, DateTimeOffset now)
    {
        var late = group.Deadlines.Where(deadline => deadline.Value <= now).Select(deadline => deadline.Key).ToList();
        return late.Count == 0 ? group : Remove(group, late, topics, now);
    }

    /// <summary>A newer image of the topics: a new target if what members read is not what it was.</summary>
    public static ConsumerGroup OnTopics(ConsumerGroup group, GroupTopics topics)
    {
        var state = group.State;
        if (!topics.IsKnown || state.Members.IsEmpty)
            return group;
        if (state.GroupEpoch == state.TargetEpoch && !new ConsumerSubscriptions(topics).OfAll(state).SequenceEqual(state.Topics))
            state = state with { GroupEpoch = state.GroupEpoch + 1 };
        return group.With(TargetAssignment.Renew(state, topics));
    }

    /// <summary>Lets members go on that wait for news in a long poll: as if each sent a heartbeat that says nothing.</summary>
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

    /// <summary>What a member was told last; null where there is no such member.</summary>
    public static ToldAssignment? Told(ConsumerGroup group, string memberId) =>
        group.State.Members.TryGetValue(memberId, out var member) ? new ToldAssignment(member.Epoch, member.Assigned) : null;

    /// <summary>The answer to a member that waits for news; null while there are none.</summary>
    /// <param name="group">The group.</param>
    /// <param name="memberId">Who waits.</param>
    /// <param name="told">What it was told last.</param>
    /// <param name="options">The heartbeat's interval.</param>
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

    /// <summary>The answer to a member that has waited as long as it wanted to.</summary>
    /// <param name="group">The group.</param>
    /// <param name="request">What it asked.</param>
    /// <param name="memberId">Its id.</param>
    /// <param name="options">The heartbeat's interval.</param>
    public static ConsumerGroupHeartbeatResult AnswerNoNews(ConsumerGroup group, ConsumerGroupHeartbeat request, string memberId,
        GroupOptions options) =>
        group.State.Members.TryGetValue(memberId, out var member)
            // Where it holds something else than it is to, it may not have heard an earlier answer.
            ? Answer(member, withAssignment: request.OwnedPartitions is { } owned && !PartitionSet.Of(owned).Equals(member.Assigned),
                options)
            : Unknown(memberId);

    /// <summary>How long a session of a member is; null where there is no such member.</summary>
    public static TimeSpan? SessionTimeout(ConsumerGroup group, string memberId, GroupOptions options) =>
        group.State.Members.TryGetValue(memberId, out var member) ? member.Classic?.SessionTimeout ?? options.ConsumerSessionTimeout : null;

    private static ConsumerGroup Remove(ConsumerGroup group, IReadOnlyCollection<string> memberIds, GroupTopics topics, DateTimeOffset now)
    {
        group = group.Without(memberIds);
        var state = group.State with { GroupEpoch = group.State.GroupEpoch + 1 };
        if (state.Members.IsEmpty)
            state = state with { EmptySince = now, TargetEpoch = state.GroupEpoch, Assignor = null, Topics = state.Topics.Clear() };
        return group.With(TargetAssignment.Renew(state, topics));
    }

    private static ConsumerGroupHeartbeatResult Answer(ConsumerMember member, bool withAssignment, GroupOptions options) => new()
    {
        Error = ErrorCode.None,
        MemberId = member.MemberId,
        MemberEpoch = member.Epoch,
        HeartbeatInterval = options.ConsumerHeartbeatInterval,
        SessionTimeout = options.ConsumerSessionTimeout,
        Assignment = withAssignment ? member.Assigned.ToTopicPartitions() : null,
    };

    private static ConsumerGroupHeartbeatResult Unknown(string memberId) =>
        ConsumerGroupHeartbeatResult.Failed(ErrorCode.UnknownMemberId, UnknownMessage(memberId));

    private static string UnknownMessage(string memberId) =>
        $"The group has no member '{memberId}' (any more): give all partitions up and join again.";
}
