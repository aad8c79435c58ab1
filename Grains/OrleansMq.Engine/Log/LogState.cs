using OrleansMq.Diagnostics;
using OrleansMq.Producers;
using OrleansMq.Records;

namespace OrleansMq.Log;

/// <summary>
/// What a log's batches amount to at its end: the idempotent producers. It is derived from the batches below the log's end alone, so it can
/// always be rebuilt from them. Anything else that a batch means to later ones belongs here, too.
/// </summary>
/// <remarks>
/// Every call is made under the append lock, except those on snapshot files. Leader, follower, recovery and rebuild pass each batch to
/// <see cref="Apply"/>, in the order of offsets, before the segment publishes it.
/// <code>
/// Settled -- Stage    --> Staged     a batch that is about to be written; later checks see it
/// Staged  -- Stage    --> Staged     more batches of the same write
/// Staged  -- Commit   --> Settled    the write is done
/// Staged  -- Rollback --> Settled    the write failed or was abandoned: the state is as before the first Stage
/// Settled -- Apply    --> Settled    a follower, recovery and rebuild: the log holds the batch already
/// Settled -- Rebuild  --> Settled    the log was opened or cut: the newest snapshot below the end, then the batches after it
/// </code>
/// A crash loses the state in memory; opening the log rebuilds it. A lost or damaged snapshot costs time, never a batch: rebuild uses an
/// older one, or none. A failed write leaves no trace, so the sequence of a refused batch is free for its retry.
/// </remarks>
internal sealed class LogState(ProducerSnapshots snapshots)
{
    private bool _isStaged;

    /// <summary>The idempotent producers. Only this class changes them.</summary>
    public ProducerStateManager Producers { get; } = new();

    /// <summary>Whether no producer is known, so that no snapshot is needed.</summary>
    public bool IsEmpty => Producers.Count == 0;

    /// <summary>Decides whether a batch may be appended. Staged batches count as appended.</summary>
    public ProducerDecision Check(in RecordBatchHeader batch) => Producers.Check(batch);

    /// <summary>Applies a batch that the next write appends.</summary>
    /// <param name="batch">Its header, with its offset.</param>
    /// <param name="now">Milliseconds since 1970.</param>
    public void Stage(in RecordBatchHeader batch, long now)
    {
        if (!_isStaged)
            Producers.BeginGroup();
        _isStaged = true;
        Apply(batch, now);
    }

    /// <summary>Keeps the staged batches: they are in the log.</summary>
    public void Commit()
    {
        if (!_isStaged)
            return;
        _isStaged = false;
        Producers.CommitGroup();
    }

    /// <summary>Forgets the staged batches: they are not in the log.</summary>
    public void Rollback()
    {
        if (!_isStaged)
            return;
        _isStaged = false;
        Producers.RollbackGroup();
    }

    /// <summary>Applies a batch. Only this method decides what a batch changes.</summary>
    /// <param name="batch">Its header.</param>
    /// <param name="now">Milliseconds since 1970; in a rebuild the time of the rebuild.</param>
    public void Apply(in RecordBatchHeader batch, long now) => Producers.Apply(batch, now);

    /// <summary>Returns the last offset that each known producer wrote.</summary>
    public Dictionary<long, long> LastOffsetsOfProducers()
    {
        var offsets = new Dictionary<long, long>(Producers.Count);
        foreach (var (id, state) in Producers.Producers)
        {
            if (state.Count > 0)
                offsets[id] = state[0].LastOffset;
        }
        return offsets;
    }

    /// <summary>Forgets producers that have been idle for too long.</summary>
    public void RemoveExpired(long now, TimeSpan producerIdExpiration) => Producers.RemoveExpired(now, producerIdExpiration);

    /// <summary>Forgets all batches: the log's next one is at or above an offset.</summary>
    public void Reset(long endOffset)
    {
        Invariant.Check(!_isStaged, "The log's state was replaced while batches were being written.");
        Producers.Reset(endOffset);
    }

    /// <summary>Rebuilds the state of the batches before a position: from the newest snapshot there, and the batches after that.</summary>
    /// <param name="segments">The log's segments.</param>
    /// <param name="end">Where the log ends, or where recovery continues.</param>
    /// <param name="isEmpty">Whether the state is known to be empty there; then no file is read.</param>
    /// <param name="now">Milliseconds since 1970.</param>
    public void Rebuild(ReadOnlySpan<Segment> segments, LogPosition end, bool isEmpty, long now)
    {
        Reset(end.Offset);
        if (isEmpty)
            return;
        var from = snapshots.Load(Producers, segments[0].BaseOffset, end.Offset, now);
        if (from < end.Offset)
            ApplyFrom(from, segments, end, now);
    }

    /// <summary>Writes the snapshot of a roll, without a flush. If it is lost, the next start takes longer: it uses an older one.</summary>
    public void SaveAtRoll()
    {
        if (!IsEmpty)
            snapshots.Take(Producers, durable: false);
    }

    /// <summary>Encodes the snapshot for a recovery point; null if no producer is known.</summary>
    public PreparedSnapshot? PrepareSnapshot() => IsEmpty ? null : ProducerSnapshots.Prepare(Producers);

    /// <summary>Writes a prepared snapshot; durable when it returns. Without the append lock.</summary>
    public void Save(PreparedSnapshot snapshot) => snapshots.Write(snapshot, durable: true);

    /// <summary>Deletes snapshots that are neither at one of these offsets nor the newest. Without the append lock.</summary>
    public void DeleteSnapshotsExcept(IReadOnlySet<long> offsets) => snapshots.DeleteExcept(offsets);

    /// <summary>Deletes snapshots below an offset, except the newest of all. Without the append lock.</summary>
    public void DeleteSnapshotsBefore(long offset) => snapshots.DeleteBefore(offset);

    /// <summary>Deletes snapshots above an offset: they describe batches that are cut, and other batches take over their offsets.</summary>
    public void DeleteSnapshotsAfter(long offset) => snapshots.DeleteAfter(offset);

    private void ApplyFrom(long from, ReadOnlySpan<Segment> segments, LogPosition end, long now)
    {
        Span<byte> buffer = stackalloc byte[BatchWalker.BufferBytes];
        foreach (var segment in segments)
        {
            if (segment.BaseOffset > end.SegmentBase || (segment.NextOffset <= from && segment.BaseOffset != end.SegmentBase))
                continue;
            using var lease = segment.Log.Rent();
            var walker = new BatchWalker(lease.File, 0, segment.BaseOffset == end.SegmentBase ? end.Position : segment.Size, buffer);
            while (walker.TryMoveNext())
            {
                if (walker.Header.BaseOffset >= from)
                    Apply(walker.Header, now);
            }
        }
    }
}
