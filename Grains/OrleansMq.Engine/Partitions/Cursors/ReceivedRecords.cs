using System.Runtime.InteropServices;
using OrleansMq.Log;
using OrleansMq.Queues;
using OrleansMq.Records;

namespace OrleansMq.Partitions.Cursors;

/// <summary>A record that a consumer received.</summary>
/// <param name="Record">The record; valid until its <see cref="ReceivedRecords"/> are disposed.</param>
/// <param name="Counts">Its counts, with this delivery.</param>
/// <param name="IsRedelivered">Whether it may have been delivered before.</param>
internal readonly record struct ReceivedRecord(Record Record, DeliveryCounts Counts, bool IsRedelivered);

/// <summary>Bounds of one read.</summary>
/// <param name="Bytes">The bytes of records at which no further one is taken, and the bytes of batches at which no further one is read. The
/// first record has room always, unless the caller has others.</param>
/// <param name="Records">The most records.</param>
/// <param name="HasRecords">Whether the caller has records of an earlier read.</param>
internal readonly record struct ReadBounds(long Bytes, int Records = int.MaxValue, bool HasRecords = false);

/// <summary>Records that a consumer received under one lock, in pooled memory.</summary>
internal sealed class ReceivedRecords : IDisposable
{
    private const long MostBytesAtOnce = 1 << 20;
    // A read more costs as much as some small records that are not wanted.
    private const int MostBetween = 32;
    // Until a read has shown what an offset takes. Too little costs a second read, too much the bytes.
    private const long ExpectedBytesPerOffset = 256;
    private const long Reserve = 2;

    private readonly List<IDisposable> _memory = [];
    private readonly List<ReceivedRecord> _records = [];
    private readonly ReadBounds _bounds;
    // What the batches take that were read, decompressed.
    private long _batchBytes;
    private bool _isFull;
    private List<DeliveredRecord>? _unreadable;

    private ReceivedRecords(LockToken token, ReadBounds bounds) => (Lock, _bounds) = (token, bounds);

    /// <summary>The right to settle them.</summary>
    public LockToken Lock { get; }

    /// <summary>The records, in order of delivery.</summary>
    public IReadOnlyList<ReceivedRecord> Records => _records;

    /// <summary>The bytes of the records.</summary>
    public long RecordBytes { get; private set; }

    /// <summary>The records that had no room, that follow those that cannot be read, or whose batch is decompressed later because another
    /// one is at the moment; null: none.</summary>
    public Deliver? Rest { get; private set; }

    /// <summary>The offsets from a record on whose batch no broker can read; null: there is no such batch. Nothing behind it was
    /// read.</summary>
    public OffsetRange? PassedOver { get; private set; }

    /// <summary>The records of a batch that cannot be read here, or not now; null: none. Nothing behind it was read.</summary>
    public Deliver? Unreadable { get; private set; }

    /// <summary>Why it cannot be read: a <see cref="RecordBatchException"/> or a <see cref="CodecUnavailableException"/>.</summary>
    public Exception? Fault { get; private set; }

