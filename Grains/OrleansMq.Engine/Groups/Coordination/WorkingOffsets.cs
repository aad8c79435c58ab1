using OrleansMq.Api;
using OrleansMq.Coordination;
using OrleansMq.Groups.Offsets;

namespace OrleansMq.Groups.Coordination;

/// <summary>The working state of a group's offsets, ahead of its <see cref="GroupOffsetsDocument"/>. Whether a caller may commit or fetch
/// is decided by <see cref="WorkingMembership"/>.</summary>
/// <param name="rules">The decisions.</param>
/// <param name="options">Limits, and the retention.</param>
/// <param name="changed">Called after each change, except when the state is adopted or forgotten.</param>
internal sealed class WorkingOffsets(GroupRules rules, GroupOptions options, Action changed)
{
    private GroupOffsets _offsets = GroupOffsets.Empty;
    // No fence is old enough before.
    private DateTimeOffset _fencesLastUntil;

    /// <summary>Whether there are no offsets at all.</summary>
    public bool IsEmpty => _offsets.IsEmpty;

    /// <summary>Whether the end of a transaction is to be remembered. It belongs to the group's id, and stays when the group is
    /// deleted.</summary>
    public bool HasFences => !_offsets.Fences.IsEmpty;

    /// <summary>When the last end of a transaction is forgotten; null for none.</summary>
    public DateTimeOffset? EndOfFences => HasFences ? _offsets.Fences.Values.Max(static fence => fence.ForgottenAt) : null;

    /// <summary>Takes up what is stored.</summary>
    public void Adopt(GroupOffsetsDocument? stored) =>
        (_offsets, _fencesLastUntil) = (stored?.ToOffsets() ?? GroupOffsets.Empty, default);

    /// <summary>Removes all offsets, since the group is deleted.</summary>
    public void Forget() => _offsets = GroupOffsets.Empty with { Fences = _offsets.Fences };

    /// <summary>Returns the content of the document.</summary>
    public GroupOffsetsContent ToContent(CoordinatorClaim claim) => new(claim, _offsets);

    /// <summary>Stores the offsets that can be stored; each partition has its own result.</summary>
    /// <param name="request">The commit.</param>
    /// <param name="topics">The topics.</param>
    /// <param name="now">The current time.</param>
    /// <param name="check">Checks each partition; null to accept all.</param>
    public OffsetCommitResult Commit(OffsetCommit request, GroupTopics topics, DateTimeOffset now,
        Func<PartitionOffset, GroupTopic, ErrorCode>? check) =>
        Apply(rules.Commit(_offsets, request, topics, options, now, check));

    /// <summary>Adds the offsets that can be added to those of a transaction; each partition has its own result.</summary>
    /// <param name="request">The commit.</param>
    /// <param name="topics">The topics.</param>
    /// <param name="now">The current time.</param>
    /// <param name="check">Checks each partition; null to accept all.</param>
    public OffsetCommitResult Commit(TransactionOffsetCommit request, GroupTopics topics, DateTimeOffset now,
        Func<PartitionOffset, GroupTopic, ErrorCode>? check) =>
        Apply(rules.Commit(_offsets, request, topics, options, now, check));

    /// <summary>Ends a transaction.</summary>
    public GroupReply End(EndTransactionOffsets request, DateTimeOffset now) => Apply(rules.End(_offsets, request, now));

    /// <summary>The offsets of open transactions.</summary>
    public PendingOffsets Pending => _offsets.Pending;

    /// <summary>Discards the offsets of a transaction that its coordinator does not end any more, and refuses later ones of it.</summary>
    /// <param name="groupId">The group.</param>
    /// <param name="producerId">The producer.</param>
    /// <param name="number">The transaction's number.</param>
    /// <param name="now">The current time.</param>
    /// <returns>Whether there were any.</returns>
    public bool Discard(string groupId, long producerId, long number, DateTimeOffset now)
    {
        if (_offsets.Pending.Find(producerId) is not { } pending || pending.Number != number)
            return false;
        End(new EndTransactionOffsets
        {
            GroupId = groupId,
            Producer = new ProducerIdentity(producerId, pending.Epoch),
            Number = number,
            CoordinatorEpoch = _offsets.Fences.GetValueOrDefault(producerId).CoordinatorEpoch,
            IsCommit = false,
        }, now);
        return true;
    }

    /// <summary>Fetches committed offsets.</summary>
    public OffsetFetchResult Fetch(OffsetFetch request, GroupTopics topics) => rules.Fetch(_offsets, request, topics);

    /// <summary>Deletes the offsets of partitions, except of topics that members subscribe to.</summary>
    public OffsetDeleteResult Delete(OffsetDelete request, GroupTopics topics, IReadOnlySet<string> subscribed) =>
        Apply(OffsetDecision.Delete(_offsets, request, topics, subscribed));

    /// <summary>Removes expired offsets of a group without members.</summary>
    /// <param name="emptySince">Since when the group has no members.</param>
    /// <param name="now">The current time.</param>
    public void Expire(DateTimeOffset emptySince, DateTimeOffset now)
    {
        if (options.OffsetsRetention is { } retention)
            Apply(OffsetDecision.Expire(_offsets, emptySince, retention, now));
    }

    /// <summary>Forgets transactions that have ended long ago.</summary>
    public void ForgetFences(DateTimeOffset now)
    {
        if (now < _fencesLastUntil)
            return;
        Apply(TransactionOffsetDecision.Forget(_offsets, now));
        _fencesLastUntil = _offsets.Fences.Values.Select(static fence => fence.ForgottenAt)
            .Append(now + TransactionOffsetDecision.FenceRetention).Min();
    }

    /// <summary>Removes the offsets of topics that are known to be deleted, or replaced. A topic that is merely missing in the image may be
    /// one whose document the image's maker could not read: its offsets stay.</summary>
    public void FollowTopics(GroupTopics topics) =>
        Apply(_offsets.WithoutTopics((topic, topicId) => topics.IsDeleted(topicId) || topics.IsReplaced(topic, topicId)));

    private TReply Apply<TReply>(OffsetOutcome<TReply> outcome)
    {
        Apply(outcome.Next);
        return outcome.Reply;
    }

    private void Apply(GroupOffsets next)
    {
        if (ReferenceEquals(next, _offsets))
            return;
        _offsets = next;
        changed();
    }
}
