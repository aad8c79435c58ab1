using System.Buffers;
using OrleansMq.Records;

namespace OrleansMq.Log;

/// <summary>
/// Reads a log by offset. A read takes no lock: it takes the array of segments, and starts again if one of them was removed meanwhile.
/// </summary>
/// <remarks>
/// The steps of a read: find the segment, then the first batch (by the mark of an earlier read, or by the index). A large range that is in
/// memory and known to be whole is returned as a <see cref="LogSlice"/>. Anything else is copied, and its CRCs are checked.
/// <para>Pages count as verified as long as they stay in memory. So the system is asked before the search, which brings pages back
/// itself. A range that was evicted, and what the system may read ahead of it, is verified again. Not noticed are pages that others bring
/// back: small reads, searches by time, and other programs.</para>
/// </remarks>
internal sealed class LogReader(LogParts log, IndexRepair repair)
{
    // Smaller reads copy at once: finding the end of a slice would cost as much.
    private const int MinSliceBytes = 32 << 10;

    // The search may pass an index interval and a batch before it finds the first one. If it passes more, the batches are copied.
    private const int SearchBytes = 64 << 10;

    private readonly SegmentList _segments = log.Segments;
    private readonly LogGaps _gaps = log.Gaps;
    private readonly bool _verifyOnRead = log.Ports.VerifyOnRead;

    /// <summary>
    /// Reads whole batches of one segment, beginning with the one that holds <paramref name="offset"/> (or the first after it), all below
    /// <paramref name="limit"/>.
    /// </summary>
    /// <param name="offset">At or above the log start offset.</param>
    /// <param name="limit">The first offset not to be read; a batch boundary.</param>
    /// <param name="maxBytes">The most bytes, although always at least one batch.</param>
    /// <param name="allowsSlice">Whether to return the position of the batches instead, if they are large enough, in memory, and verified
    /// by this process.</param>
    /// <returns>Both null if there is nothing below the limit.</returns>
    /// <exception cref="DamagedLogException">The file differs from what was written.</exception>
    public (BatchBuffer? Batches, LogSlice? Slice) Read(long offset, long limit, int maxBytes, bool allowsSlice)
    {
        while (true)
        {
            var segments = _segments.All;
            var index = SegmentList.Find(segments, offset);
            try
            {
                for (; index < segments.Length && segments[index].BaseOffset < limit; index++)
                {
                    var inMemoryTo = FindEndInMemory(segments[index], offset, maxBytes);
                    if (TryFindBatch(segments[index], offset, out var position, out var first))
                    {
                        if (first.BaseOffset >= limit)
                            return default;
                        return allowsSlice && TrySlice(segments[index], position, first, limit, maxBytes, inMemoryTo) is { } slice
                            ? (null, slice)
                            : (Copy(segments[index], position, first, limit, maxBytes, inMemoryTo), null);
                    }
                    ThrowIfLost(segments[index], offset);
                }
                return default;
            }
            catch (FileNotFoundException) when (segments[index].IsRemoved)
            {
                // Retention or compaction removed the segment after the array was taken; the new array has the rest.
            }
        }
    }

    /// <summary>Finds the first batch that ends at or after an offset. Rebuilds a wrong index.</summary>
    public bool TryFindBatch(Segment segment, long offset, out long position, out RecordBatchHeader header)
    {
        if (segment.TryFollowMark(offset, out position, out header))
            return true;
        var search = segment.FindBatch(offset, useIndex: true, _gaps.IsGapless, out position, out header);
        if (search == BatchSearch.IndexWrong)
        {
            repair.Rebuild(segment);
            search = segment.FindBatch(offset, useIndex: false, _gaps.IsGapless, out position, out header);
        }
        return search == BatchSearch.Found;
    }

    /// <summary>Copies whole batches, beginning with <paramref name="first"/>, and checks their CRCs unless the range is known to be
    /// whole.</summary>
    /// <param name="segment">The segment.</param>
    /// <param name="position">The position of <paramref name="first"/>.</param>
    /// <param name="first">The first batch's header.</param>
    /// <param name="limit">The first offset not to be read; a batch boundary.</param>
    /// <param name="maxBytes">The most bytes, although always at least one batch.</param>
    /// <param name="inMemoryTo">The end of the range that was in memory before the batch was searched for.</param>
    /// <returns>Null if no batch is below the limit.</returns>
    /// <exception cref="DamagedLogException">The file differs from what was written.</exception>
    public BatchBuffer? Copy(Segment segment, long position, in RecordBatchHeader first, long limit, int maxBytes, long inMemoryTo = 0)
    {
        var left = segment.Size - position;
        if (left < first.SizeInBytes)
            throw new DamagedLogException(segment.Log.Path, position, first.BaseOffset, "the log was cut within the batch");
        var wanted = (int)Math.Min(Math.Max(maxBytes, first.SizeInBytes), left);
        var bytes = ArrayPool<byte>.Shared.Rent(wanted);
        try
        {
            var verify = !IsKnownWhole(segment, position, position + wanted, inMemoryTo);
            int read;
            using (var lease = segment.Log.Rent())
                read = lease.File.Read(bytes.AsSpan(0, wanted), position);
            if (read < wanted)
                throw new DamagedLogException(segment.Log.Path, position + read, first.BaseOffset, "the file ends too early");
            var length = CheckBatches(segment, bytes.AsSpan(0, read), position, first.BaseOffset, limit, verify, out var nextOffset);
            if (length > 0)
            {
                if (verify)
                    segment.Verified(position, position + length);
                segment.Marks.Add(nextOffset, position + length);
                var result = new BatchBuffer(bytes, length, nextOffset);
                bytes = null;
                return result;
            }
            return null;
        }
        finally
        {
            if (bytes is not null)
                ArrayPool<byte>.Shared.Return(bytes);
        }
    }

