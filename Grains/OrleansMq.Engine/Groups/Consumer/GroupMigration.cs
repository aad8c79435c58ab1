using System.Collections.Immutable;
using OrleansMq.Api;
using OrleansMq.Groups.Assignment;
using OrleansMq.Groups.Classic;

namespace OrleansMq.Groups.Consumer;

/// <summary>
/// Migrates a group from one protocol to the other while its members continue reading (KIP-848, online migration). The upgrade happens when
/// the first member of the consumer protocol joins, the downgrade when the last one leaves. Generations and epochs share one sequence of
/// numbers, so that fenced members stay fenced.
/// </summary>
internal static class GroupMigration
{
    /// <summary>Converts a classic group to the consumer protocol. All members keep their partitions.</summary>
    /// <param name="group">The classic group.</param>
    /// <param name="topics">The topics, which must be known.</param>
    /// <param name="now">The current time.</param>
    /// <param name="upgraded">The converted group.</param>
    /// <returns><see cref="ErrorCode.None"/>, or why the group cannot be converted.</returns>
    public static GroupReply TryUpgrade(ClassicGroup group, GroupTopics topics, DateTimeOffset now, out ConsumerGroup upgraded)
    {
        var classic = group.State;
        upgraded = ConsumerGroup.Create(now, classic.NextGeneration - 1);
        if (classic.Members.IsEmpty)
            return default;
        if (classic.ProtocolType != ConsumerProtocol.ProtocolType)
            return new GroupReply(ErrorCode.InconsistentGroupProtocol,
                $"The group's protocol type is '{classic.ProtocolType}', not '{ConsumerProtocol.ProtocolType}': use another group id.");
        if (!topics.IsKnown)
            return new GroupReply(ErrorCode.CoordinatorLoadInProgress, "The coordinator does not know the topics yet: retry.");
        var subscriptions = new Dictionary<string, ConsumerSubscription>(StringComparer.Ordinal);
        var held = new Dictionary<string, PartitionSet>(StringComparer.Ordinal);
        var taken = PartitionSet.Empty;
        // With an eager assignor members revoke all before they join, so what they name as their own then says nothing.
        var isEager = ClientAssignors.TryGet(classic.ProtocolName ?? "", out var assignor) && !assignor.IsCooperative;
        foreach (var member in classic.Members.Values)
        {
            if (!ConsumerProtocol.TryDecodeSubscription(member.Protocols[0].Metadata, out var subscription, out var error))
                return new GroupReply(ErrorCode.InconsistentGroupProtocol,
                    $"The subscription of member '{member.MemberId}' cannot be read, so the group stays classic: {error}");
            subscription = isEager ? subscription with { OwnedPartitions = [] } : subscription;
            subscriptions.Add(member.MemberId, subscription);
            var partitions = Held(group, member, subscription);
            // A generation that ended before it was assigned says nothing of what its members read.
            var isUnassigned = classic.State == GroupState.PreparingRebalance && member.Assignment.IsEmpty;
            var read = isUnassigned ? subscription.OwnedPartitions : partitions;
            if (read.FirstOrDefault(partition => topics.Find(partition.Topic) is null) is { Topic: not null } unknown)
                return new GroupReply(ErrorCode.CoordinatorLoadInProgress,
                    $"Member '{member.MemberId}' reads '{unknown.Topic}', which the coordinator does not know (yet, or any more): retry.");
            // If two members claim a partition, only one can own it; the other is told to revoke it.
            held.Add(member.MemberId, ByIds(partitions, topics).Except(taken));
            taken = taken.Union(held[member.MemberId]);
        }
        // Members that have not received an assignment continue with what they owned when they joined, unless it is assigned to others.
        foreach (var (memberId, subscription) in subscriptions)
        {
            var kept = ByIds(subscription.OwnedPartitions, topics).Except(taken);
            held[memberId] = held[memberId].Union(kept);
            taken = taken.Union(kept);
        }
        var members = classic.Members.Values.ToImmutableSortedDictionary(member => member.MemberId,
            member => Upgrade(member, subscriptions[member.MemberId], held[member.MemberId], classic.Generation), StringComparer.Ordinal);
        upgraded = upgraded.With(upgraded.State with { Members = members, EmptySince = null });
        return default;
    }

    /// <summary>Converts a group without members to a classic one.</summary>
    public static ClassicGroup DowngradeEmpty(ConsumerGroupState state) => new(
        new ClassicGroupState { State = GroupState.Empty, Generation = state.GroupEpoch, ProtocolType = ConsumerProtocol.ProtocolType,
            EmptySince = state.EmptySince },
        ClassicRound.None);

