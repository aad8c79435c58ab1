using OrleansMq.Dedupe;
using OrleansMq.Producers;
using OrleansMq.Records;

namespace OrleansMq.Compaction;

/// <summary>The result of cleaning a batch.</summary>
internal enum BatchFate
{
    /// <summary>Never returned.</summary>
    Unknown = 0,
    /// <summary>Copied byte for byte.</summary>
    Kept = 1,
    /// <summary>Rewritten, with fewer records or with a delete horizon.</summary>
    Rewritten = 2,
    /// <summary>Written without records, since it is the latest batch of its producer.</summary>
    Emptied = 3,
    /// <summary>Removed.</summary>
    Dropped = 4,
}

/// <summary>
/// Cleans single batches. Base offset, last offset delta, leader epoch, producer fields and codec are unchanged; each record keeps its
/// offset, timestamp, headers and bytes. A batch that cannot be decoded (written before the topic was compacted, or with an unavailable
/// codec) is kept as it is, and its keys are ignored. Control batches stay, except markers of transactions. Not thread-safe.
/// </summary>
/// <param name="codecs">The codecs for compressed batches.</param>
internal sealed class BatchCompactor(CompressionCodecs codecs)
{
    // A small batch of 256 MiB has tens of millions of keys. To decode it twice takes time, to keep them takes gigabytes.
    private const int MostKept = 10_000;

    private readonly List<bool> _keeps = [];
    private readonly List<(ReadOnlyMemory<byte> Key, long Offset)> _keys = [];
    private long _eraseLimit;
    private MarkerJudge? _markers;

    /// <summary>The end of the last record that was removed without a trace since <see cref="Begin"/>; 0 if none was.</summary>
    public long ErasedEnd { get; private set; }

    /// <summary>Begins a new segment.</summary>
    /// <param name="eraseLimit">Tombstones and markers at or above it are kept, even if their time has passed: a follower without the
    /// marker would have its transaction open for ever.</param>
    /// <param name="markers">Decides on markers; null: all are kept.</param>
    public void Begin(long eraseLimit, MarkerJudge? markers)
    {
        (_eraseLimit, _markers, ErasedEnd) = (eraseLimit, markers, 0);
        markers?.BeginGroup();
    }

    /// <summary>Adds the keys of a batch to the map: those that are decoded, whatever the header claims, and only after the whole batch was
    /// decoded. A key that readers can never reach must not supersede one that they can.</summary>
    /// <param name="batch">The batch.</param>
    /// <param name="header">Its header.</param>
    /// <param name="from">Keys of records below it are left out.</param>
    /// <param name="map">The map. A batch that does not fit waits for an empty one. Of one that does not fit there either, as many keys are
    /// added as fit.</param>
    /// <param name="opaque">Null, or why the batch cannot be decoded: then it has no keys.</param>
    /// <returns>Where the keys end that are in the map: the offset after the batch, if all are.</returns>
    public long PutKeys(ReadOnlyMemory<byte> batch, in RecordBatchHeader header, long from, KeyOffsetMap map, out string? opaque)
    {
        _keys.Clear();
        opaque = null;
        var count = 0;
        using var reader = new RecordReader(batch, codecs, verifyCrc: false);
        try
        {
            while (reader.MoveNext())
            {
                if (reader.Current.Offset < from || reader.Current.Key is not { } key)
                    continue;
                if (++count <= MostKept)
                    _keys.Add((key, reader.Current.Offset));
            }
        }
        catch (Exception fault) when (fault is RecordBatchException or CodecUnavailableException)
        {
            opaque = fault.Message;
            return header.NextOffset;
        }
        if (!map.HasRoomFor(count) && map.Count > 0)
            return Math.Max(from, header.BaseOffset);
        if (count <= MostKept)
            return PutKept(map) ?? header.NextOffset;
        reader.Dispose(); // The second one takes as much memory.
        return PutDecodedAgain(batch, from, map) ?? header.NextOffset;
    }

    private long? PutKept(KeyOffsetMap map)
    {
        foreach (var (key, offset) in _keys)
        {
            if (!map.TryPut(key.Span, offset))
                return offset;
        }
        return null;
    }

    private long? PutDecodedAgain(ReadOnlyMemory<byte> batch, long from, KeyOffsetMap map)
    {
        using var reader = new RecordReader(batch, codecs, verifyCrc: false);
        while (reader.MoveNext())
        {
            var record = reader.Current;
            if (record.Offset >= from && record.Key is { } key && !map.TryPut(key.Span, record.Offset))
                return record.Offset;
        }
        return null;
    }

