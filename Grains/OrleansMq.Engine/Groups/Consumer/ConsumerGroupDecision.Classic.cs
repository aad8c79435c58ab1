using OrleansMq.Api;
using OrleansMq.Groups.Assignment;

namespace OrleansMq.Groups.Consumer;

/// <summary>
/// Members of the classic protocol in a group of the consumer protocol; while a group migrates, it has members of both. The member's epoch
/// is its generation. <see cref="ErrorCode.RebalanceInProgress"/> tells it that a new assignment is available. The partitions it owned when
/// it joined (none with an eager assignor) are in its subscription. The coordinator computes its assignment; it is never the leader, so it
/// assigns nothing.
/// </summary>
internal static partial class ConsumerGroupDecision
{
    /// <summary>Handles a classic member's join. The response is immediate, since no member waits for others here.</summary>
    /// <param name="group">The group.</param>
    /// <param name="request">The request.</param>
    /// <param name="newMemberId">A new unique id, for a member without one.</param>
    /// <param name="topics">The topics.</param>
    /// <param name="now">The current time.</param>
    /// <param name="options">Limits.</param>
    public static ConsumerDecision<JoinGroupResult> Join(ConsumerGroup group, JoinGroup request, string newMemberId, GroupTopics topics,
        DateTimeOffset now, GroupOptions options)
    {
        var refusal = ValidateJoin(group.State, request, options, out var subscription);
        if (refusal.Error != ErrorCode.None)
            return RefuseJoin(group, request, refusal);
        if (request is { MemberId.Length: 0, GroupInstanceId: null, RequireKnownMemberId: true })
            return new(group,
                JoinGroupResult.Failed(ErrorCode.MemberIdRequired, "Join again with the member id of this answer.", newMemberId), "");
        var memberId = request.MemberId.Length > 0 ? request.MemberId : newMemberId;
        var before = FindClassicToJoin(group.State, request, subscription!, memberId, options, out refusal);
        if (before is null)
            return RefuseJoin(group, request, refusal);
        var state = group.State;
        var member = WithSubscription(before, request, subscription!, memberId);
        var epoch = state.GroupEpoch + (MustBump(state, before, member) ? 1 : 0);
        if (!topics.IsKnown)
            return RefuseJoin(group, request,
                new GroupReply(ErrorCode.CoordinatorLoadInProgress, "The coordinator does not know the topics yet: retry."));
        group = TargetAssignment.Renew(group.Relax(before.MemberId), TakeIn(state, member, before.MemberId) with { GroupEpoch = epoch },
            topics);
        group = Reconcile(group, group.State.Members[memberId], OwnedBy(group.State.Members[memberId], subscription!, topics), member.Epoch,
            new PartitionHolders(group.State), now);
        member = group.State.Members[memberId];
        return new(group.Hurry(member, now), new JoinGroupResult
        {
            Error = ErrorCode.None,
            MemberId = memberId,
            GenerationId = member.Epoch,
            ProtocolType = ConsumerProtocol.ProtocolType,
            ProtocolName = ChooseProtocol(group.State, member),
        }, memberId);
    }

    /// <summary>Handles a classic member's request for its assignment.</summary>
    public static ConsumerDecision<SyncGroupResult> Sync(ConsumerGroup group, SyncGroup request, DateTimeOffset now)
    {
        var refusal = CheckClassic(group.State, request.MemberId, request.GroupInstanceId, request.GenerationId, out var member);
        if (refusal.Error == ErrorCode.None)
            refusal = CheckProtocol(group.State, member!, request);
        if (refusal.Error == ErrorCode.None && member!.Epoch < group.State.TargetEpoch
            && member.Status != ConsumerMemberStatus.UnrevokedPartitions)
            refusal = Rejoin;
        if (refusal.Error != ErrorCode.None)
            return new(group, new SyncGroupResult(refusal.Error, refusal.Message), refusal.Error == ErrorCode.RebalanceInProgress
                ? request.MemberId : "");
        group = group.Relax(member!.MemberId);
        if (member.Status == ConsumerMemberStatus.UnrevokedPartitions)
            group = group.Hurry(member, now); // It revokes what is not in this assignment, and rejoins.
        return new(group, new SyncGroupResult(ErrorCode.None, null, ConsumerProtocol.ProtocolType, ChooseProtocol(group.State, member),
            AssignmentOf(group.State, member)),
            member.MemberId);
    }