    /// <summary>Converts the group to a classic one, if it has members and all of them are classic. They have to rejoin, and their leader
    /// assigns. Otherwise returns null.</summary>
    public static ClassicGroup? TryDowngrade(ConsumerGroup group, DateTimeOffset now)
    {
        var state = group.State;
        if (state.Members.IsEmpty || state.Members.Values.Any(member => !member.IsClassic))
            return null;
        var classic = new ClassicGroupState
        {
            State = GroupState.Stable,
            Generation = ContinuingGeneration(state),
            LastEpoch = state.GroupEpoch,
            ProtocolType = ConsumerProtocol.ProtocolType,
            Leader = state.Members.Keys.First(),
            Members = state.Members.ToImmutableSortedDictionary(member => member.Key, member => Downgrade(state, member.Value),
                StringComparer.Ordinal),
        };
        return ClassicGroupDecision.PrepareRebalance(
            new ClassicGroup(classic with { ProtocolName = ClassicGroupDecision.ChooseProtocol(classic) }, ClassicRound.None), now);
    }

    /// <summary>Returns the generation of the members that continue until they have rejoined: the highest epoch. Members at older epochs
    /// are told that their generation is over. No member continues if one at the highest epoch holds a partition of a topic that is gone.
    /// By its name it may read a partition of another topic, which was another member's, and a classic group cannot tell.</summary>
    private static int ContinuingGeneration(ConsumerGroupState state)
    {
        var epoch = state.Members.Values.Max(member => member.Epoch);
        var known = state.Topics.Values.Select(topic => topic.TopicId).ToHashSet();
        return state.Members.Values.Any(member => member.Epoch == epoch
            && member.Assigned.Concat(member.Revoking).Any(partition => !known.Contains(partition.TopicId)))
            ? state.GroupEpoch + 1 : epoch;
    }

    /// <summary>Returns the partitions that a classic member may be reading. In a stable group that is its assignment. In a round, the
    /// members' subscriptions contain their owned partitions, as they do in a generation without assignments.</summary>
    private static IReadOnlyList<TopicPartition> Held(ClassicGroup group, ClassicMember member, ConsumerSubscription subscription)
    {
        var hasSaid = group.State.State == GroupState.CompletingRebalance
            || (group.State.State == GroupState.PreparingRebalance && group.Round.Joined.Contains(member.MemberId));
        // An undecodable assignment is undecodable for the member too.
        return hasSaid ? subscription.OwnedPartitions
            : ConsumerProtocol.TryDecodeAssignment(member.Assignment, out var assignment, out _) ? assignment.Partitions : [];
    }

    private static PartitionSet ByIds(IEnumerable<TopicPartition> partitions, GroupTopics topics) => PartitionSet.Of(partitions
        .Select(partition => topics.Find(partition.Topic) is { } topic ? new TopicIdPartition(topic.TopicId, partition.Partition) : default)
        .Where(partition => partition.TopicId != default));

    private static ConsumerMember Upgrade(ClassicMember member, ConsumerSubscription subscription, PartitionSet held, int generation) =>
        new()
        {
            MemberId = member.MemberId,
            InstanceId = member.GroupInstanceId,
            RackId = subscription.RackId,
            ClientId = member.ClientId,
            ClientHost = member.ClientHost,
            RebalanceTimeout = member.RebalanceTimeout,
            TopicNames = [.. subscription.Topics.Distinct(StringComparer.Ordinal).Order(StringComparer.Ordinal)],
            Epoch = generation,
            PreviousEpoch = generation,
            Assigned = held,
            Target = held,
            Classic = new ClassicFacet { SessionTimeout = member.SessionTimeout, Protocols = member.Protocols },
        };

    private static ClassicMember Downgrade(ConsumerGroupState state, ConsumerMember member) => new()
    {
        MemberId = member.MemberId,
        GroupInstanceId = member.InstanceId,
        ClientId = member.ClientId,
        ClientHost = member.ClientHost,
        SessionTimeout = member.Classic!.SessionTimeout,
        RebalanceTimeout = member.RebalanceTimeout,
        Protocols = member.Classic.Protocols,
        // It may still read the partitions that it was told to revoke, so they are its own until it has rejoined.
        Assignment = ConsumerGroupDecision.AssignmentOf(state, member with { Assigned = member.Assigned.Union(member.Revoking) }),
    };
}
