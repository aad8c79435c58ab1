using OrleansMq.Log;

namespace OrleansMq.Replication;

/// <summary>A record batch as replicas exchange it.</summary>
/// <param name="BaseOffset">The offset of its first record.</param>
/// <param name="NextOffset">The offset after its last record.</param>
/// <param name="Epoch">The leader epoch it was written in.</param>
/// <param name="Bytes">The batch, byte for byte the same on every replica.</param>
internal readonly record struct ReplicatedBatch(long BaseOffset, long NextOffset, int Epoch, ReadOnlyMemory<byte> Bytes);

/// <summary>
/// A replica's log, epochs, fence and high watermark, as the roles use them. Called under the append lock; each call takes effect before it
/// returns. Compaction may leave holes between batches, and at the log's end: the difference of two offsets is not a number of records.
/// </summary>
internal interface IReplicaLog
{
    /// <summary>The first offset that can be read.</summary>
    long LogStartOffset { get; }

    /// <summary>The offset of the next record.</summary>
    long LogEndOffset { get; }

    /// <summary>The end that counts towards the high watermark: the log end, or under <c>sync</c> the flushed end.</summary>
    long CountedEndOffset { get; }

    /// <summary>The end of the compacted part: below it compaction has removed records that later ones below it replace. 0 if compaction
    /// never ran.</summary>
    long CompactedEndOffset { get; }

    /// <summary>Below it, records may be missing without a trace (<see cref="CompactionProgress.ErasedEnd"/>): compaction erased them here,
    /// or at the leader whose batches this log took. Above the log end while a log that began again catches up.</summary>
    long ErasedEndOffset { get; }

    /// <summary>Raises <see cref="ErasedEndOffset"/> durably, before the first batch of a leader that lacks such records.</summary>
    void NoteErased(long endOffset);

    /// <summary>The highest high watermark that this replica decided, or received from a leader, since it was opened. Between the log start
    /// and the log end.</summary>
    long HighWatermark { get; }

    /// <summary>The epoch in which <see cref="HighWatermark"/> was decided or received; -1 if none is known.</summary>
    int HighWatermarkEpoch { get; }

    /// <summary>Sets the high watermark, in memory only.</summary>
    void SetHighWatermark(long offset, int epoch);

    /// <summary>The highest epoch seen, which <see cref="RaiseFence"/> made durable.</summary>
    int Fence { get; }

    /// <summary>Makes a higher epoch durable, before the first request of that epoch is answered.</summary>
    void RaiseFence(int epoch);

    /// <summary>The start offset of each epoch, oldest first; see <see cref="LeaderEpochCache.Entries"/>.</summary>
    IReadOnlyList<LeaderEpochEntry> Epochs { get; }

    /// <inheritdoc cref="LeaderEpochCache.EndOffsetFor"/>
    LeaderEpochEntry EndOffsetFor(int epoch);

    /// <summary>Makes the start offset of a new epoch durable; see <see cref="LeaderEpochCache.Assign"/>.</summary>
    void AssignEpoch(int epoch, long startOffset);

    /// <summary>Appends a leader's batches as they are, at or above the log's end: <paramref name="count"/> of them, beginning with
    /// <paramref name="first"/>. There is no hole between them, and they have one epoch, which is assigned already.</summary>
    void AppendReplicated(IReadOnlyList<ReplicatedBatch> batches, int first, int count);

    /// <summary>Advances the log's end without a record: the leader's compaction left none up to there.</summary>
    void AdvanceTo(long endOffset);

    /// <summary>Truncates the log, with its epochs and producers, and lowers a high watermark above the new end. The log then ends at
    /// <paramref name="endOffset"/>, even in a hole; otherwise offsets that readers saw would be assigned again. An end inside a batch
    /// removes the whole batch, and the log ends at that batch's base offset.</summary>
    void TruncateTo(long endOffset);

    /// <summary>Moves the log start, as its leader did by retention or delete-records. At most to the log end.</summary>
    void MoveLogStart(long offset);

    /// <summary>Empties the log, its epochs and its producers: log start, log end and high watermark become <paramref name="logStart"/>. A
    /// crash during the call leaves the old log, or an empty one at this offset or at the old log start.</summary>
    void ResetTo(long logStart);
}
