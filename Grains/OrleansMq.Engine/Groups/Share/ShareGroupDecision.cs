using System.Buffers.Binary;
using System.Collections.Immutable;
using OrleansMq.Api;
using OrleansMq.Groups.Consumer;

namespace OrleansMq.Groups.Share;

/// <summary>The next state of a share group, and the response.</summary>
/// <param name="Next">The next state; the same instance if nothing changed.</param>
/// <param name="Reply">The response.</param>
/// <param name="MemberId">The member whose session restarts; empty for none.</param>
internal readonly record struct ShareDecision(ShareGroupState Next, ShareGroupHeartbeatResult Reply, string MemberId);

/// <summary>
/// The decisions about a share group (KIP-932). Pure: time, topics and new ids are arguments. A partition may have several members, so no
/// member waits for another: each takes over its new assignment with its own next heartbeat.
/// </summary>
internal static class ShareGroupDecision
{
    /// <summary>Handles a heartbeat: a member joins, keeps its session alive, or leaves.</summary>
    /// <param name="state">The group.</param>
    /// <param name="config">Its configuration.</param>
    /// <param name="request">The request.</param>
    /// <param name="freshId">An id never used before, for the cursors of topics that are read for the first time.</param>
    /// <param name="topics">The topics.</param>
    /// <param name="now">The current time.</param>
    /// <param name="options">Limits.</param>
    public static ShareDecision Heartbeat(ShareGroupState state, ShareGroupConfig config, ShareGroupHeartbeat request, Guid freshId,
        GroupTopics topics, DateTimeOffset now, GroupOptions options)
    {
        if ((FindProblem(request) ?? MemberBounds.FindProblem(request.MemberId, null, request.RackId, request.SubscribedTopicNames, topics))
            is { } problem)
            return Refuse(state, ErrorCode.InvalidRequest, problem);
        var isKnown = state.Members.TryGetValue(request.MemberId, out var member);
        if (request.MemberEpoch == ShareGroupHeartbeat.LeaveEpoch)
            return isKnown ? new(Remove(state, request.MemberId), Answer(config, request.MemberId, request.MemberEpoch, null), "")
                : Unknown(state, request);
        if (!topics.IsKnown)
            return Refuse(state, ErrorCode.CoordinatorLoadInProgress, "The coordinator does not know the topics yet: retry.");
        if (request.MemberEpoch != ShareGroupHeartbeat.JoinEpoch)
        {
            if (!isKnown)
                return Unknown(state, request);
            // A heartbeat that tells starts is the caller's own: the member has not seen the epoch before it.
            if (request.MemberEpoch < member!.PreviousEpoch || request.MemberEpoch > member.Epoch)
                return Refuse(state, ErrorCode.FencedMemberEpoch,
                    $"The member's epoch is {member.Epoch}, not {request.MemberEpoch}: join again.");
        }
        else if (!isKnown)
        {
            if (state.Members.Count >= options.ShareMaxSize)
                return Refuse(state, ErrorCode.GroupMaxSizeReached, $"The group has {options.ShareMaxSize} members, which is the most: use "
                    + "another group, or raise group.share.max.size.");
            member = new ShareMember { MemberId = request.MemberId };
        }
        // They would begin at the first record when the coordinator learns of the topic.
        if (request.Starts.Select(static start => start.TopicId).Concat(request.StartsFollow)
            .Any(topicId => topics.Find(topicId) is null && !topics.IsDeleted(topicId)))
            return Refuse(state, ErrorCode.CoordinatorLoadInProgress, "The coordinator does not know all of the topics yet: retry.");
        // A topic that came into a running subscription is read from its first record on, whoever joins then.
        var follow = config.Start == ShareStart.Earliest ? [] : (request.SubscribedTopicNames ?? [])
            .Except(state.Members.Values.SelectMany(static known => known.TopicNames), StringComparer.Ordinal)
            .Select(name => topics.Find(name)?.TopicId).OfType<Guid>().Intersect(request.StartsFollow).ToHashSet();
        var next = Renew(TakeIn(state, member!, request), request, follow, freshId, topics, now);
        var after = next.Members[request.MemberId];
        if (after.Epoch != next.TargetEpoch)
        {
            after = after with
            {
                PreviousEpoch = request.Starts.Count > 0 ? after.PreviousEpoch : after.Epoch,
                Epoch = next.TargetEpoch,
            };
            next = next with { Members = next.Members.SetItem(after.MemberId, after) };
        }
        // A member with another epoch missed the last response, or does not know this assignment.
        var isToBeTold = request.SubscribedTopicNames is not null || request.MemberEpoch != after.Epoch;
        var answer = Answer(config, after.MemberId, after.Epoch, isToBeTold ? after.Assigned : null);
        var unstarted = UnstartedOf(next, after);
        return new(next, answer with
        {
            Unstarted = unstarted,
            NewTopics = [.. unstarted.Select(static topic => topic.TopicId).Where(topicId => state.Find(topicId) is null)],
        }, after.MemberId);
    }

