using System.Buffers;
using OrleansMq.Diagnostics;
using OrleansMq.Records;
using OrleansMq.Storage;

namespace OrleansMq.Log;

/// <summary>Whole batches, in memory from a pool that whoever holds this gives back.</summary>
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

// Reading takes no lock: a segment that was removed meanwhile is noticed by its missing file, and the search starts again.
internal sealed partial class SegmentedLog
{
    // What is smaller is read at once: finding where a slice ends would cost as much.
    private const int MinSliceBytes = 32 << 10;

    // One rebuild at a time; readers that come meanwhile find an index with fewer entries, which is as good.
    private readonly Lock _rebuildLock = new();

    /// <summary>
    /// Reads whole batches from the one that holds <paramref name="offset"/> (or the first after it) on, all below
    /// <paramref name="limit"/>, of
    /// one segment.
    /// </summary>
    /// <param name="offset">At or above the log start offset.</param>
    /// <param name="limit">The first offset not to be read; a batch boundary.</param>
    /// <param name="maxBytes">At most so many bytes, but always at least one batch.</param>
    /// <returns>Null when there is nothing below the limit.</returns>
    /// <exception cref="DamagedLogException">What is in the file is not what was written.</exception>
    public BatchBuffer? Read(long offset, long limit, int maxBytes) => Read(offset, limit, maxBytes, allowsSlice: false).Batches;

    /// <summary>
    /// The same, or where the batches are: if there are some, in memory, and this process knows them to be whole.
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
                // Retention or compaction took the segment away after the list was read: the new list has what is left.
            }
        }
    }

    /// <summary>
    /// A segment without an offset that lies below the next segment's base: compaction makes such gaps, or somebody took the records away.
    /// </summary>
    private void ThrowIfLost(Segment segment, long offset)
    {
        if (IsGapless && offset >= segment.BaseOffset && offset < segment.NextOffset)
            throw new DamagedLogException(segment.Log.Path, segment.Size, offset,
                $"the file ends before offset {segment.NextOffset}, where the next segment begins");
    }

    /// <summary>Finds the first batch that ends at or after an offset; an index that leads astray is made anew.</summary>
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
        // The active segment's index is the append loop's, and is read back into order by the next start.
        if (ReferenceEquals(segment, Active))
            return;
        lock (_rebuildLock)
        {
            // A cut may have made it the active one meanwhile, or taken it away.
            if (ReferenceEquals(segment, Active) || segment.IsRemoved)
                return;
            _ports.Log.Write(EngineLogLevel.Warning, $"The indexes of '{segment.Log.Path}' do not agree with the log; they are made anew.");
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

    /// <summary>Whether a range needs no look at its CRCs: this process wrote it or has looked, and it has not been read from the disk
    /// anew, so far as the system tells.</summary>
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
                // To ask the system costs as much as some tens of KiB of CRC.
                verify = _ports.VerifyOnRead && (wanted < MinSliceBytes || !IsKnownWhole(segment, lease.File, position, position + wanted));
                read = lease.File.Read(bytes.AsSpan(0, wanted), position);
            }
            if (read < wanted)
                throw new DamagedLogException(segment.Log.Path, position + read, first.BaseOffset, "the file ends before its time");
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

    /// <summary>How many of the bytes are whole batches below the limit.</summary>
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
