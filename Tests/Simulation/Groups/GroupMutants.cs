using System.Collections.Immutable;
using OrleansMq.Api;
using OrleansMq.Coordination;
using OrleansMq.Groups;
using OrleansMq.Groups.Classic;
using OrleansMq.Groups.Consumer;
using OrleansMq.Groups.Coordination;
using OrleansMq.Groups.Offsets;
using Engine = OrleansMq.Groups.Consumer;

namespace OrleansMq.Tests.Simulation.Groups;

// Each mutant is the shipped coordinator with one wrong decision.

// --- Ownership of the group, and storage ---

internal sealed class AnswerBeforeStore : GroupRules
{
    public override bool IsStored(int document, long revealed, long stored) => true;
}

internal sealed class CommitAnsweredBeforeStore : GroupRules
{
    public override bool IsStored(int document, long revealed, long stored) =>
        document == GroupDocuments.Offsets || base.IsStored(document, revealed, stored);
}

internal sealed class OffsetsNotClaimed : GroupRules
{
    public override bool IsClaimed(int document, CoordinatorClaim? writer, CoordinatorClaim own) =>
        document == GroupDocuments.Offsets || base.IsClaimed(document, writer, own);
}

internal sealed class FailedIsNotWritten : GroupRules
{
    public override bool MustReadAfter(StoreFailed failed) => false;
}

internal sealed class CoalescedIsWritten : GroupRules
{
    public override long StoredBy(long written, long working) => working;
}

internal sealed class NeverDeposed : GroupRules
{
    public override bool IsOthers(CoordinatorClaim writer, CoordinatorClaim own, bool wasEverClaimed) => false;
    public override bool IsClaimed(int document, CoordinatorClaim? writer, CoordinatorClaim own) => true;
}

internal sealed class FetchedWithoutConfirmation : GroupRules
{
    public override long ConfirmedFrom(long begun) => 0;
}

internal sealed class ConfirmedByWhatWasUnderWay : GroupRules
{
    public override long ConfirmedFrom(long begun) => begun;
}

// --- Time ---

internal sealed class SessionsGoOnOverFailover : GroupRules
{
    // The time since a member was last heard of is unknown: it may have been a session.
    public override DateTimeOffset SessionEnd(DateTimeOffset now, TimeSpan timeout, bool isTakenOver) =>
        isTakenOver ? now : base.SessionEnd(now, timeout, isTakenOver);
}

internal sealed class SessionsNeverEnd : GroupRules
{
    public override DateTimeOffset SessionEnd(DateTimeOffset now, TimeSpan timeout, bool isTakenOver) => DateTimeOffset.MaxValue;
}

internal sealed class RoundsNeverEnd : GroupRules
{
    public override ClassicGroup OnTime(ClassicGroup group, DateTimeOffset now) => group;
}

// --- Membership ---

internal sealed class FailoverForgetsMembers : GroupRules
{
    public override ClassicGroup TakeOver(ClassicGroupState state, DateTimeOffset now) =>
        base.TakeOver(state.State == GroupState.Stable && state.Members.Count > 1
            ? state with { Members = state.Members.Remove(state.Members.Keys.Last()) } : state, now);
}

internal sealed class FailoverRebalances : GroupRules
{
    public override ClassicGroup TakeOver(ClassicGroupState state, DateTimeOffset now) =>
        base.TakeOver(state.State == GroupState.Stable ? state.Enter(GroupState.PreparingRebalance) : state, now);
}

internal sealed class SameGenerationAgain : GroupRules
{
    public override ClassicDecision<JoinGroupResult> Join(ClassicGroup group, JoinGroup request, string newMemberId, DateTimeOffset now,
        GroupOptions options)
    {
        var decision = base.Join(group, request, newMemberId, now, options);
        return decision.Next.State.Generation <= Math.Max(1, group.State.Generation)
            ? decision
            : decision with { Next = decision.Next with { State = decision.Next.State with { Generation = group.State.Generation } } };
    }
}