    /// <summary>Handles a classic member's heartbeat; the response tells whether to rejoin.</summary>
    public static ConsumerDecision<HeartbeatAnswer> Heartbeat(ConsumerGroup group, Heartbeat request, DateTimeOffset now)
    {
        var refusal = CheckClassic(group.State, request.MemberId, request.GroupInstanceId, request.GenerationId, out var member);
        if (refusal.Error != ErrorCode.None)
            return new(group, new HeartbeatAnswer(refusal), "");
        var mustJoin = member!.Epoch < group.State.TargetEpoch || member.Status == ConsumerMemberStatus.UnrevokedPartitions
            || (member.Status == ConsumerMemberStatus.UnreleasedPartitions && CanGetMore(group.State, member));
        return mustJoin ? new(group.Hurry(member, now), new HeartbeatAnswer(Rejoin), member.MemberId)
            : new(group, new HeartbeatAnswer(default), member.MemberId);
    }

    /// <summary>Handles leaving members: classic ones, and static ones of either protocol that an operator removes.</summary>
    public static ConsumerDecision<LeaveGroupResult> Leave(ConsumerGroup group, LeaveGroup request, GroupTopics topics, DateTimeOffset now)
    {
        var left = new List<LeftMember>(request.Members.Count);
        var gone = new List<string>();
        foreach (var leaving in request.Members)
        {
            var member = leaving.GroupInstanceId is { } instance ? group.State.FindStatic(instance)
                : group.State.Members.TryGetValue(leaving.MemberId, out var known) && known.IsClassic ? known : null;
            var error = member is null || gone.Contains(member.MemberId) ? ErrorCode.UnknownMemberId
                : leaving.MemberId.Length > 0 && leaving.MemberId != member.MemberId ? ErrorCode.FencedInstanceId : ErrorCode.None;
            if (error == ErrorCode.None)
                gone.Add(member!.MemberId);
            left.Add(new LeftMember(leaving.MemberId, leaving.GroupInstanceId, error));
        }
        return new(gone.Count == 0 ? group : Remove(group, gone, topics, now), new LeaveGroupResult(ErrorCode.None, left), "");
    }

    private static readonly GroupReply Rejoin = new(ErrorCode.RebalanceInProgress, "The group rebalances: join again.");

    private static GroupReply ValidateJoin(ConsumerGroupState state, JoinGroup request, GroupOptions options,
        out ConsumerSubscription? subscription)
    {
        subscription = null;
        if (request.SessionTimeout < options.MinSessionTimeout || request.SessionTimeout > options.MaxSessionTimeout)
            return InvalidSession(request.SessionTimeout, options);
        if (request.ProtocolType != ConsumerProtocol.ProtocolType || request.Protocols.Count == 0)
            return new GroupReply(ErrorCode.InconsistentGroupProtocol,
                $"The group is one of consumers; the member's protocol type is '{request.ProtocolType}', with {request.Protocols.Count} "
                + "protocols: use another group id.");
        if (MemberBounds.FindProblem(request) is { } unbounded)
            return new GroupReply(ErrorCode.InvalidRequest, unbounded);
        var others = state.Members.Values.Where(member => member.IsClassic && member.MemberId != request.MemberId
            && (request.GroupInstanceId is null || member.InstanceId != request.GroupInstanceId)).ToList();
        if (MemberBounds.FindProblem(others.Sum(static member => MemberBounds.BytesOf(member.ClientId, member.Classic!.Protocols)),
            MemberBounds.BytesOf(request.ClientId, request.Protocols)) is { } tooLarge)
            return new GroupReply(ErrorCode.GroupMaxSizeReached, tooLarge);
        if (!request.Protocols.Any(offered => others.TrueForAll(member => member.Classic!.Supports(offered.Name))))
            return new GroupReply(ErrorCode.InconsistentGroupProtocol,
                $"No protocol of the member ({string.Join(", ", request.Protocols.Select(offered => offered.Name))}) is known to all "
                + "classic members of the group: configure one assignor that all of them have.");
        return ConsumerProtocol.TryDecodeSubscription(request.Protocols[0].Metadata, out subscription, out var error)
            ? default
            : new GroupReply(ErrorCode.InconsistentGroupProtocol, $"The member's subscription cannot be read: {error}");
    }

