using System.Buffers;
using OrleansMq.Api;
using OrleansMq.Log;
using OrleansMq.Partitions;
using OrleansMq.Queues;
using OrleansMq.Records;

namespace OrleansMq.Shares;

/// <summary>Reads the whole batches that hold acquired records.</summary>
internal static class AcquiredBatches
{
    private const int BytesAtOnce = 1 << 20;

    /// <summary>Reads batches until there are enough bytes; the first is read whatever its size.</summary>
    /// <param name="partition">The partition.</param>
    /// <param name="wanted">The records, by offset.</param>
    /// <param name="maxBytes">The bytes at which no further batch is read.</param>
    /// <param name="isCommitted">Whether the records of aborted transactions are none. Those at or above the last stable offset are not
    /// read: they were acquired before the group's configuration was changed.</param>
    /// <param name="weight">The size of records, which tells how much is read at once; it learns from what was read.</param>
    /// <param name="batches">Receives the batches, in parts; the caller disposes them.</param>
    /// <param name="naturals">Receives the offsets without a record, as far as batches tell.</param>
    /// <returns>How many of the records were found, or have none; and the last offset of the last batch, -1 without batches.</returns>
    public static (int Found, long Through) Read(Partition partition, IReadOnlyList<DeliveredRecord> wanted, int maxBytes,
        bool isCommitted, RecordWeight weight, List<FetchResult> batches, List<OffsetRange> naturals)
    {
        var (next, bytes, through) = (0, 0L, -1L);
        var log = partition.Log!;
        while (next < wanted.Count && (bytes == 0 || bytes < maxBytes))
        {
            var from = wanted[next].Offset;
            var end = isCommitted ? partition.LastStableOffset : partition.HighWatermark;
            if (isCommitted && from >= end && from < partition.HighWatermark)
                break;
            var run = RunAt(wanted, next);
            var atOnce = run == 1 ? 1 : (int)Math.Min(weight.BytesOf(run), Math.Clamp(maxBytes - bytes, 1, BytesAtOnce));
            var aborted = AbortedRecords.None;
            var read = from < log.LogStartOffset ? null
                : isCommitted ? log.Read(from, end, atOnce, out aborted)
                : log.Read(from, end, atOnce);
            if (read is not { } buffer)
            {
                naturals.Add(OffsetRange.Of(from));
                next++;
                continue;
            }
            var parts = PartsOf(buffer.Memory.Span, aborted, wanted, ref next, ref through, weight, naturals);
            // No batch is at the offset, nor before the next one.
            if (next < wanted.Count && wanted[next].Offset == from)
                naturals.Add(OffsetRange.Of(wanted[next++].Offset));
            if (parts.Count == 0)
            {
                buffer.Dispose();
                continue;
            }
            var owner = new SharedBuffer(buffer, parts.Count);
            foreach (var part in parts)
            {
                bytes += part.GetOffsetAndLength(buffer.Memory.Length).Length;
                batches.Add(new FetchResult(ErrorCode.None, partition.HighWatermark, partition.LastStableOffset, partition.LogStartOffset,
                    buffer.Memory[part], owner));
            }
        }
        return (next, through);
    }

    // The number of records that follow each other.
    private static int RunAt(IReadOnlyList<DeliveredRecord> wanted, int first)
    {
        var end = first + 1;
        while (end < wanted.Count && wanted[end].Offset == wanted[end - 1].Offset + 1)
            end++;
        return end - first;
    }

    private static List<Range> PartsOf(ReadOnlySpan<byte> batches, AbortedRecords aborted, IReadOnlyList<DeliveredRecord> wanted,
        ref int next, ref long through, RecordWeight weight, List<OffsetRange> naturals)
    {
        var parts = new List<Range>();
        var (bytes, records) = (0L, 0L);
        for (var position = 0; position < batches.Length && next < wanted.Count;)
        {
            var header = RecordBatchHeader.Read(batches[position..]);
            var end = position + header.SizeInBytes;
            var hasRecords = !header.IsControl && header.RecordCount > 0 && !aborted.Has(header);
            var isWanted = false;
            for (; next < wanted.Count && wanted[next].Offset <= header.LastOffset; next++)
            {
                if (hasRecords && wanted[next].Offset >= header.BaseOffset)
                    isWanted = true;
                else
                    naturals.Add(OffsetRange.Of(wanted[next].Offset));
            }
            if (isWanted)
                (bytes, records, through) = (bytes + header.SizeInBytes, records + header.RecordCount, header.LastOffset);
            if (isWanted && parts.Count > 0 && parts[^1].End.Value == position)
                parts[^1] = parts[^1].Start..end;
            else if (isWanted)
                parts.Add(position..end);
            position = end;
        }
        weight.Learn(bytes, records);
        return parts;
    }

    /// <summary>Memory of several results; released with the last.</summary>
    private sealed class SharedBuffer(BatchBuffer buffer, int holders) : IMemoryOwner<byte>
    {
        private int _holders = holders;

        public Memory<byte> Memory => buffer.Memory;

        public void Dispose()
        {
            if (Interlocked.Decrement(ref _holders) == 0)
                buffer.Dispose();
        }
    }
}
