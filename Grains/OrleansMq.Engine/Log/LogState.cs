using OrleansMq.Diagnostics;
using OrleansMq.Producers;
using OrleansMq.Records;

namespace OrleansMq.Log;

/// <summary>
/// What a log's batches amount to at its end: today the idempotent producers. It is derived from the batches below the log's end and from
/// nothing else, so it can always be built again from them. Whatever else a batch means to later ones belongs here, too.
/// </summary>
/// <remarks>
/// The log owns the state. Every call is made under the append lock, but for those on snapshot files. Leader, follower, recovery and
/// rebuild hand each batch to <see cref="Apply"/>, in the order of offsets, before the segment takes note of it.
/// <code>
/// Settled -- Stage    --> Staged     a batch that is about to be written; later checks see it
/// Staged  -- Stage    --> Staged     more batches of the same write
/// Staged  -- Commit   --> Settled    the write is done
/// Staged  -- Rollback --> Settled    the write failed or was given up: the state is as before the first Stage
/// Settled -- Apply    --> Settled    a follower, recovery and rebuild: the log holds the batch already
/// Settled -- Rebuild  --> Settled    the log was opened or cut: the newest snapshot below the end, then the batches above it
/// </code>
/// A crash loses the state in memory; opening the log rebuilds it. A lost or damaged snapshot costs time, never a batch: an older one
/// is used, or none. A write that fails leaves no trace here, so the sequence of a refused batch is free for its retry.
/// </remarks>
internal sealed class LogState(ProducerSnapshots snapshots)
{
    private bool _isStaged;

    /// <summary>The idempotent producers. Only this class changes them.</summary>
    public ProducerStateManager Producers { get; } = new();

    /// <summary>Whether nothing is known, so that no snapshot is needed.</summary>
    public bool IsEmpty => Producers.Count == 0;

    /// <summary>Decides what becomes of a batch that is to be appended. Staged batches count as appended.</summary>
    public ProducerDecision Check(in RecordBatchHeader batch) => Producers.Check(batch);

    /// <summary>Applies a batch that goes to the log with the next write.</summary>
    /// <param name="batch">Its header, with the offset it gets.</param>
    /// <param name="now">Milliseconds since 1970.</param>
    public void Stage(in RecordBatchHeader batch, long now)
    {
        if (!_isStaged)
            Producers.BeginGroup();
        _isStaged = true;
        Apply(batch, now);
    }

    /// <summary>The staged batches are in the log.</summary>
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

    /// <summary>Takes note of a batch. The one place that says what a batch changes.</summary>
    /// <param name="batch">Its header.</param>
    /// <param name="now">Milliseconds since 1970; in a rebuild the time of the rebuild.</param>
    public void Apply(in RecordBatchHeader batch, long now) => Producers.Apply(batch, now);

    /// <summary>Forgets producers that have been idle for too long.</summary>
    public void RemoveExpired(long now, TimeSpan producerIdExpiration) => Producers.RemoveExpired(now, producerIdExpiration);

    /// <summary>Forgets everything: the log's next batch is at or above an offset.</summary>
    public void Reset(long endOffset)
    {
        Invariant.Check(!_isStaged, "The log's state is not replaced while batches are being written.");
        Producers.Reset(endOffset);
    }

    /// <summary>Makes the state that of the batches below a place: from the newest snapshot at or below it, and the batches above that.
    /// </summary>
    /// <param name="segments">The log's segments.</param>
    /// <param name="end">Where the log ends, or where recovery goes on from.</param>
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

    /// <summary>Writes the snapshot of a roll, without a flush: losing it costs time at the next start, for an older one is used.</summary>
    public void SaveAtRoll()
    {
        if (!IsEmpty)
            snapshots.Take(Producers, durable: false);
    }

    /// <summary>Encodes the snapshot of a recovery point; null where nothing is known.</summary>
    public PreparedSnapshot? PrepareSnapshot() => IsEmpty ? null : ProducerSnapshots.Prepare(Producers);

    /// <summary>Writes a prepared snapshot; durable when it returns. Off the append lock.</summary>
    public void Save(PreparedSnapshot snapshot) => snapshots.Write(snapshot, durable: true);

    /// <summary>Deletes snapshots that are neither at one of these offsets nor the newest. Off the append lock.</summary>
    public void DeleteSnapshotsExcept(IReadOnlySet<long> offsets) => snapshots.DeleteExcept(offsets);

    /// <summary>Deletes snapshots below an offset, but for the newest of all. Off the append lock.</summary>
    public void DeleteSnapshotsBefore(long offset) => snapshots.DeleteBefore(offset);

    /// <summary>Deletes snapshots above an offset: they describe batches that are cut, and other batches will get their offsets.</summary>
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
