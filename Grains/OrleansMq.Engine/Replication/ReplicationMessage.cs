using OrleansMq.Log;

namespace OrleansMq.Replication;

/// <summary>What replicas of a partition say to each other. Any of it may come late, twice, in another order or never.</summary>
/// <param name="TopicId">The topic.</param>
/// <param name="Epoch">The leader epoch it belongs to.</param>
/// <param name="Session">The leader's number for its talk with one follower, raised when the follower turns out to be another
/// member.</param>
internal abstract record ReplicationMessage(Guid TopicId, int Epoch, int Session);

/// <summary>
/// Leader to follower: all that the leader holds from <paramref name="PreviousEnd"/> to <paramref name="EndOffset"/>; without batches and
/// with both 0 when idle.
/// </summary>
/// <param name="TopicId">The topic.</param>
/// <param name="Epoch">The leader's epoch.</param>
/// <param name="Session">See <see cref="ReplicationMessage"/>.</param>
/// <param name="Leader">Who sends.</param>
/// <param name="Sequence">Raised with every push of a leader to this follower; comes back with the answer.</param>
/// <param name="PreviousEnd">Where what comes before ends: the leader holds nothing between this and the first batch.</param>
/// <param name="PreviousEpoch">The epoch of the offset before <paramref name="PreviousEnd"/>; -1 where nothing is known of it.</param>
/// <param name="Batches">In the order of their offsets; compaction may have left holes between.</param>
/// <param name="EndOffset">Where this ends: the last batch's end, or above it where compaction left nothing after.</param>
/// <param name="Epochs">Where the epochs from <paramref name="PreviousEpoch"/> up to the last batch's begin at the leader: a hole may hide
/// the start.</param>
/// <param name="LogStart">The leader's log start.</param>
/// <param name="HighWatermark">The leader's.</param>
/// <param name="LeaderEnd">The leader's log end.</param>
/// <param name="SentAt">The leader's clock, milliseconds; comes back with the answer.</param>
internal sealed record Push(Guid TopicId, int Epoch, int Session, int Leader, long Sequence, long PreviousEnd, int PreviousEpoch,
    IReadOnlyList<ReplicatedBatch> Batches, long EndOffset, IReadOnlyList<LeaderEpochEntry> Epochs, long LogStart, long HighWatermark,
    long LeaderEnd, long SentAt) : ReplicationMessage(TopicId, Epoch, Session);

/// <summary>How a follower took a push.</summary>
internal enum PushAnswerOutcome
{
    /// <summary>Never sent.</summary>
    Unknown = 0,
    /// <summary>Aligned: the log end counts.</summary>
    Accepted = 1,
    /// <summary>Aligned, but what comes before the batches ends above the log end: send from there.</summary>
    Gap = 2,
    /// <summary>Not aligned in this epoch and session: the log end means nothing yet.</summary>
    NotAligned = 3,
    /// <summary>A higher epoch is known: stop leading.</summary>
    Fenced = 4,
}

/// <summary>Follower to leader.</summary>
/// <param name="TopicId">The topic.</param>
/// <param name="Epoch">The push's.</param>
/// <param name="Session">The push's.</param>
/// <param name="Follower">Who answers.</param>
/// <param name="Sequence">The push's.</param>
/// <param name="Outcome">How the push was taken.</param>
/// <param name="Fence">The highest epoch the follower knows.</param>
/// <param name="LogEnd">The follower's log end.</param>
/// <param name="CountedEnd">The end that counts.</param>
/// <param name="SentAt">The push's.</param>
internal sealed record PushAnswer(Guid TopicId, int Epoch, int Session, ReplicaIdentity Follower, long Sequence, PushAnswerOutcome Outcome,
    int Fence,
    long LogEnd, long CountedEnd, long SentAt) : ReplicationMessage(TopicId, Epoch, Session);

/// <summary>Follower to leader: where does my latest epoch end with you?</summary>
/// <param name="TopicId">The topic.</param>
/// <param name="Epoch">The push's that made it ask.</param>
/// <param name="Session">The push's.</param>
/// <param name="Follower">Who asks.</param>
/// <param name="AskedEpoch">Its latest epoch.</param>
internal sealed record AlignRequest(Guid TopicId, int Epoch, int Session, ReplicaIdentity Follower, int AskedEpoch)
    : ReplicationMessage(TopicId, Epoch, Session);

/// <summary>Leader to follower.</summary>
/// <param name="TopicId">The topic.</param>
/// <param name="Epoch">The request's.</param>
/// <param name="Session">The request's.</param>
/// <param name="Leader">Who answers.</param>
/// <param name="AskedEpoch">The request's.</param>
/// <param name="End">The largest epoch at or below, and where it ends.</param>
/// <param name="UncleanEpoch">The leader's <see cref="PartitionState.UncleanEpoch"/>.</param>
internal sealed record AlignAnswer(Guid TopicId, int Epoch, int Session, int Leader, int AskedEpoch, LeaderEpochEntry End, int UncleanEpoch)
    : ReplicationMessage(TopicId, Epoch, Session);