    /// <summary>Cleans one batch and appends the result to <paramref name="destination"/>.</summary>
    /// <param name="batch">Exactly one valid batch.</param>
    /// <param name="header">Its header.</param>
    /// <param name="judge">Decides which records stay.</param>
    /// <param name="last">The last entries of its producer; null if it has none, or the producer is not known any more.</param>
    /// <param name="now">Milliseconds since 1970.</param>
    /// <param name="deleteRetentionMs">The topic's <c>delete.retention.ms</c>.</param>
    /// <param name="destination">Receives one batch, or nothing.</param>
    public BatchFate Clean(ReadOnlyMemory<byte> batch, in RecordBatchHeader header, RecordJudge judge, LastEntries? last, long now,
        long deleteRetentionMs, PooledBuffer destination)
    {
        _markers?.Note(header);
        var keepsAll = judge.KeepsAll(header);
        // The log tells its message ids above what is cleaned.
        if (!keepsAll && DedupeRecord.TryFind(header, batch.Span, out _))
            return BatchFate.Dropped;
        if (!keepsAll && _markers is not null && header is { IsControl: true, HasProducer: true })
            return CleanMarker(batch, header, last, now, deleteRetentionMs, destination);
        var isLastOfProducer = last?.DataOffset == header.LastOffset;
        if (!keepsAll && !header.IsControl && judge.DropsAll(header))
        {
            if (!isLastOfProducer)
                return BatchFate.Dropped;
            if (header.RecordCount > 0)
            {
                RecordBatchRewriter.RetainNone(batch.Span, destination);
                return BatchFate.Emptied;
            }
        }
        if (keepsAll || header.IsControl || Decide(batch, header, judge, now, out var hasTombstone) is not { } kept)
        {
            destination.Write(batch.Span);
            return BatchFate.Kept;
        }
        if (kept == 0 && !isLastOfProducer)
            return BatchFate.Dropped;
        // The first cleaning that finds a tombstone starts the period in which readers can still see it.
        long? horizon = hasTombstone && !header.HasDeleteHorizon ? RecordFates.DeleteHorizon(now, deleteRetentionMs) : null;
        if (kept == header.RecordCount && horizon is null)
        {
            destination.Write(batch.Span);
            return BatchFate.Kept;
        }
        var next = 0;
        RecordBatchRewriter.Retain(batch, (in Record _) => _keeps[next++], codecs, destination, horizon);
        return kept == 0 ? BatchFate.Emptied : BatchFate.Rewritten;
    }

    private BatchFate CleanMarker(ReadOnlyMemory<byte> batch, in RecordBatchHeader header, LastEntries? last, long now,
        long deleteRetentionMs, PooledBuffer destination)
    {
        var fate = _markers!.Decide(header, batch.Span, last, now);
        if (fate == MarkerFate.Drop && header.NextOffset <= _eraseLimit)
        {
            ErasedEnd = Math.Max(ErasedEnd, header.NextOffset);
            return BatchFate.Dropped;
        }
        if (fate == MarkerFate.SetHorizon)
        {
            RecordBatchRewriter.Retain(batch, static (in Record _) => true, codecs, destination,
                RecordFates.DeleteHorizon(now, deleteRetentionMs));
            return BatchFate.Rewritten;
        }
        destination.Write(batch.Span);
        return BatchFate.Kept;
    }

    /// <summary>Returns how many records are kept; null if the batch cannot be decoded.</summary>
    private int? Decide(ReadOnlyMemory<byte> batch, in RecordBatchHeader header, RecordJudge judge, long now, out bool hasTombstone)
    {
        _keeps.Clear();
        hasTombstone = false;
        var kept = 0;
        long? horizon = header.HasDeleteHorizon ? header.BaseTimestamp : null;
        using var reader = new RecordReader(batch, codecs, verifyCrc: false);
        try
        {
            while (reader.MoveNext())
            {
                var record = reader.Current;
                var fate = judge.Decide(record, horizon, now);
                if (fate == RecordFate.ExpiredTombstone && record.Offset >= _eraseLimit)
                    fate = RecordFate.Keep;
                if (fate == RecordFate.ExpiredTombstone)
                    ErasedEnd = Math.Max(ErasedEnd, record.Offset + 1);
                var keep = fate == RecordFate.Keep;
                _keeps.Add(keep);
                if (!keep)
                    continue;
                kept++;
                hasTombstone |= judge.IsTombstone(record);
            }
            return kept;
        }
        catch (Exception fault) when (fault is RecordBatchException or CodecUnavailableException)
        {
            return null;
        }
    }
}