    /// <summary>Removes a member that timed out. Its partitions are assigned with the next heartbeat of another.</summary>
    public static ShareGroupState Remove(ShareGroupState state, string memberId)
    {
        if (!state.Members.ContainsKey(memberId))
            return state;
        state = state with { GroupEpoch = state.GroupEpoch + 1, Members = state.Members.Remove(memberId) };
        return state.Members.IsEmpty ? state with { TargetEpoch = state.GroupEpoch, Topics = state.Topics.Clear() } : state;
    }

    /// <summary>Changes where the group reads.</summary>
    /// <param name="state">The group; null if there is none.</param>
    /// <param name="request">The request.</param>
    /// <param name="freshId">An id never used before.</param>
    /// <param name="topics">The topics.</param>
    /// <param name="now">The current time.</param>
    /// <param name="next">The group; null if there still is none.</param>
    public static GroupReply Move(ShareGroupState? state, AlterShareGroup request, Guid freshId, GroupTopics topics, DateTimeOffset now,
        out ShareGroupState? next)
    {
        next = state;
        var movesAny = request.MovesAny;
        if (movesAny && state is { Members.IsEmpty: false })
            return new GroupReply(ErrorCode.NonEmptyGroup, "The group has members: stop them first.");
        if (request.DeletedTopics.Count > 0 && state is null)
            return new GroupReply(ErrorCode.GroupIdNotFound, $"There is no share group '{request.GroupId}'.");
        var after = state ?? new ShareGroupState();
        var incarnation = IncarnationOf(after, now, freshId);
        foreach (var move in request.Moves)
        {
            if (move.StartOffset < 0 || topics.Find(move.TopicId) is not { } topic || move.Partition < 0
                || move.Partition >= topic.Partitions)
                return new GroupReply(ErrorCode.InvalidRequest, $"Partition {move.Partition} of topic {move.TopicId} cannot be moved to "
                    + $"offset {move.StartOffset}: it does not exist, or the offset is below 0.");
            var cursors = after.Cursors.FirstOrDefault(known => known.TopicId == move.TopicId)
                ?? new ShareTopicCursors(move.TopicId, incarnation, topic.Partitions, []);
            after = after.With(cursors with
            {
                Resets = [.. cursors.Resets.Where(reset => reset.Partition != move.Partition)
                    .Append(new ShareCursorReset(move.Partition, incarnation, move.StartOffset))
                    .OrderBy(static reset => reset.Partition)],
            });
        }
        after = after with { Cursors = after.Cursors.RemoveAll(known => request.DeletedTopics.Contains(known.TopicId)) };
        if (movesAny)
            after = after with { GroupEpoch = after.GroupEpoch + 1, TargetEpoch = after.GroupEpoch + 1 };
        next = state is null && request.Moves.Count == 0 ? null : after;
        return default;
    }

