using OrleansMq.Api;
using Engine = OrleansMq.Groups.Consumer;

namespace OrleansMq.Tests.Simulation.Groups;

/// <summary>Checks that an answer reveals only state that its coordinator knew to be stored: generations, leaders, members, assignments,
/// epochs, offsets. Also checks that a commit is accepted only from a member of the stored generation or epoch, and never after a later one
/// was revealed.</summary>
internal sealed class AnswerChecker(GroupSimulation simulation, OwnershipChecker ownership, OffsetChecker offsets)
{
    private readonly Dictionary<int, string> _leaders = [];

    /// <summary>The highest generation revealed to any member.</summary>
    public int Revealed { get; private set; } = -1;

    public void OnDeleted()
    {
        Revealed = -1;
        _leaders.Clear();
    }

    public void OnAnswered(SimulatedCoordinator coordinator, OpenRequest request, object answer)
    {
        switch (answer)
        {
            case JoinGroupResult { Error: ErrorCode.None } joined:
                OnJoined(coordinator, (JoinGroup)request.Body, joined);
                break;
            case SyncGroupResult { Error: ErrorCode.None } synced:
                var sync = (SyncGroup)request.Body;
                Verdict.Require(GroupView.EpochOf(request.Known, sync.MemberId) == sync.GenerationId,
                    $"generations: {coordinator} tells {sync.MemberId} its assignment in {sync.GenerationId}, and knows it in "
                    + $"{GroupView.EpochOf(request.Known, sync.MemberId)?.ToString() ?? "none"}");
                OnSynced(coordinator, sync, synced);
                break;
            case ConsumerGroupHeartbeatResult { Error: ErrorCode.None, MemberEpoch: > 0 } heard:
                OnHeard(coordinator, request, (ConsumerGroupHeartbeat)request.Body, heard);
                break;
            case OffsetCommitResult committed:
                OnCommitted(coordinator, request, (OffsetCommit)request.Body, committed);
                break;
            case OffsetDeleteResult { Error: ErrorCode.None } deleted:
                offsets.OnDeleteAcknowledged(coordinator.Number, request.Arrival,
                    deleted.Partitions.Where(p => p.Error == ErrorCode.None)
                        .SelectMany(p => simulation.EverCalled(new TopicPartition(p.Topic!, p.Partition))));
                break;
            case GroupReply { Error: ErrorCode.None } when request.Body is DeleteGroup:
                offsets.OnDeleteAcknowledged(coordinator.Number, request.Arrival, partitions: null);
                break;
            case OffsetFetchResult { Error: ErrorCode.None } fetched:
                OnFetched(coordinator, fetched);
                break;
            case GroupReply { Error: ErrorCode.None } when request.Body is Heartbeat heartbeat:
                Verdict.Require(GroupView.EpochOf(request.Known, heartbeat.MemberId) == heartbeat.GenerationId,
                    $"generations: {coordinator} accepts a heartbeat of {heartbeat.MemberId} in {heartbeat.GenerationId}, but knows it in "
                    + $"{GroupView.EpochOf(request.Known, heartbeat.MemberId)?.ToString() ?? "none"}");
                break;
            case GroupDescription description:
                OnDescribed(coordinator, description);
                break;
        }
    }

    // State may be visible before it is stored if its successor went into the same write. A group at rest is stored as it is seen; only a
    // static member may have restarted before the write that already contains the end of its generation.
    private static void OnDescribed(SimulatedCoordinator coordinator, GroupDescription description)
    {
        var generation = GroupView.GenerationOf(coordinator.Known);
        var members = description.Members.Select(m => m.MemberId).ToHashSet();
        var lineages = description.Members.Select(m => m.GroupInstanceId ?? m.MemberId).ToHashSet();
        var isOver = GroupView.StateOf(coordinator.Known) == GroupState.PreparingRebalance;
        Verdict.Require(description.Epoch <= Math.Max(0, generation)
            && (description.State != GroupState.Stable || description.Epoch < generation
            || coordinator.AllKnown.Any(known => GroupView.GenerationOf(known) == description.Epoch
                && (members.SetEquals(GroupView.MembersOf(known))
                || (isOver && lineages.SetEquals(GroupView.MembersOf(known).Select(id => GroupView.LineageOf(known, id))))))),
            $"stored before revealed: {coordinator} describes {description}");
    }

    // A generation may end before it is stored, if its successor, or the group's end, went into the same write. It is then not binding: a
    // member that learned of it gets the next one at its first request, and no other member ever learns of it.
    private static bool IsOver(SimulatedCoordinator coordinator, int generation) => coordinator.Known?.Consumer is not null ||
        (coordinator.Known is null && coordinator.AllKnown.Count > 0) ||
        // The id is remembered for transactions.
        (coordinator.Known is { Classic: null } && coordinator.AllKnown.Exists(static known => known.Classic is not null)) ||
        GroupView.GenerationOf(coordinator.Known) > generation
        || (GroupView.GenerationOf(coordinator.Known) == generation
            && GroupView.StateOf(coordinator.Known) == GroupState.PreparingRebalance);