internal sealed class EverybodyLeads : GroupRules
{
    public override JoinGroupResult? AnswerJoin(ClassicGroup group, string memberId, string? instanceId) =>
        base.AnswerJoin(group, memberId, instanceId) is { Error: ErrorCode.None } answer
            ? base.AnswerJoin(group with { State = group.State with { Leader = memberId } }, memberId, instanceId)
            : base.AnswerJoin(group, memberId, instanceId);
}

internal sealed class StaticMemberNotFenced : GroupRules
{
    public override ClassicDecision<JoinGroupResult> Join(ClassicGroup group, JoinGroup request, string newMemberId, DateTimeOffset now,
        GroupOptions options)
    {
        var decision = base.Join(group, request, newMemberId, now, options);
        // Its predecessor stays beside it.
        return request is { MemberId: "", GroupInstanceId: { } instance } && group.State.FindStatic(instance) is { } before
            ? decision with { Next = decision.Next with { State = decision.Next.State.With(before) } }
            : decision;
    }
}

internal sealed class SubscriptionNotUpdated : GroupRules
{
    public override ClassicDecision<JoinGroupResult> Join(ClassicGroup group, JoinGroup request, string newMemberId, DateTimeOffset now,
        GroupOptions options) =>
        base.Join(group, group.State.Members.TryGetValue(request.MemberId, out var member) ? request with { Protocols = member.Protocols }
            : request, newMemberId, now, options);
}

internal sealed class OldGenerationLives : GroupRules
{
    public override GroupReply Heartbeat(ClassicGroup group, Heartbeat request) =>
        base.Heartbeat(group, request with { GenerationId = group.State.Generation });
}

internal sealed class TheLeftStay : GroupRules
{
    public override ClassicGroup Remove(ClassicGroup group, string memberId, DateTimeOffset now) => group;
}

internal sealed class RestartOwesNothing : GroupRules
{
    // A restarted static member continues as before, whatever it had to hand over; only a leader looks for partitions without a member.
    public override ClassicGroup BeforeJoin(ClassicGroup group, JoinGroup request, GroupTopics topics, DateTimeOffset now) =>
        request.GroupInstanceId is { } instance && group.State.FindStatic(instance)?.MemberId is { } before && group.State.Leader == before
            ? base.BeforeJoin(group, request, topics, now) : group;
}

internal sealed class ResumedLeaderIsTrusted : GroupRules
{
    // A leader that resumed is left to find partitions that were added while it was away.
    public override ClassicGroup OnTopics(ClassicGroup group, GroupTopics topics, DateTimeOffset now) => group;
}

internal sealed class AbsentOwnsNothing : GroupRules
{
    // A static member that misses a round claims what it claimed in its last join, not what it was assigned since.
    public override ClassicGroup OnTime(ClassicGroup group, DateTimeOffset now)
    {
        var next = base.OnTime(group, now);
        foreach (var member in group.State.Members.Values)
        {
            if (!group.Round.Joined.Contains(member.MemberId) && next.State.Members.TryGetValue(member.MemberId, out var after)
                && after.Protocols != member.Protocols)
                next = next with { State = next.State.With(after with { Protocols = member.Protocols }) };
        }
        return next;
    }
}

internal sealed class LeavingIsForgotten : GroupRules
{
    public override ClassicDecision<LeaveGroupResult> Leave(ClassicGroup group, LeaveGroup request, DateTimeOffset now)
    {
        // Removes without a rebalance: no member takes its partitions.
        var decision = base.Leave(group, request, now);
        return group.State.State == GroupState.Stable && decision.Next.State.Members.Count > 0
            ? decision with { Next = group with { State = group.State with { Members = decision.Next.State.Members } } }
            : decision;
    }
}

// --- Consumer protocol ---

internal sealed class GivenBeforeReleased : GroupRules
{
    // Treats partitions to be revoked as revoked before the member confirms.
    public override ConsumerDecision<ConsumerGroupHeartbeatResult> Heartbeat(ConsumerGroup group, ConsumerGroupHeartbeat request,
        string newMemberId, GroupTopics topics,
        DateTimeOffset now, GroupOptions options) =>
        base.Heartbeat(group with { State = Released(group.State) }, request, newMemberId, topics, now, options);