    private static ConsumerMember? FindClassicToJoin(ConsumerGroupState state, JoinGroup request, ConsumerSubscription subscription,
        string memberId, GroupOptions options, out GroupReply refusal)
    {
        refusal = default;
        if (request.GroupInstanceId is { } instance && state.FindStatic(instance) is { } former && former.MemberId != memberId)
        {
            if (request.MemberId.Length == 0)
                return former;
            refusal = new GroupReply(ErrorCode.FencedInstanceId,
                $"Another member has the instance id '{instance}': give every running instance an id of its own.");
            return null;
        }
        if (state.Members.TryGetValue(memberId, out var known))
            return known;
        if (subscription.OwnedPartitions.Count > 0)
        {
            // The member was removed without noticing, and its partitions may be assigned to others. As a member it could commit them.
            // Refused, it abandons all partitions and rejoins as a new member.
            refusal = new GroupReply(ErrorCode.UnknownMemberId, UnknownMessage(memberId));
            return null;
        }
        if (state.Members.Count < options.MaxSize)
            return new ConsumerMember { MemberId = memberId, InstanceId = request.GroupInstanceId };
        refusal = new GroupReply(ErrorCode.GroupMaxSizeReached,
            $"The group has {options.MaxSize} members, which is the most: use another group, or raise group.max.size.");
        return null;
    }

    private static ConsumerMember WithSubscription(ConsumerMember member, JoinGroup request, ConsumerSubscription subscription,
        string memberId)
    {
        // A static member that rejoins under a new id, or has switched to this protocol: it takes over its former partitions, with a new
        // epoch.
        var isAnew = member.MemberId != memberId || (!member.IsClassic && member.Epoch != ConsumerGroupHeartbeat.JoinEpoch);
        if (isAnew)
            member = member.Enter(ConsumerMemberStatus.Stable) with
            {
                MemberId = memberId,
                Epoch = ConsumerGroupHeartbeat.JoinEpoch,
                PreviousEpoch = ConsumerGroupHeartbeat.JoinEpoch,
                Revoking = PartitionSet.Empty,
                Replaced = ReplacedBy(member, memberId),
            };
        return member with
        {
            ClientId = request.ClientId,
            ClientHost = request.ClientHost,
            RackId = subscription.RackId,
            RebalanceTimeout = request.RebalanceTimeout > TimeSpan.Zero ? request.RebalanceTimeout : request.SessionTimeout,
            TopicNames = InOrder(subscription.Topics, member.TopicNames),
            TopicRegex = null,
            ServerAssignor = null,
            Classic = new ClassicFacet
            {
                SessionTimeout = request.SessionTimeout,
                // Copied, since the request's bytes may be in a reused buffer.
                Protocols = [.. request.Protocols.Select(offered => new GroupProtocol(offered.Name, offered.Metadata.ToArray()))],
            },
        };
    }