    private void OnJoined(SimulatedCoordinator coordinator, JoinGroup request, JoinGroupResult joined)
    {
        var generation = joined.GenerationId;
        if (coordinator.Known?.Consumer is { } consumer)
        {
            Verdict.Require(generation < consumer.TargetEpoch || joined.Leader != joined.MemberId,
                $"one leader: {joined.MemberId} leads a group whose coordinator assigns");
            RequireEpoch(coordinator, joined.MemberId, generation);
            return;
        }
        // A static leader that restarts leads on under another id: an answer may be of the time before.
        var stored = coordinator.AllKnown.FindAll(k => k.Classic is { } classic && classic.Generation == generation
            && classic.Members.ContainsKey(joined.MemberId));
        var known = stored.FindLast(k => k.Classic!.Leader == joined.Leader) ?? stored.LastOrDefault();
        if (IsOver(coordinator, generation))
            return;
        // Another member has joined under its instance id since.
        if (known is null && request.GroupInstanceId is { } instance && GroupView.StaticOf(coordinator.Known, instance) is not null)
            return;
        Verdict.Require(known is not null,
            $"stored before revealed: {coordinator} answers {joined.MemberId} with generation {generation}, which is not stored with it");
        var state = known!.Classic!;
        // Restarts of two static members may go into one write: the first one's answer names the leader by the id that it had in between.
        var isLeaderBefore = joined.Leader != joined.MemberId && GroupView.LineageOf(known, state.Leader!) is var lineage
            && lineage != state.Leader && joined.Leader?.StartsWith(lineage + "-", StringComparison.Ordinal) == true;
        Verdict.Require((joined.Leader == state.Leader || isLeaderBefore) && joined.ProtocolName == state.ProtocolName,
            $"stored before revealed: {joined.Leader} leads {generation} by {joined.ProtocolName}; stored is {state.Leader} by "
            + $"{state.ProtocolName}");
        Revealed = Math.Max(Revealed, generation);
        if (joined.Leader != joined.MemberId)
        {
            Verdict.Require(joined.Members.Count == 0,
                $"one leader: {joined.MemberId} does not lead generation {generation}, but receives its members");
            return;
        }
        var leader = GroupView.LineageOf(known, joined.MemberId);
        if (!_leaders.TryAdd(generation, leader) && _leaders[generation] != leader)
            throw new Verdict($"one leader: {_leaders[generation]} and {leader} lead generation {generation}");
        // A leader that must skip the assignment ignores them.
        Verdict.Require(joined.SkipAssignment || joined.Members.Select(m => m.MemberId).ToHashSet().SetEquals(state.Members.Keys),
            $"stored before revealed: the leader of {generation} receives other members than those stored");
    }

    private void OnHeard(SimulatedCoordinator coordinator, OpenRequest request, ConsumerGroupHeartbeat heartbeat,
        ConsumerGroupHeartbeatResult heard)
    {
        // A member that missed the last answer comes with the previous epoch. One that is further behind may own partitions of another
        // member.
        var was = request.Known?.Consumer?.Members.GetValueOrDefault(heartbeat.MemberId);
        Verdict.Require(heartbeat.MemberEpoch <= 0 || heartbeat.MemberEpoch == was?.Epoch || heartbeat.MemberEpoch == was?.PreviousEpoch,
            $"epochs: {coordinator} accepts a heartbeat of {heartbeat.MemberId} in {heartbeat.MemberEpoch}, but knows it in "
            + $"{was?.Epoch.ToString() ?? "none"}");
        RequireEpoch(coordinator, heard.MemberId!, heard.MemberEpoch);
        if (heard.Assignment is { } assignment && coordinator.Known?.Consumer?.Members.GetValueOrDefault(heard.MemberId!) is { } member
            && member.Epoch == heard.MemberEpoch)
            RequireHeld(member, assignment.SelectMany(t => t.Partitions.Select(p => new Engine.TopicIdPartition(t.TopicId, p))));
    }

    // A member must not learn of an epoch that is not stored, nor was, nor has been superseded.
    private static void RequireEpoch(SimulatedCoordinator coordinator, string memberId, int epoch) =>
        Verdict.Require(GroupView.EpochOf(coordinator.Known, memberId) is not { } stored || stored >= epoch || stored < 0
            || coordinator.AllKnown.Exists(known => GroupView.EpochOf(known, memberId) == epoch),
            $"stored before revealed: {coordinator} answers {memberId} with epoch {epoch}, but it is stored in "
            + $"{GroupView.EpochOf(coordinator.Known, memberId)}");