    private static ShareGroupState TakeIn(ShareGroupState state, ShareMember member, ShareGroupHeartbeat request)
    {
        var isJoin = request.MemberEpoch == ShareGroupHeartbeat.JoinEpoch;
        var after = member with
        {
            RackId = request.RackId ?? (isJoin ? null : member.RackId),
            ClientId = request.ClientId,
            ClientHost = request.ClientHost,
            TopicNames = request.SubscribedTopicNames is { } names ? InOrder(names, member.TopicNames) : member.TopicNames,
        };
        var isBumped = !state.Members.ContainsKey(member.MemberId) || !after.TopicNames.Equals(member.TopicNames);
        return after == member && !isBumped ? state : state with
        {
            GroupEpoch = state.GroupEpoch + (isBumped ? 1 : 0),
            Members = state.Members.SetItem(member.MemberId, after),
        };
    }

    /// <summary>Computes the assignment, if members, subscriptions, topics or known starts have changed. A topic that the group reads for
    /// the first time gets its cursors' incarnation. One that came into a running subscription is read from its first record on.</summary>
    private static ShareGroupState Renew(ShareGroupState state, ShareGroupHeartbeat request, HashSet<Guid> follow, Guid freshId,
        GroupTopics topics, DateTimeOffset now)
    {
        var subscribed = SubscribedTopics(state, topics);
        if (state.TargetEpoch == state.GroupEpoch && subscribed.SequenceEqual(state.Topics) && !request.Starts.Any(IsNew))
            return state;
        var epoch = state.TargetEpoch == state.GroupEpoch ? state.GroupEpoch + 1 : state.GroupEpoch;
        state = state with
        {
            GroupEpoch = epoch,
            TargetEpoch = epoch,
            Topics = subscribed,
            Cursors = state.Cursors.RemoveAll(cursors => topics.IsDeleted(cursors.TopicId)),
        };
        var incarnation = IncarnationOf(state, now, freshId);
        foreach (var topic in subscribed.Values)
        {
            var known = state.Find(topic.TopicId);
            var found = StartsOf(topic, request.Starts, known?.Incarnation ?? incarnation);
            if (known is null)
            {
                state = state.With(new ShareTopicCursors(topic.TopicId, incarnation,
                    follow.Contains(topic.TopicId) ? topic.Partitions : found.Length == 0 ? 0 : found[^1].Partition + 1, found));
            }
            else if (Missing(known, found) is { Count: > 0 } missing)
                state = state.With(known with { Resets = [.. known.Resets.Concat(missing).OrderBy(static reset => reset.Partition)] });
        }
        var unstarted = subscribed.Values.ToDictionary(static topic => topic.TopicId,
            topic => (IReadOnlyList<int>)[.. state.Find(topic.TopicId)!.Unstarted()]);
        return state with { Members = ShareAssignment.Assign(state.Members, subscribed, unstarted) };

        bool IsNew(ShareCursorMove told) => told is { StartOffset: >= 0, Partition: >= 0 }
            && subscribed.Values.Any(topic => topic.TopicId == told.TopicId && told.Partition < topic.Partitions)
            && state.Find(told.TopicId) is { } known && told.Partition < known.Partitions && known.FindReset(told.Partition) is null;
    }

    private static IReadOnlyList<TopicPartitions> UnstartedOf(ShareGroupState state, ShareMember member)
    {
        List<TopicPartitions>? all = null;
        foreach (var name in member.TopicNames)
        {
            if (state.Topics.TryGetValue(name, out var topic)
                && state.Find(topic.TopicId)?.Unstarted().ToArray() is { Length: > 0 } unstarted)
                (all ??= []).Add(new TopicPartitions(topic.TopicId, unstarted));
        }
        return all ?? (IReadOnlyList<TopicPartitions>)[];
    }

    // A cursor that has begun has the same incarnation, and stays where it is.
    private static IReadOnlyList<ShareCursorReset> Missing(ShareTopicCursors known, IEnumerable<ShareCursorReset> found) =>
        [.. found.Where(start => start.Partition < known.Partitions && known.FindReset(start.Partition) is null)];

    private static ShareCursorReset[] StartsOf(ConsumerTopic topic, IReadOnlyList<ShareCursorMove> starts, Guid incarnation) =>
        [.. starts.Where(start => start.TopicId == topic.TopicId && start.StartOffset >= 0 && start.Partition >= 0
                && start.Partition < topic.Partitions)
            .DistinctBy(static start => start.Partition).OrderBy(static start => start.Partition)
            .Select(start => new ShareCursorReset(start.Partition, incarnation, start.StartOffset))];

