using OrleansMq.Groups.Assignment;

namespace OrleansMq.Groups.Consumer;

/// <summary>Computes the target assignment whenever the group epoch increases.</summary>
internal static class TargetAssignment
{
    /// <summary>Returns the group with the target of its epoch; unchanged while the topics are unknown.</summary>
    public static ConsumerGroupState Renew(ConsumerGroupState state, GroupTopics topics)
    {
        if (state.TargetEpoch == state.GroupEpoch || !topics.IsKnown)
            return state;
        var subscriptions = new ConsumerSubscriptions(topics);
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