    private static GroupReply CheckClassic(ConsumerGroupState state, string memberId, string? instanceId, int generation,
        out ConsumerMember? member)
    {
        var refusal = CheckMember(state, memberId, instanceId, out member);
        if (refusal.Error != ErrorCode.None)
            return refusal;
        if (!member!.IsClassic)
            return new GroupReply(ErrorCode.UnknownMemberId,
                $"Member '{memberId}' speaks the consumer protocol: it sends no requests of the classic one.");
        return generation == member.Epoch ? default : WrongEpoch(member, generation);
    }

    private static GroupReply CheckProtocol(ConsumerGroupState state, ConsumerMember member, SyncGroup request)
    {
        if (request.ProtocolType is { } type && type != ConsumerProtocol.ProtocolType)
            return new GroupReply(ErrorCode.InconsistentGroupProtocol,
                $"The group's protocol type is '{ConsumerProtocol.ProtocolType}', not '{type}'.");
        return request.ProtocolName is { } name && name != ChooseProtocol(state, member)
            ? new GroupReply(ErrorCode.InconsistentGroupProtocol,
                $"The member's protocol is '{ChooseProtocol(state, member)}', not '{name}'.")
            : default;
    }

    /// <summary>Returns the first of the member's protocols that all classic members support. It only determines how the member revokes
    /// partitions.</summary>
    private static string ChooseProtocol(ConsumerGroupState state, ConsumerMember member) => member.Classic!.Protocols
        .Select(offered => offered.Name)
        .First(name => state.Members.Values.All(other => other.Classic is not { } classic || classic.Supports(name)));

    /// <summary>Encodes a member's assignment in the version that the member itself uses.</summary>
    internal static byte[] AssignmentOf(ConsumerGroupState state, ConsumerMember member)
    {
        var names = state.Topics.ToDictionary(topic => topic.Value.TopicId, topic => topic.Key);
        var version = ConsumerProtocol.VersionOf(member.Classic!.Protocols[0].Metadata.Span);
        return ConsumerProtocol.Encode(
            new ConsumerAssignment([.. member.Assigned.Where(partition => names.ContainsKey(partition.TopicId))
                .Select(partition => new TopicPartition(names[partition.TopicId], partition.Partition))]),
            short.Clamp(version, 0, ConsumerProtocol.HighestVersion));
    }

    private static TopicIdPartition? IdOf(TopicPartition partition, GroupTopics topics) =>
        topics.Find(partition.Topic) is { } topic ? new TopicIdPartition(topic.TopicId, partition.Partition) : null;

    /// <summary>Returns the partitions that a member claims to own, which it lists by topic name. A name that is unknown here, or belongs
    /// to another topic, may mean an assigned partition of a topic that is not served: a new coordinator may have an older image than its
    /// members, and a topic may have been created again under its name. Of a deleted topic only a partition of the claimed number
    /// counts.</summary>
    private static PartitionSet OwnedBy(ConsumerMember member, ConsumerSubscription subscription, GroupTopics topics)
    {
        var given = member.Assigned.Union(member.Revoking);
        var named = PartitionSet.Of(subscription.OwnedPartitions.Select(partition => IdOf(partition, topics)).OfType<TopicIdPartition>());
        var unmatched = subscription.OwnedPartitions.Where(partition => IdOf(partition, topics) is not { } id || !given.Contains(id))
            .Select(partition => partition.Partition).ToHashSet();
        return unmatched.Count == 0 ? named
            : named.Union(given.Where(partition => topics.Find(partition.TopicId) is null
                && (unmatched.Contains(partition.Partition) || !topics.IsDeleted(partition.TopicId))));
    }

    private static ConsumerDecision<JoinGroupResult> RefuseJoin(ConsumerGroup group, JoinGroup request, GroupReply refusal) =>
        new(group, JoinGroupResult.Failed(refusal.Error, refusal.Message!, request.MemberId), "");
}

/// <summary>The response to a classic heartbeat.</summary>
/// <param name="Reply">The response.</param>
internal sealed record HeartbeatAnswer(GroupReply Reply);