    private static ImmutableSortedDictionary<string, ConsumerTopic> SubscribedTopics(ShareGroupState state, GroupTopics topics)
    {
        var all = ImmutableSortedDictionary.CreateBuilder<string, ConsumerTopic>(StringComparer.Ordinal);
        foreach (var name in state.Members.Values.SelectMany(static member => member.TopicNames))
        {
            if (all.ContainsKey(name) || topics.Find(name) is not { } topic)
                continue;
            // Topics never shrink. Fewer partitions come from an older image, on a broker that has just taken the group over.
            var before = state.Topics.TryGetValue(name, out var known) && known.TopicId == topic.TopicId ? known.Partitions : 0;
            all.Add(name, new ConsumerTopic(topic.TopicId, Math.Max(before, topic.Partitions)));
        }
        return all.ToImmutable();
    }

    /// <summary>Makes an incarnation that sorts by its time: of two, a leader knows the newer one. It is later than those that the group
    /// has, also by a clock that is behind.</summary>
    private static Guid IncarnationOf(ShareGroupState state, DateTimeOffset now, Guid freshId)
    {
        var newest = state.Cursors.SelectMany(static cursors => cursors.Resets.Select(static reset => reset.Incarnation)
            .Append(cursors.Incarnation)).Select(ShareTopicCursors.TimeOf).DefaultIfEmpty().Max();
        var milliseconds = Math.Max(now.ToUnixTimeMilliseconds(), newest + 1);
        Span<byte> bytes = stackalloc byte[16];
        freshId.TryWriteBytes(bytes, bigEndian: true, out _);
        Span<byte> time = stackalloc byte[8];
        BinaryPrimitives.WriteInt64BigEndian(time, milliseconds);
        time[2..].CopyTo(bytes);
        bytes[6] = (byte)(0x70 | (bytes[6] & 0x0F));
        bytes[8] = (byte)(0x80 | (bytes[8] & 0x3F));
        return new Guid(bytes, bigEndian: true);
    }

    private static string? FindProblem(ShareGroupHeartbeat request) => request switch
    {
        { MemberId.Length: 0 } => "MemberId is empty: a member makes its own id.",
        { MemberEpoch: < ShareGroupHeartbeat.LeaveEpoch } =>
            "MemberEpoch is 0 to join, -1 to leave, or the epoch of the last answer.",
        { RackId.Length: 0 } => "RackId is empty: leave it out.",
        { MemberEpoch: ShareGroupHeartbeat.JoinEpoch, SubscribedTopicNames: null or { Count: 0 } } =>
            "SubscribedTopicNames says what a member that joins wants to read.",
        _ => null,
    };

    private static ShareGroupHeartbeatResult Answer(ShareGroupConfig config, string memberId, int epoch, PartitionSet? assigned) => new()
    {
        Error = ErrorCode.None,
        MemberId = memberId,
        MemberEpoch = epoch,
        HeartbeatInterval = config.HeartbeatInterval,
        Assignment = assigned?.ToTopicPartitions(),
    };

    private static ShareDecision Unknown(ShareGroupState state, ShareGroupHeartbeat request) =>
        Refuse(state, ErrorCode.UnknownMemberId, $"The group has no member '{request.MemberId}' (any more): join again.");

    private static ShareDecision Refuse(ShareGroupState state, ErrorCode error, string message) =>
        new(state, ShareGroupHeartbeatResult.Failed(error, message), "");

    /// <summary>Returns the distinct topics in ordinal order; the same instance if nothing changed.</summary>
    private static ImmutableArray<string> InOrder(IEnumerable<string> names, ImmutableArray<string> before)
    {
        ImmutableArray<string> next = [.. names.Distinct(StringComparer.Ordinal).Order(StringComparer.Ordinal)];
        return next.AsSpan().SequenceEqual(before.AsSpan()) ? before : next;
    }
}
