using System.Collections.Immutable;
using OrleansMq.Api;
using OrleansMq.Groups.Share;

namespace OrleansMq.Groups.Coordination;

/// <summary>The working state of a share group, ahead of its <see cref="GroupDocument"/>. A group id belongs to a share group, or to
/// consumers, until the group is deleted.</summary>
/// <param name="options">Limits.</param>
/// <param name="changed">Called after each change, except when the state is adopted or forgotten.</param>
internal sealed class WorkingShareGroup(GroupOptions options, Action changed)
{
    /// <summary>The group; null: the id does not belong to a share group.</summary>
    public ShareGroupState? State { get; private set; }

    /// <summary>The configuration that was set, by name. It belongs to the id, whatever group it is of, and stays when that is
    /// deleted.</summary>
    public ImmutableSortedDictionary<string, string> Configs
    {
        get;
        private set => field = value.WithComparers(StringComparer.Ordinal);
    } = ImmutableSortedDictionary.Create<string, string>(StringComparer.Ordinal);

    private ShareGroupConfig Config => ShareGroupConfig.Parse(Configs);

    /// <summary>Whether the group has members.</summary>
    public bool HasMembers => State is { Members.IsEmpty: false };

    /// <summary>The members' ids.</summary>
    public IEnumerable<string> MemberIds => State?.Members.Keys ?? [];

    /// <summary>Returns the session timeout of a member; null if there is no such member.</summary>
    public TimeSpan? SessionTimeoutOf(string memberId) => State is { } state && state.Members.ContainsKey(memberId)
        ? Config.SessionTimeout : null;

    /// <summary>Takes up what is stored.</summary>
    public void Adopt(GroupDocument? stored) => (State, Configs) = (stored?.Share, stored?.Configs ?? Configs.Clear());

    /// <summary>Empties the state, since the group is deleted. Its configuration stays.</summary>
    public void Forget() => State = null;

    /// <summary>Returns the group's document.</summary>
    /// <param name="document">That of a group without share group.</param>
    public GroupDocument AddTo(GroupDocument document)
    {
        if (!Configs.IsEmpty)
            document = document with { Configs = Configs };
        return State is null ? document : document with { Type = GroupType.Share, Share = State };
    }

    /// <summary>Handles a heartbeat. The first join makes the group a share group.</summary>
    public MemberOutcome Heartbeat(ShareGroupHeartbeat request, Guid freshId, GroupTopics topics, DateTimeOffset now)
    {
        var decision = ShareGroupDecision.Heartbeat(State ?? new ShareGroupState(), Config, request, freshId,
            topics, now, options);
        if (decision.Reply.Error == ErrorCode.None)
            Become(decision.Next);
        return new MemberOutcome(decision.Reply, decision.MemberId);
    }

    /// <summary>Changes the configuration, or where the group reads.</summary>
    public GroupReply Alter(AlterShareGroup request, Guid freshId, GroupTopics topics, DateTimeOffset now)
    {
        ImmutableSortedDictionary<string, string> configs;
        try
        {
            configs = ShareGroupConfig.Change(Configs, request.Configs);
        }
        catch (BrokerException invalid)
        {
            return new GroupReply(invalid.Code, invalid.Message);
        }
        var reply = ShareGroupDecision.Move(State, request, freshId, topics, now, out var next);
        if (reply.Error != ErrorCode.None)
            return reply;
        if (next is not null)
            Become(next);
        if (!configs.SequenceEqual(Configs))
        {
            Configs = configs;
            changed();
        }
        return reply;
    }

    /// <summary>Removes a member whose session timed out.</summary>
    public void Remove(string memberId)
    {
        if (State is { } state)
            Become(ShareGroupDecision.Remove(state, memberId));
    }

    /// <summary>Returns the configuration and the cursors.</summary>
    public ShareCursorsResult FindCursors() => new(ErrorCode.None, null, HasMembers,
        [.. Configs.Select(static config => new ShareGroupSetting(config.Key, config.Value))], State?.Cursors ?? []);

    /// <summary>Describes the group for operators.</summary>
    public GroupDescription Describe(string groupId, int brokerId, GroupTopics topics)
    {
        var state = State!;
        var names = state.Topics.ToDictionary(topic => topic.Value.TopicId, topic => topic.Key);
        return new GroupDescription(groupId, GroupType.Share, state.State, GroupDocument.ShareProtocol, ShareAssignment.Name,
            state.GroupEpoch, state.TargetEpoch, brokerId, [.. state.Members.Values.Select(Describe)]);

        GroupMember Describe(ShareMember member)
        {
            var assigned = member.Assigned.Select(partition => (Name: names.GetValueOrDefault(partition.TopicId)
                    ?? topics.Find(partition.TopicId)?.Name, partition.Partition))
                .Where(partition => partition.Name is not null)
                .Select(partition => new TopicPartition(partition.Name!, partition.Partition))
                .OrderBy(partition => partition.Topic, StringComparer.Ordinal).ThenBy(partition => partition.Partition).ToArray();
            return new GroupMember
            {
                MemberId = member.MemberId,
                RackId = member.RackId,
                ClientId = member.ClientId,
                ClientHost = member.ClientHost,
                MemberEpoch = member.Epoch,
                Type = GroupType.Share,
                SubscribedTopicNames = member.TopicNames,
                Assignment = assigned,
                TargetAssignment = assigned,
            };
        }
    }

    private void Become(ShareGroupState next)
    {
        if (ReferenceEquals(State, next))
            return;
        State = next;
        changed();
    }
}
