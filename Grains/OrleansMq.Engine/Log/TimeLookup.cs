using OrleansMq.Diagnostics;
using OrleansMq.Records;

namespace OrleansMq.Log;

/// <summary>A record that was found by its time.</summary>
internal readonly record struct FoundRecord(long Offset, long Timestamp, int LeaderEpoch);

/// <summary>
/// Finds records by time: the time index gives an offset, the offset index a position, headers the batch, and the batch the record. Takes
/// no lock; see <see cref="LogReader"/>.
/// </summary>
internal sealed class TimeLookup(LogParts log, LogReader reader, IndexRepair repair)
{
    /// <summary>Finds the first record below <paramref name="limit"/> with at least that timestamp; null if there is none.</summary>
    /// <exception cref="DamagedLogException">The file differs from what was written.</exception>
    /// <exception cref="CodecUnavailableException">The batch's codec is not available.</exception>
    /// <exception cref="RecordBatchException"><see cref="RecordBatchError.Busy"/>: a large batch has to be decompressed.</exception>
    public FoundRecord? FindAtOrAfter(long timestamp, long limit)
    {
        while (true)
        {
            var segments = log.Segments.All;
            var index = SegmentList.Find(segments, log.Points.LogStartOffset);
            try
            {
                for (; index < segments.Length && segments[index].BaseOffset < limit; index++)
                {
                    if (segments[index].MaxTimestamp >= timestamp && FindIn(segments[index], timestamp, limit) is { } found)
                        return found;
                }
                return null;
            }
            catch (FileNotFoundException) when (segments[index].IsRemoved)
            {
                // Retention or compaction removed the segment after the array was taken; the new array has the rest.
            }
        }
    }

    /// <summary>Finds the first of the records with the largest timestamp; null if there is none.</summary>
    /// <exception cref="DamagedLogException">The file differs from what was written.</exception>
    /// <exception cref="CodecUnavailableException">The batch's codec is not available.</exception>
    /// <exception cref="RecordBatchException"><see cref="RecordBatchError.Busy"/>: a large batch has to be decompressed.</exception>
    public FoundRecord? FindMaxTimestamp(long limit)
    {
        var largest = LargestTimestamp(limit, ofRecords: false);
        if (largest < 0)
            return null;
        if (FindAtOrAfter(largest, limit) is { } found)
            return found;
        // The headers of batches that compaction has emptied, and time indexes, still have the timestamps of records that are gone.
        largest = LargestTimestamp(limit, ofRecords: true);
        return largest < 0 ? null : FindAtOrAfter(largest, limit);
    }

    private long LargestTimestamp(long limit, bool ofRecords)
    {
        var largest = -1L;
        var segments = log.Segments.All;
        var start = log.Points.LogStartOffset;
        for (var index = SegmentList.Find(segments, start); index < segments.Length && segments[index].BaseOffset < limit; index++)
        {
            var segment = segments[index];
            try
            {
                // The segment's largest timestamp may be that of a record that was deleted or is not visible yet.
                var whole = !ofRecords && segment.BaseOffset >= start && segment.NextOffset <= limit;
                largest = Math.Max(largest, whole ? segment.MaxTimestamp : FindMaxTimestampIn(segment, start, limit, ofRecords));
            }
            catch (FileNotFoundException) when (segment.IsRemoved)
            {
                // Its records are below the log start offset by now, or in the segment that replaced it.
            }
        }
        return largest;
    }

    private long FindMaxTimestampIn(Segment segment, long start, long limit, bool ofRecords)
    {
        var largest = -1L;
        if (!reader.TryFindBatch(segment, start, out var from, out _))
            return largest;
        Span<byte> buffer = stackalloc byte[BatchWalker.BufferBytes];
        using var lease = segment.Log.Rent();
        var walker = new BatchWalker(lease.File, from, segment.Size, buffer);
        while (walker.TryMoveNext() && walker.Header.BaseOffset < limit)
        {
            if (walker.Header.MaxTimestamp <= largest)
                continue;
            largest = !ofRecords && walker.Header.BaseOffset >= start ? walker.Header.MaxTimestamp
                : Math.Max(largest, FindMaxTimestampOf(segment, walker.Position, walker.Header, start, limit));
        }
        return largest;
    }

    private long FindMaxTimestampOf(Segment segment, long position, in RecordBatchHeader header, long start, long limit)
    {
        using var batch = reader.Copy(segment, position, header, limit, header.SizeInBytes);
        if (batch is null)
            return -1;
        var largest = -1L;
        try
        {
            using var records = new RecordReader(batch.Memory, log.Ports.Codecs, verifyCrc: false, takesTurns: true);
            while (records.MoveNext())
            {
                if (records.Current.Offset >= start)
                    largest = Math.Max(largest, records.Current.Timestamp);
            }
            return largest;
        }
        catch (RecordBatchException fault) when (fault.Error != RecordBatchError.Busy)
        {
            return header.MaxTimestamp; // As the search by time treats a batch that cannot be decoded.
        }
    }

    private FoundRecord? FindIn(Segment segment, long timestamp, long limit)
    {
        var start = log.Points.LogStartOffset;
        if (!reader.TryFindBatch(segment, Math.Max(FindOffsetByTime(segment, timestamp), start), out var from, out _))
            return null;
        Span<byte> buffer = stackalloc byte[BatchWalker.BufferBytes];
        using var lease = segment.Log.Rent();
        var walker = new BatchWalker(lease.File, from, segment.Size, buffer);
        while (walker.TryMoveNext() && walker.Header.BaseOffset < limit)
        {
            if (walker.Header.MaxTimestamp < timestamp || walker.Header.LastOffset < start)
                continue;
            var batch = reader.Copy(segment, walker.Position, walker.Header, limit, walker.Header.SizeInBytes);
            using (batch)
            {
                if (batch is not null && FindRecord(segment, walker.Position, batch.Memory, timestamp, start) is { } found)
                    return found;
            }
        }
        return null;
    }

    /// <summary>Returns an offset before which no record of the segment is as late as <paramref name="timestamp"/>.</summary>
    private long FindOffsetByTime(Segment segment, long timestamp)
    {
        if (!segment.TimeIndex.TryFind(timestamp, out var entryTime, out var lastOffset))
            return segment.BaseOffset;
        if (reader.TryFindBatch(segment, lastOffset, out _, out var batch)
            && batch.LastOffset == lastOffset && batch.MaxTimestamp == entryTime)
            return lastOffset;
        repair.Rebuild(segment);
        return segment.BaseOffset;
    }

    private FoundRecord? FindRecord(Segment segment, long position, ReadOnlyMemory<byte> batch, long timestamp, long start)
    {
        try
        {
            using var records = new RecordReader(batch, log.Ports.Codecs, verifyCrc: false, takesTurns: true);
            while (records.MoveNext())
            {
                var record = records.Current;
                if (record.Timestamp >= timestamp && record.Offset >= start)
                    return new FoundRecord(record.Offset, record.Timestamp, records.Batch.PartitionLeaderEpoch);
            }
            return null;
        }
        catch (RecordBatchException exception) when (exception.Error != RecordBatchError.Busy)
        {
            // Its CRC is correct: the producer sent it so. It counts as a record at the batch's start.
            log.Ports.EngineLog.Write(EngineLogLevel.Warning,
                $"The batch at byte {position} of '{segment.Log.Path}' cannot be decoded: {exception.Message}", exception);
            var header = RecordBatchHeader.Read(batch.Span);
            return new FoundRecord(Math.Max(header.BaseOffset, start), header.MaxTimestamp, header.PartitionLeaderEpoch);
        }
    }
}
