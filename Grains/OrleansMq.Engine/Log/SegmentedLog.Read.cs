using System.Buffers;
using OrleansMq.Diagnostics;
using OrleansMq.Records;
using OrleansMq.Storage;

namespace OrleansMq.Log;

/// <summary>Whole batches, in pooled memory that the holder releases.</summary>
internal sealed class BatchBuffer(byte[] bytes, int length, long nextOffset) : IMemoryOwner<byte>
{
    private byte[]? _bytes = bytes;

    /// <summary>The offset after the last batch.</summary>
    public long NextOffset { get; } = nextOffset;

    /// <summary>The batches.</summary>
    public Memory<byte> Memory => _bytes is null ? default : _bytes.AsMemory(0, length);

    /// <inheritdoc/>
    public void Dispose()
    {
        if (Interlocked.Exchange(ref _bytes, null) is { } taken)
            ArrayPool<byte>.Shared.Return(taken);
    }
}

// Reading takes no lock: a concurrently removed segment is detected by its missing file, and the search starts again.
internal sealed partial class SegmentedLog
{
    // Smaller reads copy at once: finding the end of a slice would cost as much.
    private const int MinSliceBytes = 32 << 10;

    // One rebuild at a time; concurrent readers find an index with fewer entries, which also works.
    private readonly Lock _rebuildLock = new();

    /// <summary>
    /// Reads whole batches of one segment, beginning with the one that holds <paramref name="offset"/> (or the first after it), all below
    /// <paramref name="limit"/>.
    /// </summary>
    /// <param name="offset">At or above the log start offset.</param>
    /// <param name="limit">The first offset not to be read; a batch boundary.</param>
    /// <param name="maxBytes">The most bytes, although always at least one batch.</param>
    /// <returns>Null if there is nothing below the limit.</returns>
    /// <exception cref="DamagedLogException">The file differs from what was written.</exception>
    public BatchBuffer? Read(long offset, long limit, int maxBytes) => Read(offset, limit, maxBytes, allowsSlice: false).Batches;

    /// <summary>
    /// Reads likewise, or returns the place of the batches, if they are large enough, in memory, and verified by this process.
    /// </summary>
    public (BatchBuffer? Batches, LogSlice? Slice) ReadOrSlice(long offset, long limit, int maxBytes) =>
        Read(offset, limit, maxBytes, allowsSlice: true);

    private (BatchBuffer? Batches, LogSlice? Slice) Read(long offset, long limit, int maxBytes, bool allowsSlice)
    {
        while (true)
        {
            var segments = _segments;
            var index = FindSegment(segments, offset);
            try
            {
                for (; index < segments.Length && segments[index].BaseOffset < limit; index++)
                {
                    if (TryFindBatch(segments[index], offset, out var position, out var first))
                    {
                        if (first.BaseOffset >= limit)
                            return default;
                        return allowsSlice && TrySlice(segments[index], position, first, limit, maxBytes) is { } slice
                            ? (null, slice)
                            : (ReadFrom(segments[index], position, first, limit, maxBytes), null);
                    }
                    ThrowIfLost(segments[index], offset);
                }
                return default;
            }
            catch (FileNotFoundException) when (segments[index].IsRemoved)
            {
                // Retention or compaction removed the segment after the list was read; the new list has the rest.
            }
        }
    }

    /// <summary>
    /// Throws if a segment lacks an offset below the next segment's base. Compaction makes such gaps; otherwise records were lost.
    /// </summary>
    private void ThrowIfLost(Segment segment, long offset)
    {
        if (IsGapless && offset >= segment.BaseOffset && offset < segment.NextOffset)
            throw new DamagedLogException(segment.Log.Path, segment.Size, offset,
                $"the file ends before offset {segment.NextOffset}, where the next segment begins");
    }

    /// <summary>Finds the first batch that ends at or after an offset; a wrong index is rebuilt.</summary>
    private bool TryFindBatch(Segment segment, long offset, out long position, out RecordBatchHeader header)
    {
        if (segment.TryFollowMark(offset, out position, out header))
            return true;
        var search = segment.FindBatch(offset, useIndex: true, IsGapless, out position, out header);
        if (search == BatchSearch.IndexWrong)
        {
            RebuildIndexes(segment);
            search = segment.FindBatch(offset, useIndex: false, IsGapless, out position, out header);
        }
        return search == BatchSearch.Found;
    }

    private void RebuildIndexes(Segment segment)
    {
        // The append loop owns the active segment's index; the next start repairs it.
        if (ReferenceEquals(segment, Active))
            return;
        lock (_rebuildLock)
        {
            // A truncation may have made it the active one meanwhile, or removed it.
            if (ReferenceEquals(segment, Active) || segment.IsRemoved)
                return;
            _ports.EngineLog.Write(EngineLogLevel.Warning, $"The indexes of '{segment.Log.Path}' do not match the log; rebuilding them.");
            IndexRebuild.Rebuild(_ports.Files, segment, segment.Size, _config.IndexIntervalBytes);
        }
    }

    private LogSlice? TrySlice(Segment segment, long position, in RecordBatchHeader first, long limit, int maxBytes)
    {
        var size = segment.Size;
        if (!IsGapless || Math.Min(maxBytes, size - position) < MinSliceBytes)
            return null;
        var lease = segment.Log.Rent();
        LogSlice? slice = null;
        try
        {
            var end = segment.FindEnd(lease.File, position, first, limit, Math.Min(size, position + maxBytes), out var nextOffset);
            if (end - position >= MinSliceBytes && IsKnownWhole(segment, lease.File, position, end))
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

    /// <summary>Whether a range needs no CRC check: this process wrote or verified it, and as far as the system tells it has been in memory
    /// since.</summary>
    private bool IsKnownWhole(Segment segment, IFile file, long position, long end) =>
        (!_ports.VerifyOnRead || segment.IsVerified(position, end)) && file.IsInMemory(position, end - position);

    private BatchBuffer? ReadFrom(Segment segment, long position, in RecordBatchHeader first, long limit, int maxBytes)
    {
        var wanted = (int)Math.Min(Math.Max(maxBytes, first.SizeInBytes), segment.Size - position);
        var bytes = ArrayPool<byte>.Shared.Rent(wanted);
        try
        {
            int read;
            bool verify;
            using (var lease = segment.Log.Rent())
            {
                // Asking the system costs as much as a CRC over some tens of KiB.
                verify = _ports.VerifyOnRead && (wanted < MinSliceBytes || !IsKnownWhole(segment, lease.File, position, position + wanted));
                read = lease.File.Read(bytes.AsSpan(0, wanted), position);
            }
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
            segment.ThrowIfOutOfPlace(header, position + length, nextOffset, segment.NextOffset, IsGapless);
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