    private static ConsumerGroupState Released(ConsumerGroupState state) =>
        state with { Members = state.Members.ToImmutableSortedDictionary(m => m.Key, m => m.Value with { Revoking = PartitionSet.Empty },
            StringComparer.Ordinal) };
}

internal sealed class SilenceMeansReleased : GroupRules
{
    public override ConsumerDecision<ConsumerGroupHeartbeatResult> Heartbeat(ConsumerGroup group, ConsumerGroupHeartbeat request,
        string newMemberId, GroupTopics topics,
        DateTimeOffset now, GroupOptions options) =>
        base.Heartbeat(group, request.OwnedPartitions is null ? request with { OwnedPartitions = [] } : request, newMemberId, topics, now,
            options);
}

internal sealed class AnyMemberEpoch : GroupRules
{
    public override ConsumerDecision<ConsumerGroupHeartbeatResult> Heartbeat(ConsumerGroup group, ConsumerGroupHeartbeat request,
        string newMemberId, GroupTopics topics,
        DateTimeOffset now, GroupOptions options) =>
        base.Heartbeat(group, request.MemberEpoch > 0 && group.State.Members.TryGetValue(request.MemberId, out var member)
            && member.Epoch > 0
            ? request with { MemberEpoch = member.Epoch } : request, newMemberId, topics, now, options);
}

internal sealed class TheTakenOverStays : GroupRules
{
    // A static member that takes over is a member beside the one that it replaces.
    public override ConsumerDecision<ConsumerGroupHeartbeatResult> Heartbeat(ConsumerGroup group, ConsumerGroupHeartbeat request,
        string newMemberId, GroupTopics topics,
        DateTimeOffset now, GroupOptions options)
    {
        var decision = base.Heartbeat(group, request, newMemberId, topics, now, options);
        return request is { TakesOverInstance: true, InstanceId: { } instance } && decision.Reply is null or { Error: ErrorCode.None }
            && group.State.FindStatic(instance) is { IsClassic: false } before && before.MemberId != request.MemberId
            ? decision with { Next = decision.Next.With(decision.Next.State.With(before)) } : decision;
    }
}

internal sealed class TheReplacedTakeOverAgain : GroupRules
{
    // A first join that comes again, or late, evicts the process that has replaced its sender.
    public override ConsumerDecision<ConsumerGroupHeartbeatResult> Heartbeat(ConsumerGroup group, ConsumerGroupHeartbeat request,
        string newMemberId, GroupTopics topics,
        DateTimeOffset now, GroupOptions options) =>
        base.Heartbeat(request is { TakesOverInstance: true, InstanceId: { } instance } && group.State.FindStatic(instance) is { } former
            ? group.With(group.State.With(former with { Replaced = [] })) : group, request, newMemberId, topics, now, options);
}

internal sealed class LostAnswersStayLost : GroupRules
{
    // Assigns once: a member's reported partitions are no reason to repeat the assignment.
    public override ConsumerDecision<ConsumerGroupHeartbeatResult> Heartbeat(ConsumerGroup group, ConsumerGroupHeartbeat request,
        string newMemberId, GroupTopics topics,
        DateTimeOffset now, GroupOptions options)
    {
        var decision = base.Heartbeat(group, request, newMemberId, topics, now, options);
        var isNew = !group.State.Members.TryGetValue(request.MemberId, out var before) || request.MemberEpoch != before.Epoch
            || request.SubscribedTopicNames is not null
            || !before.Assigned.Equals(decision.Next.State.Members.GetValueOrDefault(request.MemberId)?.Assigned);
        return isNew || decision.Reply is not { Error: ErrorCode.None } reply
            ? decision : decision with { Reply = reply with { Assignment = null } };
    }
}

internal sealed class OldEpochCommits : GroupRules
{
    public override GroupReply CheckCommit(ConsumerGroupState state, OffsetCommit request) =>
        base.CheckCommit(state, request.GenerationIdOrMemberEpoch >= 0 && state.Members.TryGetValue(request.MemberId, out var member)
            ? request with { GenerationIdOrMemberEpoch = member.Epoch } : request);
}

