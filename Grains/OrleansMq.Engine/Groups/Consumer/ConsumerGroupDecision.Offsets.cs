using OrleansMq.Api;

namespace OrleansMq.Groups.Consumer;

internal static partial class ConsumerGroupDecision
{
    /// <summary>Checks whether offsets may be committed: by a member at its current epoch. A member that revokes partitions moves to
    /// another epoch, so a commit with an older one may be for partitions that it no longer owns.</summary>
    public static GroupReply CheckCommit(ConsumerGroupState state, OffsetCommit request)
    {
        if (request.GenerationIdOrMemberEpoch < 0 && state.Members.IsEmpty)
            return default;
        if (request.GenerationIdOrMemberEpoch < 0 && request.MemberId.Length == 0 && request.GroupInstanceId is null)
            return new GroupReply(ErrorCode.UnknownMemberId,
                "The group has members, which commit for themselves: stop them before offsets are committed from outside.");
        var refusal = CheckMember(state, request.MemberId, request.GroupInstanceId, out var member);
        if (refusal.Error != ErrorCode.None)
            return refusal;
        // A negative epoch belongs to an absent static member, which reads nothing.
        return request.GenerationIdOrMemberEpoch == member!.Epoch && member.Epoch >= 0
            ? default : WrongEpoch(member, request.GenerationIdOrMemberEpoch);
    }

    /// <summary>
    /// Checks whether a member that names a topic means the one that has the name now. Partitions are assigned by topic id, but a classic
    /// member is told names, and a commit may carry names alone. After a topic was created again, the position of such a commit is one in
    /// the deleted topic, or in a partition of the new one that may be assigned to another member. So a holder of the deleted topic's
    /// partition commits nothing for the new one before its assignment has changed.
    /// </summary>
    /// <param name="member">The member.</param>
    /// <param name="wanted">The offset to commit.</param>
    /// <param name="topic">The topic that it resolves to.</param>
    /// <param name="topics">The topics.</param>
    public static ErrorCode CheckPartition(ConsumerMember member, PartitionOffset wanted, GroupTopic topic, GroupTopics topics)
    {
        if (!member.IsClassic && wanted.TopicId != default)
            return ErrorCode.None; // Told the id, it means that topic.
        var partition = new TopicIdPartition(topic.TopicId, wanted.Partition);
        if (member.Assigned.Contains(partition) || member.Revoking.Contains(partition))
            return ErrorCode.None;
        // A deleted topic's name is not known here, so its partition of that number is taken for the named one.
        if (!member.Assigned.Concat(member.Revoking).Any(held => held.Partition == wanted.Partition && topics.Find(held.TopicId) is null))
            return ErrorCode.None;
        return member.IsClassic ? ErrorCode.RebalanceInProgress : ErrorCode.UnknownTopicOrPartition;
    }

    /// <summary>Checks whether a member may fetch offsets. Without a member id nothing is checked.</summary>
    public static GroupReply CheckFetch(ConsumerGroupState state, OffsetFetch request)
    {
        if (string.IsNullOrEmpty(request.MemberId))
            return default;
        var refusal = CheckMember(state, request.MemberId, instanceId: null, out var member);
        if (refusal.Error != ErrorCode.None)
            return refusal;
        return request.MemberEpoch < 0 || request.MemberEpoch == member!.Epoch ? default : WrongEpoch(member, request.MemberEpoch);
    }

    private static GroupReply WrongEpoch(ConsumerMember member, int epoch) => member.IsClassic
        ? new GroupReply(ErrorCode.IllegalGeneration, $"The member is in generation {member.Epoch}, not {epoch}: join again.")
        : new GroupReply(ErrorCode.StaleMemberEpoch,
            $"The member is at epoch {member.Epoch}, not {epoch}: repeat with the epoch of the last heartbeat's answer.");

    /// <summary>Finds the member of a request, or returns the reason for the refusal.</summary>
    private static GroupReply CheckMember(ConsumerGroupState state, string memberId, string? instanceId, out ConsumerMember? member)
    {
        if (state.Members.TryGetValue(memberId, out member) && (instanceId is null || member.InstanceId == instanceId))
            return default;
        member = null;
        return instanceId is not null && state.FindStatic(instanceId) is not null
            ? new GroupReply(ErrorCode.FencedInstanceId,
                $"Another member has the instance id '{instanceId}': give every running instance an id of its own.")
            : new GroupReply(ErrorCode.UnknownMemberId, UnknownMessage(memberId));
    }
}
