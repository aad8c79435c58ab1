using OrleansMq.Api;
using OrleansMq.Groups.Classic;
using OrleansMq.Groups.Consumer;
using OrleansMq.Groups.Offsets;

namespace OrleansMq.Groups.Coordination;

/// <summary>
/// The decisions about a group, as its coordinator calls them. Shipped as it is; a test derives from it to put one mistake in and to prove
/// that the simulation's checkers find it.
/// </summary>
internal class GroupRules
{
    /// <summary>The protocols.</summary>
    public static readonly GroupRules Shipped = new();

    // --- Whose the group is, and what is stored ---

    /// <summary>Whether a document was written by another coordinator: after our claim, or with an epoch that we do not stand
    /// above.</summary>
    public virtual bool IsOthers(CoordinatorClaim writer, CoordinatorClaim own, bool wasEverClaimed) =>
        writer.Token != own.Token && (wasEverClaimed || writer.Epoch >= own.Epoch);

    /// <summary>Whether a document that was read is ours already: one that is not is written before anything is answered.</summary>
    public virtual bool IsClaimed(GroupDocumentKind document, CoordinatorClaim? writer, CoordinatorClaim own) => writer == own;

    /// <summary>Whether an answer that reveals a version may be given.</summary>
    public virtual bool IsStored(GroupDocumentKind document, long revealed, long stored) => revealed <= stored;

    /// <summary>What is stored when a write is done: what was in it, not what has come meanwhile.</summary>
    public virtual long StoredBy(long written, long working) => written;

    /// <summary>Whether what is stored is read again, since a write may not have taken place.</summary>
    public virtual bool MustReadAfter(StoreFailed failed) => true;

    /// <summary>Which read or write of the store shows that a request may be answered from memory that came when so many had been begun:
    /// the next one, for one that is under way may have taken place before.</summary>
    public virtual long ConfirmedFrom(long begun) => begun + 1;

    // --- Time ---

    /// <summary>When a member's session ends that was heard of now, or whose coordinator begins now.</summary>
    public virtual DateTimeOffset SessionEnd(DateTimeOffset now, TimeSpan timeout, bool isTakenOver) => now + timeout;

    // --- Classic ---

    /// <inheritdoc cref="ClassicGroup.TakeOver"/>
    public virtual ClassicGroup TakeOver(ClassicGroupState state, DateTimeOffset now) => ClassicGroup.TakeOver(state, now);

    /// <inheritdoc cref="ClassicGroupDecision.Join"/>
    public virtual ClassicDecision<JoinGroupResult> Join(ClassicGroup group, JoinGroup request, string newMemberId, DateTimeOffset now,
        GroupOptions options) =>
        ClassicGroupDecision.Join(group, request, newMemberId, now, options);

    /// <inheritdoc cref="ClassicGroupDecision.AnswerJoin"/>
    public virtual JoinGroupResult? AnswerJoin(ClassicGroup group, string memberId, string? instanceId) =>
        ClassicGroupDecision.AnswerJoin(group, memberId, instanceId);

    /// <inheritdoc cref="ClassicGroupDecision.Sync"/>
    public virtual ClassicDecision<SyncGroupResult> Sync(ClassicGroup group, SyncGroup request, DateTimeOffset now) =>
        ClassicGroupDecision.Sync(group, request, now);

    /// <inheritdoc cref="ClassicGroupDecision.AnswerSync"/>
    public virtual SyncGroupResult? AnswerSync(ClassicGroup group, string memberId, string? instanceId) =>
        ClassicGroupDecision.AnswerSync(group, memberId, instanceId);

    /// <inheritdoc cref="ClassicGroupDecision.Heartbeat"/>
    public virtual GroupReply Heartbeat(ClassicGroup group, Heartbeat request) => ClassicGroupDecision.Heartbeat(group, request);

    /// <inheritdoc cref="ClassicGroupDecision.Leave"/>
    public virtual ClassicDecision<LeaveGroupResult> Leave(ClassicGroup group, LeaveGroup request, DateTimeOffset now) =>
        ClassicGroupDecision.Leave(group, request, now);