    // Compaction makes such gaps; otherwise records were lost.
    private void ThrowIfLost(Segment segment, long offset)
    {
        if (_gaps.IsGapless && offset >= segment.BaseOffset && offset < segment.NextOffset)
            throw new DamagedLogException(segment.Log.Path, segment.Size, offset,
                $"the file ends before offset {segment.NextOffset}, where the next segment begins");
    }

    private LogSlice? TrySlice(Segment segment, long position, in RecordBatchHeader first, long limit, int maxBytes, long inMemoryTo)
    {
        if (!_gaps.IsGapless || Math.Min(maxBytes, inMemoryTo - position) < MinSliceBytes)
            return null;
        var lease = segment.Log.Rent();
        LogSlice? slice = null;
        try
        {
            var end = segment.FindEnd(lease.File, position, first, limit, Math.Min(inMemoryTo, position + maxBytes), out var nextOffset);
            if (end - position >= MinSliceBytes && IsKnownWhole(segment, position, end, inMemoryTo))
            {
                segment.Marks.Add(nextOffset, end);
                slice = new LogSlice(lease, position, (int)(end - position), first.BaseOffset, nextOffset);
            }
            return slice;
        }
        finally
        {
            if (slice is null)
                lease.Dispose();
        }
    }

    // This process wrote or verified the range, and as far as the system tells it has been in memory since.
    private bool IsKnownWhole(Segment segment, long position, long end, long inMemoryTo) =>
        !_verifyOnRead || (end <= inMemoryTo && segment.IsVerified(position, end));

    /// <summary>Asks the system, before anything is read, whether the bytes that a read will search and return are in memory.</summary>
    /// <returns>The end of the range; 0 if it is not in memory, or too small: asking costs as much as a CRC over some tens of
    /// KiB.</returns>
    private static long FindEndInMemory(Segment segment, long offset, int maxBytes)
    {
        var size = segment.Size;
        if (Math.Min(maxBytes, size) < MinSliceBytes)
            return 0;
        var from = segment.FindSearchStart(offset);
        if (size - from < MinSliceBytes)
            return 0;
        var to = Math.Min(size, from + maxBytes + SearchBytes);
        using var lease = segment.Log.Rent();
        if (lease.File.IsInMemory(from, to - from))
            return to;
        segment.Evicted(from, to);
        return 0;
    }

    /// <summary>Returns how many of the bytes are whole batches below the limit.</summary>
    private int CheckBatches(Segment segment, ReadOnlySpan<byte> bytes, long position, long expectedOffset, long limit, bool verify,
        out long nextOffset)
    {
        var length = 0;
        nextOffset = expectedOffset;
        while (bytes.Length - length >= RecordBatchHeader.Size)
        {
            var rest = bytes[length..];
            var header = RecordBatchHeader.Read(rest);
            if (header.Magic != RecordBatches.Magic || header.LastOffsetDelta < 0
                || header.Length is < RecordBatchHeader.Size - RecordBatchHeader.Overhead or > int.MaxValue - RecordBatchHeader.Overhead)
                throw new DamagedLogException(segment.Log.Path, position + length, nextOffset, "no record batch begins there");
            if (header.BaseOffset == nextOffset && nextOffset >= limit)
                break;
            segment.ThrowIfOutOfPlace(header, position + length, nextOffset, segment.NextOffset, _gaps.IsGapless);
            if (header.BaseOffset >= limit || header.SizeInBytes > rest.Length)
                break;
            if (verify && Crc32C.Compute(rest[RecordBatchHeader.CrcStart..header.SizeInBytes]) != header.Crc)
                throw new DamagedLogException(segment.Log.Path, position + length, header.BaseOffset, "the batch's CRC does not match");
            length += header.SizeInBytes;
            nextOffset = header.NextOffset;
        }
        return length;
    }
}
