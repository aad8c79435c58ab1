using OrleansMq.Log;

namespace OrleansMq.Replication;

/// <summary>A message between replicas of a partition. It may arrive late, twice, reordered or never.</summary>
/// <param name="TopicId">The topic.</param>
/// <param name="Epoch">The leader epoch it belongs to.</param>
/// <param name="Session">The leader's number for its exchange with one follower, raised when the follower turns out to be another
/// member.</param>
internal abstract record ReplicationMessage(Guid TopicId, int Epoch, int Session);

/// <summary>
/// From leader to follower: all the leader's records from <paramref name="PreviousEnd"/> to <paramref name="EndOffset"/>. A heartbeat has
/// no batches, and both are 0.
/// </summary>
/// <param name="TopicId">The topic.</param>
/// <param name="Epoch">The leader's epoch.</param>
/// <param name="Session">See <see cref="ReplicationMessage"/>.</param>
/// <param name="Leader">The sender.</param>
/// <param name="Sequence">Raised with every push of a leader to this follower; returned with the answer.</param>
/// <param name="PreviousEnd">The end of the preceding records: the leader holds nothing between this and the first batch.</param>
/// <param name="PreviousEpoch">The epoch of the offset before <paramref name="PreviousEnd"/>; -1 if not known.</param>
/// <param name="Batches">In the order of their offsets; compaction may have left holes between them.</param>
/// <param name="EndOffset">The end of the push: the last batch's end, or above it if compaction left nothing after.</param>
/// <param name="Epochs">The leader's start offsets of the epochs from <paramref name="PreviousEpoch"/> up to the last batch's, since a hole
/// may hide a start.</param>
/// <param name="LogStart">The leader's log start.</param>
/// <param name="HighWatermark">The leader's high watermark.</param>
/// <param name="LeaderEnd">The leader's log end.</param>
/// <param name="SentAt">The leader's clock, in milliseconds; returned with the answer.</param>
internal sealed record Push(Guid TopicId, int Epoch, int Session, int Leader, long Sequence, long PreviousEnd, int PreviousEpoch,
    IReadOnlyList<ReplicatedBatch> Batches, long EndOffset, IReadOnlyList<LeaderEpochEntry> Epochs, long LogStart, long HighWatermark,
    long LeaderEnd, long SentAt) : ReplicationMessage(TopicId, Epoch, Session);

/// <summary>A follower's outcome of a push.</summary>
internal enum PushAnswerOutcome
{
    /// <summary>Never sent.</summary>
    Unknown = 0,
    /// <summary>Aligned: the log end counts.</summary>
    Accepted = 1,
    /// <summary>Aligned, but records before the batches are missing: resend from the log end.</summary>
    Gap = 2,
    /// <summary>Not aligned in this epoch and session: the log end means nothing yet.</summary>
    NotAligned = 3,
    /// <summary>A higher epoch is known: stop leading.</summary>
    Fenced = 4,
}

/// <summary>From follower to leader: the answer to a push.</summary>
/// <param name="TopicId">The topic.</param>
/// <param name="Epoch">The push's epoch.</param>
/// <param name="Session">The push's session.</param>
/// <param name="Follower">The sender.</param>
/// <param name="Sequence">The push's number.</param>
/// <param name="Outcome">The outcome.</param>
/// <param name="Fence">The highest epoch that the follower knows.</param>
/// <param name="LogEnd">The follower's log end.</param>
/// <param name="CountedEnd">The follower's counted end.</param>
/// <param name="SentAt">The push's send time.</param>
internal sealed record PushAnswer(Guid TopicId, int Epoch, int Session, ReplicaIdentity Follower, long Sequence, PushAnswerOutcome Outcome,
    int Fence, long LogEnd, long CountedEnd, long SentAt) : ReplicationMessage(TopicId, Epoch, Session)
{
    /// <summary>The follower's log start, which a restart keeps.</summary>
    public long LogStart { get; init; }
}

/// <summary>From follower to leader: asks for the leader's end of the follower's latest epoch.</summary>
/// <param name="TopicId">The topic.</param>
/// <param name="Epoch">The epoch of the push that caused it.</param>
/// <param name="Session">The push's session.</param>
/// <param name="Follower">The sender.</param>
/// <param name="AskedEpoch">The follower's latest epoch.</param>
internal sealed record AlignRequest(Guid TopicId, int Epoch, int Session, ReplicaIdentity Follower, int AskedEpoch)
    : ReplicationMessage(TopicId, Epoch, Session);

/// <summary>From leader to follower: the answer to a lookup.</summary>
/// <param name="TopicId">The topic.</param>
/// <param name="Epoch">The request's epoch.</param>
/// <param name="Session">The request's session.</param>
/// <param name="Leader">The sender.</param>
/// <param name="AskedEpoch">The requested epoch.</param>
/// <param name="End">The largest epoch at or below, with its end.</param>
/// <param name="UncleanEpoch">The leader's <see cref="PartitionState.UncleanEpoch"/>.</param>
internal sealed record AlignAnswer(Guid TopicId, int Epoch, int Session, int Leader, int AskedEpoch, LeaderEpochEntry End, int UncleanEpoch)
    : ReplicationMessage(TopicId, Epoch, Session)
{
    /// <summary>The leader's <see cref="IReplicaLog.ErasedEndOffset"/>: a follower that ends below begins again. 0 for a follower that may
    /// lead: it holds all below the high watermark, and nothing may make it give that up.</summary>
    public long ErasedEnd { get; init; }
}
