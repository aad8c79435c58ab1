using OrleansMq.Api;
using OrleansMq.Coordination;
using OrleansMq.Groups.Classic;
using OrleansMq.Groups.Consumer;
using OrleansMq.Groups.Offsets;

namespace OrleansMq.Groups.Coordination;

/// <summary>The decisions about a group, as its coordinator calls them. Virtual for mutants: see
/// <see cref="Replication.ReplicationRules"/>.</summary>
internal class GroupRules : CoordinatorRules
{
    /// <summary>The protocols.</summary>
    public static readonly GroupRules Shipped = new();

    // --- Time ---

    /// <summary>Returns the end of a session that starts now: with a member's request, or with a takeover.</summary>
    public virtual DateTimeOffset SessionEnd(DateTimeOffset now, TimeSpan timeout, bool isTakenOver) => now + timeout;

    // --- Classic ---

    /// <inheritdoc cref="ClassicGroup.TakeOver"/>
    public virtual ClassicGroup TakeOver(ClassicGroupState state, DateTimeOffset now) => ClassicGroup.TakeOver(state, now);

    /// <inheritdoc cref="ClassicGroupDecision.BeforeJoin"/>
    public virtual ClassicGroup BeforeJoin(ClassicGroup group, JoinGroup request, GroupTopics topics, DateTimeOffset now) =>
        ClassicGroupDecision.BeforeJoin(group, request, topics, now);

    /// <inheritdoc cref="ClassicGroupDecision.OnTopics"/>
    public virtual ClassicGroup OnTopics(ClassicGroup group, GroupTopics topics, DateTimeOffset now) =>
        ClassicGroupDecision.OnTopics(group, topics, now);

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

    /// <inheritdoc cref="ConsumerGroupDecision.CheckPartition"/>
    public virtual ErrorCode CheckPartition(ConsumerMember member, PartitionOffset wanted, GroupTopic topic, GroupTopics topics) =>
        ConsumerGroupDecision.CheckPartition(member, wanted, topic, topics);

    /// <inheritdoc cref="GroupMigration.TryUpgrade"/>
    public virtual GroupReply TryUpgrade(ClassicGroup group, GroupTopics topics, DateTimeOffset now, out ConsumerGroup upgraded) =>
        GroupMigration.TryUpgrade(group, topics, now, out upgraded);

    /// <inheritdoc cref="GroupMigration.TryDowngrade"/>
    public virtual ClassicGroup? TryDowngrade(ConsumerGroup group, DateTimeOffset now) => GroupMigration.TryDowngrade(group, now);

    // --- Offsets ---

    /// <inheritdoc cref="OffsetDecision.Commit"/>
    public virtual OffsetOutcome<OffsetCommitResult> Commit(GroupOffsets offsets, OffsetCommit request, GroupTopics topics,
        GroupOptions options, DateTimeOffset now, Func<PartitionOffset, GroupTopic, ErrorCode>? check) =>
        OffsetDecision.Commit(offsets, request, topics, options, now, check);

    /// <inheritdoc cref="TransactionOffsetDecision.Commit"/>
    public virtual OffsetOutcome<OffsetCommitResult> Commit(GroupOffsets offsets, TransactionOffsetCommit request, GroupTopics topics,
        GroupOptions options, DateTimeOffset now, Func<PartitionOffset, GroupTopic, ErrorCode>? check) =>
        TransactionOffsetDecision.Commit(offsets, request, topics, options, now, check);

    /// <inheritdoc cref="TransactionOffsetDecision.End"/>
    public virtual OffsetOutcome<GroupReply> End(GroupOffsets offsets, EndTransactionOffsets request, DateTimeOffset now) =>
        TransactionOffsetDecision.End(offsets, request, now);

    /// <inheritdoc cref="OffsetDecision.Fetch"/>
    public virtual OffsetFetchResult Fetch(GroupOffsets offsets, OffsetFetch request, GroupTopics topics) =>
        OffsetDecision.Fetch(offsets, request, topics);
}