    /// <summary>Forgets all others.</summary>
    public void Keep(OffsetSet offsets) => _records.RemoveAll(one => !offsets.Contains(one.Record.Offset));

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var memory in _memory)
            memory.Dispose();
        _memory.Clear();
    }

    /// <summary>Reads what was delivered, up to and with a batch that cannot be read.</summary>
    /// <param name="partition">The partition.</param>
    /// <param name="delivery">The delivery; all its offsets are below the high watermark.</param>
    /// <param name="naturals">Receives the offsets without a record: control batches, aborted transactions, what compaction or retention
    /// removed, and what is passed over.</param>
    /// <param name="bounds">Bounds of memory.</param>
    /// <exception cref="IOException">The disk failed.</exception>
    /// <exception cref="RecordBatchException">A batch has no header.</exception>
    public static ReceivedRecords ReadSome(Partition partition, Deliver delivery, List<OffsetRange> naturals, ReadBounds bounds)
    {
        var received = new ReceivedRecords(delivery.Lock, bounds);
        try
        {
            var next = received.Fill(partition, delivery.Records, naturals);
            if (received._unreadable is { Count: > 0 } unreadable)
                received.Unreadable = delivery with { Records = unreadable };
            if (next < delivery.Records.Count)
                received.Rest = delivery with { Records = delivery.Records[next..] };
            return received;
        }
        catch (Exception)
        {
            received.Dispose();
            throw;
        }
    }

    // Returns the index of the first record that was not read.
    private int Fill(Partition partition, List<DeliveredRecord> wanted, List<OffsetRange> naturals)
    {
        var log = partition.Log!;
        var bytesPerOffset = ExpectedBytesPerOffset;
        for (var next = 0; next < wanted.Count;)
        {
            var end = next + 1;
            while (end < wanted.Count && wanted[end].Offset > wanted[end - 1].Offset)
                end++;
            while (next < end)
            {
                if (IsFull)
                    return next;
                var from = wanted[next].Offset;
                var size = (OffsetsTogether(CollectionsMarshal.AsSpan(wanted)[next..end]) - 1) * bytesPerOffset;
                if (from < log.LogStartOffset
                    || log.Read(from, partition.HighWatermark, (int)Math.Clamp(size, 1, MostBytesAtOnce), out var aborted) is not { } read)
                {
                    naturals.Add(OffsetRange.Of(from));
                    next++;
                    continue;
                }
                _memory.Add(read);
                _batchBytes += read.Memory.Length;
                bytesPerOffset = Math.Max(1, read.Memory.Length / Math.Max(1, read.NextOffset - from)) * Reserve;
                TakeBatches(partition, read.Memory, CollectionsMarshal.AsSpan(wanted)[..end], ref next, aborted, naturals);
                if (_isFull || Fault is not null || PassedOver is not null)
                    return next;
            }
        }
        return wanted.Count;
    }

    // From the first one to the last that is near the one before it: they are read at once, with what is between them.
    private static long OffsetsTogether(ReadOnlySpan<DeliveredRecord> rising)
    {
        var last = 0;
        while (last + 1 < rising.Length && rising[last + 1].Offset - rising[last].Offset <= MostBetween)
            last++;
        return rising[last].Offset - rising[0].Offset + 1;
    }

    private bool HasSome => _records.Count > 0 || _bounds.HasRecords;

    private bool IsFull => _isFull || (_batchBytes >= _bounds.Bytes && HasSome);

    // The wanted offsets rise from the next one on.
    private void TakeBatches(Partition partition, ReadOnlyMemory<byte> batches, ReadOnlySpan<DeliveredRecord> wanted, ref int next,
        AbortedRecords aborted, List<OffsetRange> naturals)
    {
        while (!batches.IsEmpty && next < wanted.Length && !IsFull)
        {
            var header = RecordBatchHeader.Read(batches.Span);
            var batch = batches[..header.SizeInBytes];
            batches = batches[header.SizeInBytes..];
            if (!header.IsControl && header.LastOffset >= wanted[next].Offset && header.RecordCount > 0 && !aborted.Has(header)
                && !TryTakeRecords(partition, batch, header, wanted, ref next, naturals))
                return;
            // What is left up to the batch's end has no record.
            for (; next < wanted.Length && wanted[next].Offset <= header.LastOffset; next++)
                naturals.Add(OffsetRange.Of(wanted[next].Offset));
        }
    }

    // Returns false if the batch was not read to its end.
    private bool TryTakeRecords(Partition partition, ReadOnlyMemory<byte> batch, in RecordBatchHeader header,
        ReadOnlySpan<DeliveredRecord> wanted, ref int next, List<OffsetRange> naturals)
    {
        try
        {
            return TryTakeRecords(batch, wanted, ref next, partition.Ports.Log.Codecs, naturals);
        }
        catch (RecordBatchException busy) when (busy.Error == RecordBatchError.Busy)
        {
            _isFull = true;
        }
        catch (Exception fault) when (fault is RecordBatchException or CodecUnavailableException)
        {
            // None of what cannot be read is wanted.
            if (wanted[next].Offset > header.LastOffset)
                return true;
            var offsets = new OffsetRange(wanted[next].Offset, header.LastOffset);
            if (UnreadableBatches.TryPassOver(partition, batch.Span, offsets, fault))
            {
                PassedOver = offsets;
                naturals.Add(offsets);
            }
            else
                (Fault, _unreadable) = (fault, []);
            for (; next < wanted.Length && wanted[next].Offset <= header.LastOffset; next++)
                _unreadable?.Add(wanted[next]);
        }
        return false;
    }

    private bool TryTakeRecords(ReadOnlyMemory<byte> batch, ReadOnlySpan<DeliveredRecord> wanted, ref int next, CompressionCodecs codecs,
        List<OffsetRange> naturals)
    {
        // A reader of its own: it owns the decompressed records.
        var reader = new RecordReader(batch, codecs, verifyCrc: false, takesTurns: true);
        _memory.Add(reader);
        try
        {
            while (next < wanted.Length && reader.MoveTo(wanted[next].Offset))
            {
                var offset = reader.Current.Offset;
                for (; next < wanted.Length && wanted[next].Offset < offset; next++)
                    naturals.Add(OffsetRange.Of(wanted[next].Offset));
                if (next == wanted.Length || wanted[next].Offset != offset)
                    continue;
                var size = reader.CurrentBytes.Length;
                if (HasSome && (_records.Count >= _bounds.Records || RecordBytes + size > _bounds.Bytes))
                {
                    _isFull = true;
                    return false;
                }
                _records.Add(new ReceivedRecord(reader.Current, wanted[next].Counts, wanted[next].IsRedelivered));
                RecordBytes += size;
                next++;
            }
            return true;
        }
        finally
        {
            // Decompressed, it may be many times what was read. It stays in memory, also where it cannot be read to its end.
            _batchBytes += reader.DecompressedBytes;
        }
    }
}