internal sealed class TheFencedCommit : GroupRules
{
    public override GroupReply CheckCommit(ConsumerGroupState state, OffsetCommit request) =>
        base.CheckCommit(state, request) is { Error: ErrorCode.UnknownMemberId } refusal && request.MemberId.Length == 0
        ? refusal : default;
}

internal sealed class TopicsNotLookedAtAgain : GroupRules
{
    // Applies to regular expressions as well: a new matching topic is not seen until a member joins or leaves.
    public override ConsumerGroup OnTopics(ConsumerGroup group, GroupTopics topics) => group;
}

internal sealed class SubscriptionNotHeard : GroupRules
{
    public override ConsumerDecision<ConsumerGroupHeartbeatResult> Heartbeat(ConsumerGroup group, ConsumerGroupHeartbeat request,
        string newMemberId, GroupTopics topics,
        DateTimeOffset now, GroupOptions options) =>
        base.Heartbeat(group, request.MemberEpoch > 0 ? request with { SubscribedTopicNames = null, SubscribedTopicRegex = null } : request,
            newMemberId, topics, now, options);
}

internal sealed class TheDeadKeepTheirPartitions : GroupRules
{
    public override ConsumerGroup Remove(ConsumerGroup group, string memberId, GroupTopics topics, DateTimeOffset now) => group;
}

internal sealed class FailoverForgetsWhoIsToGiveUp : GroupRules
{
    public override ConsumerGroup TakeOver(ConsumerGroupState state, DateTimeOffset now) => base.TakeOver(state with
    {
        Members = state.Members.ToImmutableSortedDictionary(m => m.Key, m => m.Value with { Revoking = PartitionSet.Empty },
            StringComparer.Ordinal),
    }, now);
}

internal sealed class NewsNotTold : GroupRules
{
    // A long poll that waits for partitions continues although they are free.
    public override ConsumerDecision<ConsumerGroupHeartbeatResult> Heartbeat(ConsumerGroup group, ConsumerGroupHeartbeat request,
        string newMemberId, GroupTopics topics,
        DateTimeOffset now, GroupOptions options)
    {
        var decision = base.Heartbeat(group, request, newMemberId, topics, now, options);
        return request.MemberEpoch > 0 && decision.Reply is { Assignment: not null } reply
            ? decision with { Reply = reply with { Assignment = null } } : decision;
    }
}

internal sealed class UpgradeForgetsWhoHoldsWhat : GroupRules
{
    public override GroupReply TryUpgrade(ClassicGroup group, GroupTopics topics, DateTimeOffset now, out ConsumerGroup upgraded)
    {
        var refusal = base.TryUpgrade(group, topics, now, out upgraded);
        upgraded = upgraded.With(upgraded.State with
        {
            Members = upgraded.State.Members.ToImmutableSortedDictionary(m => m.Key, m => m.Value with { Assigned = PartitionSet.Empty },
                StringComparer.Ordinal),
        });
        return refusal;
    }
}

internal sealed class DowngradeBeginsAnew : GroupRules
{
    public override ClassicGroup? TryDowngrade(ConsumerGroup group, DateTimeOffset now) =>
        base.TryDowngrade(group, now) is { } classic ? classic with { State = classic.State with { Generation = 0, LastEpoch = 0 } } : null;
}

// --- Commits ---

internal sealed class OldGenerationCommits : GroupRules
{
    public override GroupReply CheckCommit(ClassicGroupState? state, OffsetCommit request) =>
        base.CheckCommit(state, state is not null && request.GenerationIdOrMemberEpoch >= 0
            ? request with { GenerationIdOrMemberEpoch = state.Generation } : request);
}

internal sealed class OutsidersCommit : GroupRules
{
    public override GroupReply CheckCommit(ClassicGroupState? state, OffsetCommit request) =>
        request.MemberId.Length == 0 ? default : base.CheckCommit(state, request);
}

internal sealed class FencedInstanceCommits : GroupRules
{
    public override GroupReply CheckCommit(ClassicGroupState? state, OffsetCommit request) =>
        base.CheckCommit(state, request.GroupInstanceId is { } instance && state?.FindStatic(instance) is { } member
            ? request with { MemberId = member.MemberId } : request);
}

