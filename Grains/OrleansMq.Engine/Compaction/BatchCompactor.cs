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
    /// <summary>Written without records, since it is the last batch of its producer.</summary>
    Emptied = 3,
    /// <summary>Removed.</summary>
    Dropped = 4,
}

/// <summary>
/// Cleans single batches. Base offset, last offset delta, leader epoch, producer fields and codec are unchanged; each record keeps its
/// offset, timestamp, headers and bytes. A batch that cannot be decoded (written before the topic was compacted, or with an unavailable
/// codec) is kept as it is, and its keys are ignored. Not thread-safe.
/// </summary>
/// <param name="codecs">The codecs for compressed batches.</param>
internal sealed class BatchCompactor(CompressionCodecs codecs)
{
    private readonly List<bool> _keeps = [];
    private readonly List<(ReadOnlyMemory<byte> Key, long Offset)> _keys = [];
    private long _eraseLimit;

    /// <summary>The end of the last record that was removed without a trace since <see cref="Begin"/>; 0 if none was.</summary>
    public long ErasedEnd { get; private set; }

    /// <summary>Begins a new segment.</summary>
    /// <param name="eraseLimit">Tombstones at or above it are kept, even if their time has passed.</param>
    public void Begin(long eraseLimit) => (_eraseLimit, ErasedEnd) = (eraseLimit, 0);

    /// <summary>Adds the keys of a batch to the map. It needs room for those that are decoded, whatever the header claims.</summary>
    /// <param name="batch">The batch.</param>
    /// <param name="map">The map. It grows beyond its limit for a batch that does not fit even an empty one.</param>
    /// <param name="opaque">Null, or why the batch cannot be decoded: then it has no keys.</param>
    /// <returns>False, with nothing added, if the map has no room.</returns>
    public bool TryPutKeys(ReadOnlyMemory<byte> batch, KeyOffsetMap map, out string? opaque)
    {
        _keys.Clear();
        opaque = null;
        using var reader = new RecordReader(batch, codecs, verifyCrc: false);
        try
        {
            while (reader.MoveNext())
            {
                if (reader.Current.Key is { } key)
                    _keys.Add((key, reader.Current.Offset));
            }
        }
        catch (Exception fault) when (fault is RecordBatchException or CodecUnavailableException)
        {
            opaque = fault.Message;
            return true;
        }
        if (!map.HasRoomFor(_keys.Count) && map.Count > 0)
            return false;
        map.GrowFor(_keys.Count);
        // Only after the whole batch was decoded: a key that readers can never reach must not supersede one that they can.
        foreach (var (key, offset) in _keys)
            map.Put(key.Span, offset);
        return true;
    }

    /// <summary>Cleans one batch and appends the result to <paramref name="destination"/>.</summary>
    /// <param name="batch">Exactly one valid batch, below the end of the range that <paramref name="map"/> covers.</param>
    /// <param name="header">Its header.</param>
    /// <param name="map">The latest offset of each key in the dirty part.</param>
    /// <param name="isLastOfProducer">Whether its producer is still known and this is its latest batch.</param>
    /// <param name="now">Milliseconds since 1970.</param>
    /// <param name="deleteRetentionMs">The topic's <c>delete.retention.ms</c>.</param>
    /// <param name="destination">Receives one batch, or nothing.</param>
    public BatchFate Clean(ReadOnlyMemory<byte> batch, in RecordBatchHeader header, KeyOffsetMap map, bool isLastOfProducer, long now,
        long deleteRetentionMs, PooledBuffer destination)
    {
        if (header.IsControl || Decide(batch, header, map, now, out var hasTombstone) is not { } kept)
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

    /// <summary>Returns how many records are kept; null if the batch cannot be decoded.</summary>
    private int? Decide(ReadOnlyMemory<byte> batch, in RecordBatchHeader header, KeyOffsetMap map, long now, out bool hasTombstone)
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
                var latest = record.Key is { } key ? map.LatestOffsetOf(key.Span) : -1;
                var fate = RecordFates.Decide(record.Offset, record.Key is not null, record.Value is not null, latest, horizon, now);
                if (fate == RecordFate.ExpiredTombstone && record.Offset >= _eraseLimit)
                    fate = RecordFate.Keep;
                if (fate == RecordFate.ExpiredTombstone)
                    ErasedEnd = Math.Max(ErasedEnd, record.Offset + 1);
                var keep = fate == RecordFate.Keep;
                _keeps.Add(keep);
                if (!keep)
                    continue;
                kept++;
                hasTombstone |= record.Value is null;
            }
            return kept;
        }
        catch (Exception fault) when (fault is RecordBatchException or CodecUnavailableException)
        {
            return null;
        }
    }
}