    /// <inheritdoc cref="ClassicGroupDecision.Remove"/>
    public virtual ClassicGroup Remove(ClassicGroup group, string memberId, DateTimeOffset now) =>
        ClassicGroupDecision.Remove(group, memberId, now);

    /// <inheritdoc cref="ClassicGroupDecision.OnTime"/>
    public virtual ClassicGroup OnTime(ClassicGroup group, DateTimeOffset now) => ClassicGroupDecision.OnTime(group, now);

    /// <inheritdoc cref="ClassicGroupDecision.CheckCommit"/>
    public virtual GroupReply CheckCommit(ClassicGroupState? state, OffsetCommit request) =>
        ClassicGroupDecision.CheckCommit(state, request);

    // --- Consumer protocol ---

    /// <inheritdoc cref="ConsumerGroup.TakeOver"/>
    public virtual ConsumerGroup TakeOver(ConsumerGroupState state, DateTimeOffset now) => ConsumerGroup.TakeOver(state, now);

    /// <summary>Decides a heartbeat of the consumer protocol.</summary>
    public virtual ConsumerDecision<ConsumerGroupHeartbeatResult> Heartbeat(ConsumerGroup group, ConsumerGroupHeartbeat request,
        string newMemberId, GroupTopics topics,
        DateTimeOffset now, GroupOptions options) => ConsumerGroupDecision.Heartbeat(group, request, newMemberId, topics, now, options);

    /// <inheritdoc cref="ConsumerGroupDecision.Advance"/>
    public virtual ConsumerGroup Advance(ConsumerGroup group, IEnumerable<string> waiting, DateTimeOffset now) =>
        ConsumerGroupDecision.Advance(group, waiting, now);

    /// <inheritdoc cref="ConsumerGroupDecision.Remove(ConsumerGroup, string, GroupTopics, DateTimeOffset)"/>
    public virtual ConsumerGroup Remove(ConsumerGroup group, string memberId, GroupTopics topics, DateTimeOffset now) =>
        ConsumerGroupDecision.Remove(group, memberId, topics, now);

    /// <inheritdoc cref="ConsumerGroupDecision.OnTime"/>
    public virtual ConsumerGroup OnTime(ConsumerGroup group, GroupTopics topics, DateTimeOffset now) =>
        ConsumerGroupDecision.OnTime(group, topics, now);

    /// <inheritdoc cref="ConsumerGroupDecision.OnTopics"/>
    public virtual ConsumerGroup OnTopics(ConsumerGroup group, GroupTopics topics) => ConsumerGroupDecision.OnTopics(group, topics);

    /// <inheritdoc cref="ConsumerGroupDecision.CheckCommit"/>
    public virtual GroupReply CheckCommit(ConsumerGroupState state, OffsetCommit request) =>
        ConsumerGroupDecision.CheckCommit(state, request);

    /// <inheritdoc cref="GroupMigration.TryUpgrade"/>
    public virtual GroupReply TryUpgrade(ClassicGroup group, GroupTopics topics, DateTimeOffset now, out ConsumerGroup upgraded) =>
        GroupMigration.TryUpgrade(group, topics, now, out upgraded);

    /// <inheritdoc cref="GroupMigration.TryDowngrade"/>
    public virtual ClassicGroup? TryDowngrade(ConsumerGroup group, DateTimeOffset now) => GroupMigration.TryDowngrade(group, now);

    // --- Offsets ---

    /// <inheritdoc cref="OffsetDecision.Commit"/>
    public virtual OffsetOutcome<OffsetCommitResult> Commit(GroupOffsets offsets, OffsetCommit request, GroupTopics topics,
        GroupOptions options, DateTimeOffset now) =>
        OffsetDecision.Commit(offsets, request, topics, options, now);

    /// <inheritdoc cref="OffsetDecision.Fetch"/>
    public virtual OffsetFetchResult Fetch(GroupOffsets offsets, OffsetFetch request, GroupTopics topics) =>
        OffsetDecision.Fetch(offsets, request, topics);
}