internal sealed class CommitsGoToTopicsOfThatName : GroupRules
{
    public override OffsetOutcome<OffsetCommitResult> Commit(GroupOffsets offsets, OffsetCommit request, GroupTopics topics,
        GroupOptions options, DateTimeOffset now, Func<PartitionOffset, GroupTopic, ErrorCode>? check) =>
        base.Commit(offsets, request with { Offsets = [.. request.Offsets.Select(o => o with { TopicId = default })] }, topics, options,
            now, check);
}

internal sealed class HolderOfTheDeletedTopicCommits : GroupRules
{
    public override ErrorCode CheckPartition(Engine.ConsumerMember member, PartitionOffset wanted, GroupTopic topic, GroupTopics topics) =>
        ErrorCode.None;
}

internal sealed class CommitForgetsOtherPartitions : GroupRules
{
    public override OffsetOutcome<OffsetCommitResult> Commit(GroupOffsets offsets, OffsetCommit request, GroupTopics topics,
        GroupOptions options, DateTimeOffset now, Func<PartitionOffset, GroupTopic, ErrorCode>? check) =>
        base.Commit(GroupOffsets.Empty, request, topics, options, now, check);
}

internal sealed class CommitOfManyIsDropped : GroupRules
{
    public override OffsetOutcome<OffsetCommitResult> Commit(GroupOffsets offsets, OffsetCommit request, GroupTopics topics,
        GroupOptions options, DateTimeOffset now, Func<PartitionOffset, GroupTopic, ErrorCode>? check)
    {
        var outcome = base.Commit(offsets, request, topics, options, now, check);
        return request.Offsets.Count > 1 ? new(offsets, outcome.Reply) : outcome;
    }
}

// --- Transactions ---

internal sealed class LateOffsetsOpen : GroupRules
{
    // Accepts offsets of a transaction that has ended, if they were verified before.
    public override OffsetOutcome<OffsetCommitResult> Commit(GroupOffsets offsets, TransactionOffsetCommit request, GroupTopics topics,
        GroupOptions options, DateTimeOffset now, Func<PartitionOffset, GroupTopic, ErrorCode>? check)
    {
        var outcome = base.Commit(offsets with { Fences = offsets.Fences.Clear() }, request, topics, options, now, check);
        return outcome with { Next = outcome.Next with { Fences = offsets.Fences } };
    }
}

internal sealed class EndOfNothingIsForgotten : GroupRules
{
    public override OffsetOutcome<GroupReply> End(GroupOffsets offsets, EndTransactionOffsets request, DateTimeOffset now) =>
        offsets.Pending.Find(request.Producer.ProducerId) is null ? new(offsets, default) : base.End(offsets, request, now);
}

internal sealed class TransactionEndsInPart : GroupRules
{
    public override OffsetOutcome<GroupReply> End(GroupOffsets offsets, EndTransactionOffsets request, DateTimeOffset now) =>
        offsets.Pending.Find(request.Producer.ProducerId) is { Offsets.Count: > 1 } open
            ? base.End(offsets with { Pending = offsets.Pending.Without(open.Offsets.Keys.First()) }, request, now)
            : base.End(offsets, request, now);
}

internal sealed class WhatEndsLastPrevails : GroupRules
{
    public override OffsetOutcome<GroupReply> End(GroupOffsets offsets, EndTransactionOffsets request, DateTimeOffset now)
    {
        var outcome = base.End(offsets, request, now);
        return ReferenceEquals(outcome.Next, offsets) ? outcome
            : outcome with { Next = outcome.Next with { Pending = offsets.Pending.WithoutTransaction(request.Producer.ProducerId) } };
    }
}

internal sealed class AbortedTakesEffect : GroupRules
{
    public override OffsetOutcome<GroupReply> End(GroupOffsets offsets, EndTransactionOffsets request, DateTimeOffset now) =>
        base.End(offsets, request with { IsCommit = true }, now);
}

internal sealed class PendingCountsAsStable : GroupRules
{
    public override OffsetFetchResult Fetch(GroupOffsets offsets, OffsetFetch request, GroupTopics topics) =>
        base.Fetch(offsets, request with { RequireStable = false }, topics);
}
