using OrleansMq.Groups.Assignment;

namespace OrleansMq.Groups.Consumer;

/// <summary>Computes the target assignment whenever the group epoch increases.</summary>
internal static class TargetAssignment
{
    /// <summary>Returns the group with another state, which gets the target of its epoch; without, while the topics are unknown.</summary>
    /// <param name="group">The group.</param>
    /// <param name="state">The state.</param>
    /// <param name="topics">The topics.</param>
    public static ConsumerGroup Renew(ConsumerGroup group, ConsumerGroupState state, GroupTopics topics)
    {
        if (state.TargetEpoch == state.GroupEpoch || !topics.IsKnown)
            return group.With(state);
        var subscriptions = new ConsumerSubscriptions(topics, group);
        return group.With(Renew(state, topics, subscriptions)) with { Resolved = subscriptions.ResolvedIn(state) };
    }

    private static ConsumerGroupState Renew(ConsumerGroupState state, GroupTopics topics, ConsumerSubscriptions subscriptions)
    {
        state = state with { Topics = subscriptions.OfAll(state), TargetEpoch = state.GroupEpoch };
        if (state.Members.IsEmpty)
            return state with { Assignor = null };
        var names = state.Topics.ToDictionary(topic => topic.Value.TopicId, topic => topic.Key);
        var members = state.Members.Values.Select(member => new AssignmentMember
        {
            MemberId = member.MemberId,
            InstanceId = member.InstanceId,
            RackId = member.RackId,
            Topics = subscriptions.Of(member),
            Owned = [.. member.Target.Where(partition => names.ContainsKey(partition.TopicId))
                .Select(partition => new TopicPartition(names[partition.TopicId], partition.Partition))],
        }).ToList();
        var assignor = ChooseAssignor(state);
        var assignment = assignor.Assign(members,
            [.. state.Topics.Select(topic => new AssignmentTopic(topic.Key, topic.Value.Partitions, topics.RacksOf(topic.Value.TopicId)))]);
        var next = state.Members.ToBuilder();
        foreach (var (memberId, partitions) in assignment)
        {
            var target =
                PartitionSet.Of(partitions.Select(partition =>
                    new TopicIdPartition(state.Topics[partition.Topic].TopicId, partition.Partition)));
            if (!target.Equals(next[memberId].Target))
                next[memberId] = next[memberId] with { Target = target };
        }
        return state with { Assignor = assignor.Name, Members = next.ToImmutable() };
    }

    /// <summary>Chooses the assignor by vote, ties by name. Members without a preference do not vote.</summary>
    private static IAssignor ChooseAssignor(ConsumerGroupState state)
    {
        var chosen = state.Members.Values.Where(member => member.ServerAssignor is not null).CountBy(member => member.ServerAssignor!)
            .OrderByDescending(votes => votes.Value).ThenBy(votes => votes.Key, StringComparer.Ordinal).Select(votes => votes.Key)
            .FirstOrDefault();
        return chosen is not null && ServerAssignors.TryGet(chosen, out var assignor) ? assignor : ServerAssignors.Default;
    }
}