    private void RequireHeld(Engine.ConsumerMember member, IEnumerable<Engine.TopicIdPartition> told)
    {
        foreach (var partition in told)
        {
            Verdict.Require(member.Assigned.Contains(partition) || member.Revoking.Contains(partition),
                $"stored before revealed: {member.MemberId} is assigned {partition}, but not stored with it");
            ownership.OnGiven(member.InstanceId ?? member.MemberId, member.Epoch,
                [new TopicPartition(simulation.NameOf(partition.TopicId), partition.Partition)]);
        }
    }

    // A classic member is told names. When the answer is sent, the stored group may already know another topic of that name than when it
    // was written, in the same epoch of the member.
    private void RequireHeldByName(Engine.ConsumerMember member, IEnumerable<TopicPartition> told)
    {
        var held = member.Assigned.Concat(member.Revoking).Select(p => new TopicPartition(simulation.NameOf(p.TopicId), p.Partition))
            .ToHashSet();
        foreach (var partition in told)
        {
            Verdict.Require(held.Contains(partition),
                $"stored before revealed: {member.MemberId} is assigned {partition}, but not stored with it");
            ownership.OnGiven(member.InstanceId ?? member.MemberId, member.Epoch, [partition]);
        }
    }

    private void OnSynced(SimulatedCoordinator coordinator, SyncGroup request, SyncGroupResult synced)
    {
        if (coordinator.Known?.Consumer is { } consumer)
        {
            if (consumer.Members.TryGetValue(request.MemberId, out var member) && member.Epoch == request.GenerationId)
                RequireHeldByName(member, ClientAssignment.Parse(synced.Assignment).Where(p => consumer.Topics.ContainsKey(p.Topic)));
            return;
        }
        if (IsOver(coordinator, request.GenerationId))
            return;
        var known = coordinator.AllKnown.FindLast(k => k.Classic is { State: GroupState.Stable } classic
            && classic.Generation == request.GenerationId
            && classic.Members.ContainsKey(request.MemberId));
        Verdict.Require(known is not null, $"stored before revealed: {coordinator} answers {request.MemberId} with its assignment in "
            + $"{request.GenerationId}, which is not stored");
        Verdict.Require(known!.Classic!.Members[request.MemberId].Assignment.Span.SequenceEqual(synced.Assignment.Span),
            $"stored before revealed: {request.MemberId}'s assignment in {request.GenerationId} is another");
        ownership.OnGiven(GroupView.LineageOf(known, request.MemberId), request.GenerationId, ClientAssignment.Parse(synced.Assignment));
    }

    private void OnCommitted(SimulatedCoordinator coordinator, OpenRequest request, OffsetCommit commit, OffsetCommitResult committed)
    {
        if (committed.Partitions.All(p => p.Error != ErrorCode.None))
        {
            if (committed.Partitions[0].Error is ErrorCode.IllegalGeneration or ErrorCode.UnknownMemberId or ErrorCode.FencedInstanceId
                or ErrorCode.StaleMemberEpoch or ErrorCode.FencedMemberEpoch)
                simulation.Figures.Fenced++;
            return;
        }
        simulation.Figures.Commits++;
        if (commit.MemberId.Length == 0)
        {
            simulation.Figures.Resets++;
            Verdict.Require(!request.HadMembers,
                $"invariant 5: {coordinator} accepts a commit without membership while the group has members");
        }
        else
        {
            var epoch = GroupView.EpochOf(request.Known, commit.MemberId);
            Verdict.Require(epoch == commit.GenerationIdOrMemberEpoch,
                $"invariant 5: {coordinator} accepts a commit of {commit.MemberId} in {commit.GenerationIdOrMemberEpoch}, and knows it in "
                + $"{epoch?.ToString() ?? "none"}");
            if (request.Known?.Type == GroupType.Classic)
                Verdict.Require(commit.GenerationIdOrMemberEpoch >= request.Revealed,
                    $"invariant 5: {coordinator} accepts a commit in generation {commit.GenerationIdOrMemberEpoch} after "
                    + $"{request.Revealed} was revealed");
        }
        for (var i = 0; i < committed.Partitions.Count; i++)
        {
            if (committed.Partitions[i].Error != ErrorCode.None)
                continue;
            offsets.OnAcknowledged(coordinator.Number, commit.Offsets[i]);
            if (commit.MemberId.Length == 0)
                offsets.OnAcknowledgementArrived(commit.Offsets[i]);
        }
    }

    private void OnFetched(SimulatedCoordinator coordinator, OffsetFetchResult fetched)
    {
        foreach (var partition in fetched.Partitions)
        {
            if (partition.Error == ErrorCode.None && partition.TopicId != Guid.Empty)
                offsets.OnAnswered(coordinator.Number, new TopicIdPartition(partition.TopicId, partition.Partition.Partition),
                    partition.Offset);
        }
    }
}
