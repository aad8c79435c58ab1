using System.Runtime.InteropServices;
using OrleansMq.Queues;
using OrleansMq.Records;

namespace OrleansMq.Partitions.Cursors;

/// <summary>A record that a consumer received.</summary>
/// <param name="Record">The record; valid until its <see cref="ReceivedRecords"/> are disposed.</param>
/// <param name="Counts">Its counts, with this delivery.</param>
/// <param name="IsRedelivered">Whether it may have been delivered before.</param>
internal readonly record struct ReceivedRecord(Record Record, DeliveryCounts Counts, bool IsRedelivered);

/// <summary>Records that a consumer received under one lock, in pooled memory.</summary>
internal sealed class ReceivedRecords : IDisposable
{
    private readonly List<IDisposable> _memory = [];
    private readonly List<ReceivedRecord> _records = [];
    private long _bytes;

    private ReceivedRecords(LockToken token) => Lock = token;

    /// <summary>The right to settle them.</summary>
    public LockToken Lock { get; }

    /// <summary>The records, in order of delivery.</summary>
    public IReadOnlyList<ReceivedRecord> Records => _records;

    /// <summary>The records that had no room; null: none.</summary>
    public Deliver? Rest { get; private set; }

    /// <summary>Forgets all others.</summary>
    public void Keep(OffsetSet offsets) => _records.RemoveAll(one => !offsets.Contains(one.Record.Offset));

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var memory in _memory)
            memory.Dispose();
        _memory.Clear();
    }

    /// <summary>Reads what was delivered.</summary>
    /// <param name="partition">The partition.</param>
    /// <param name="delivery">The delivery; all its offsets are below the high watermark.</param>
    /// <param name="naturals">Receives the offsets without a record: control batches, and what compaction or retention removed.</param>
    /// <param name="mostBytes">The bytes at which no further batch is read.</param>
    /// <exception cref="IOException">The disk failed.</exception>
    /// <exception cref="RecordBatchException">A batch cannot be read.</exception>
    /// <exception cref="CodecUnavailableException">A batch's codec is not available.</exception>
    public static ReceivedRecords Read(Partition partition, Deliver delivery, List<OffsetRange> naturals, int mostBytes = int.MaxValue)
    {
        var received = new ReceivedRecords(delivery.Lock);
        try
        {
            if (received.Fill(partition, delivery.Records, naturals, mostBytes) is < int.MaxValue and var next)
                received.Rest = delivery with { Records = delivery.Records[next..] };
            return received;
        }
        catch (Exception)
        {
            received.Dispose();
            throw;
        }
    }

    // Returns the index of the first record without room; int.MaxValue: there was room for all.
    private int Fill(Partition partition, List<DeliveredRecord> wanted, List<OffsetRange> naturals, int mostBytes)
    {
        const int mostBytesAtOnce = 1 << 20;
        var log = partition.Log!;
        for (var next = 0; next < wanted.Count;)
        {
            var end = next + 1;
            while (end < wanted.Count && wanted[end].Offset > wanted[end - 1].Offset)
                end++;
            while (next < end)
            {
                if (_bytes >= mostBytes && _records.Count > 0)
                    return next;
                var from = wanted[next].Offset;
                var isRun = next + 1 < end && wanted[next + 1].Offset == from + 1;
                if (from < log.LogStartOffset || log.Read(from, partition.HighWatermark, isRun ? mostBytesAtOnce : 1) is not { } read)
                {
                    naturals.Add(OffsetRange.Of(from));
                    next++;
                    continue;
                }
                _memory.Add(read);
                _bytes += read.Memory.Length;
                TakeBatches(read.Memory, CollectionsMarshal.AsSpan(wanted)[..end], ref next, partition.Ports.Log.Codecs, naturals,
                    mostBytes);
            }
        }
        return int.MaxValue;
    }

    // The wanted offsets rise from the next one on.
    private void TakeBatches(ReadOnlyMemory<byte> batches, ReadOnlySpan<DeliveredRecord> wanted, ref int next, CompressionCodecs codecs,
        List<OffsetRange> naturals, int mostBytes)
    {
        while (!batches.IsEmpty && next < wanted.Length && (_bytes < mostBytes || _records.Count == 0))
        {
            var header = RecordBatchHeader.Read(batches.Span);
            var batch = batches[..header.SizeInBytes];
            batches = batches[header.SizeInBytes..];
            if (!header.IsControl && header.LastOffset >= wanted[next].Offset && header.RecordCount > 0)
                TakeRecords(batch, wanted, ref next, codecs, naturals);
            // What is left up to the batch's end has no record.
            for (; next < wanted.Length && wanted[next].Offset <= header.LastOffset; next++)
                naturals.Add(OffsetRange.Of(wanted[next].Offset));
        }
    }

    private void TakeRecords(ReadOnlyMemory<byte> batch, ReadOnlySpan<DeliveredRecord> wanted, ref int next, CompressionCodecs codecs,
        List<OffsetRange> naturals)
    {
        // A reader of its own: it owns the decompressed records.
        var reader = new RecordReader(batch, codecs, verifyCrc: false);
        _memory.Add(reader);
        while (next < wanted.Length && reader.MoveNext())
        {
            var offset = reader.Current.Offset;
            for (; next < wanted.Length && wanted[next].Offset < offset; next++)
                naturals.Add(OffsetRange.Of(wanted[next].Offset));
            if (next < wanted.Length && wanted[next].Offset == offset)
            {
                _records.Add(new ReceivedRecord(reader.Current, wanted[next].Counts, wanted[next].IsRedelivered));
                // Decompressed, they may be many times what was read.
                _bytes += reader.Current.Value?.Length ?? 0;
                next++;
            }
        }
    }
}
