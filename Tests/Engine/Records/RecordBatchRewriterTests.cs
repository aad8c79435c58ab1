using System.Buffers;
using OrleansMq.Compression;
using OrleansMq.Records;

namespace OrleansMq.Tests.Engine.Records;

[Collection(LargeBatchTests.Name)]
public class RecordBatchRewriterTests
{
    private static readonly SampleRecord[] Three = [.. Enumerable.Range(0, 3).Select(i => new SampleRecord(100 + i, [(byte)i], [2], []))];

    [Fact]
    public void LogAppendTime_is_the_time_of_every_record()
    {
        var batch = SampleRecord.Build(Three, CompressionType.Gzip);
        RecordBatchRewriter.StampLogAppendTime(batch, 5_000);
        Assert.Null(RecordBatches.Validate(batch, out var header));
        Assert.True(header.IsLogAppendTime);
        Assert.Equal((100L, 5_000L), (header.BaseTimestamp, header.MaxTimestamp));
        Assert.All(SampleRecord.Read(batch), record => Assert.Equal(5_000, record.Record.Timestamp));
    }

    [Fact]
    public void LogAppendTime_survives_compaction()
    {
        var batch = SampleRecord.Build(Three);
        RecordBatchRewriter.StampLogAppendTime(batch, 5_000);
        using var destination = new PooledBuffer();
        RecordPredicate second = (in OrleansMq.Records.Record record) => record.Offset == 1;
        RecordBatchRewriter.Retain(batch, second, StandardCodecs.All, destination, deleteHorizon: 9_000);
        var left = Assert.Single(SampleRecord.Read(destination.WrittenMemory));
        Assert.Equal((1L, 5_000L), (left.Offset, left.Record.Timestamp));
    }

    [Fact]
    public void Batch_kept_whole_keeps_its_bytes()
    {
        var batch = SampleRecord.Build(Three, CompressionType.Zstd, 10);
        using var destination = new PooledBuffer();
        destination.Write([1, 2, 3]);
        Assert.Equal(3, RecordBatchRewriter.Retain(batch, (in OrleansMq.Records.Record _) => true, StandardCodecs.All, destination));
        Assert.Equal(batch, destination.WrittenSpan[3..].ToArray());
    }

    [Fact]
    public void Emptied_batch_is_a_header_that_can_be_emptied_again()
    {
        var batch = SampleRecord.Build(Three, CompressionType.Zstd, 10);
        using var once = new PooledBuffer();
        Assert.Equal(0, RecordBatchRewriter.Retain(batch, (in OrleansMq.Records.Record _) => false, StandardCodecs.All, once));
        Assert.Equal(RecordBatchHeader.Size, once.Length);
        using var twice = new PooledBuffer();
        Assert.Equal(0, RecordBatchRewriter.Retain(once.WrittenMemory, (in OrleansMq.Records.Record _) => true, StandardCodecs.All, twice));
        Assert.Equal(once.WrittenSpan.ToArray(), twice.WrittenSpan.ToArray());
        Assert.Null(RecordBatches.ValidateRecords(twice.WrittenSpan, StandardCodecs.All, allowGaps: true));
        Assert.Equal(12, RecordBatchHeader.Read(twice.WrittenSpan).LastOffset);
    }

    [Fact]
    public void Batch_with_damaged_records_is_not_rewritten()
    {
        var batch = SampleRecord.Build(Three);
        batch[RecordBatchHeader.Size] = 0x7F;
        using var destination = new PooledBuffer();
        Assert.Throws<RecordBatchException>(() =>
            RecordBatchRewriter.Retain(batch, (in OrleansMq.Records.Record _) => true, StandardCodecs.All, destination));
        Assert.Equal(0, destination.Length);
    }

    [Fact]
    public async Task Large_batches_are_decompressed_one_at_a_time_and_none_waits_for_another()
    {
        using var entered = new ManualResetEventSlim();
        using var release = new ManualResetEventSlim();
        var large = new SampleRecord(1000, null, new byte[(16 << 20) + 1000], []);
        var batch = SampleRecord.Build([large], CompressionType.Gzip);
        var held = Task.Run(() => Recompress(batch, new CompressionCodecs([new HeldCodec(entered, release)])));
        Assert.True(entered.Wait(TimeSpan.FromSeconds(60)));
        var other = Task.Run(() => Recompress(batch, StandardCodecs.All));
        var block = RawSnappy(SampleRecord.Build([large]));
        var refused = RecordBatches.ValidateRecords(block, StandardCodecs.All);
        await Task.WhenAny(other, Task.Delay(TimeSpan.FromSeconds(60)));
        var isDone = other.IsCompleted;
        release.Set();
        Assert.Null(await held);
        Assert.True(isDone, "A batch waited for another.");
        Assert.Equal(ErrorAction.Retry, (await other)?.ToErrorCode().Action());
        Assert.Equal(ErrorAction.Retry, refused?.Error.ToErrorCode().Action());
        // Each has given the turn back.
        Assert.Null(Recompress(batch, StandardCodecs.All));
        Assert.Null(RecordBatches.ValidateRecords(block, StandardCodecs.All));
        Assert.Null(RecordBatches.ValidateRecords(block, StandardCodecs.All));
    }

    [Fact]
    public void Unreadable_batch_is_decompressed_once()
    {
        var batch = SampleRecord.Build(Three, CompressionType.Gzip);
        batch.AsSpan(RecordBatchHeader.Size).Fill(7);
        RecordBatches.Seal(batch);
        var codec = new CountedCodec();
        Assert.Equal(RecordBatchError.BadCompression, Recompress(batch, new CompressionCodecs([codec])));
        Assert.Equal(1, codec.Decompressed);
    }

    [Fact]
    public void Batches_with_a_large_zstd_window_have_the_turn_of_large_batches()
    {
        var batch = ZstdFrames.Unbounded(SampleRecord.Build(Three), ZstdFrames.Window128MiB);
        LargeBatches.Appends.Enter(1);
        try
        {
            Assert.Equal(RecordBatchError.Busy, RecordBatches.ValidateRecords(batch, StandardCodecs.All)?.Error);
            Assert.Equal(RecordBatchError.Busy, Recompress(batch, StandardCodecs.All));
            var small = ZstdFrames.Unbounded(SampleRecord.Build(Three), ZstdFrames.Window16MiB);
            var known = ZstdFrames.Bounded(SampleRecord.Build(Three), ZstdFrames.Window128MiB);
            foreach (var free in (byte[][])[small, known])
            {
                Assert.Null(RecordBatches.ValidateRecords(free, StandardCodecs.All));
                Assert.Null(Recompress(free, StandardCodecs.All));
            }
        }
        finally
        {
            LargeBatches.Appends.Exit();
        }
        Assert.Null(RecordBatches.ValidateRecords(batch, StandardCodecs.All));
        Assert.Null(RecordBatches.ValidateRecords(batch, StandardCodecs.All));
        Assert.Null(Recompress(batch, StandardCodecs.All));
    }

    [Fact]
    public void Reader_in_a_broker_decompresses_large_batches_one_at_a_time()
    {
        var large = SampleRecord.Build([new SampleRecord(1000, null, new byte[(16 << 20) + 1000], [])], CompressionType.Gzip);
        var window = ZstdFrames.Unbounded(SampleRecord.Build(Three), ZstdFrames.Window128MiB);
        LargeBatches.Reads.Enter(1);
        try
        {
            foreach (var batch in (byte[][])[large, window])
            {
                using var refused = new RecordReader(batch, StandardCodecs.All, takesTurns: true);
                Assert.Equal(RecordBatchError.Busy, Assert.Throws<RecordBatchException>(() => refused.MoveNext()).Error);
                // A client reads what it asked for.
                using var client = new RecordReader(batch, StandardCodecs.All);
                Assert.True(client.MoveNext());
            }
        }
        finally
        {
            LargeBatches.Reads.Exit();
        }
        using var reader = new RecordReader((byte[])[.. large, .. window], StandardCodecs.All, takesTurns: true);
        Assert.True(reader.MoveNext());
        Assert.InRange(reader.DecompressedBytes, (16 << 20) + 1000, (16 << 20) + 1100);
        Assert.True(reader.MoveNext());
        Assert.InRange(reader.DecompressedBytes, 1, 1000);
    }

    [Fact]
    public void Allowance_of_a_request_ends_with_the_batch_that_exceeds_it()
    {
        var batch = SampleRecord.Build([new SampleRecord(1000, null, new byte[1 << 20], [])], CompressionType.Gzip);
        var allowance = new DecompressionAllowance((5 << 20) / 2);
        Assert.Null(RecordBatches.ValidateRecords(batch, StandardCodecs.All, allowance: allowance));
        Assert.Null(Recompress(batch, StandardCodecs.All, allowance));
        Assert.Equal(RecordBatchError.TooMuch, RecordBatches.ValidateRecords(batch, StandardCodecs.All, allowance: allowance)?.Error);
        // Not even begun.
        Assert.Equal(RecordBatchError.TooMuch,
            RecordBatches.ValidateRecords(batch, CompressionCodecs.Empty, allowance: allowance)?.Error);
        Assert.Equal(RecordBatchError.TooMuch, Recompress(batch, CompressionCodecs.Empty, allowance));
        Assert.Null(RecordBatches.ValidateRecords(batch, StandardCodecs.All));
    }

    [Fact]
    public void Allowance_of_a_request_counts_batches_that_are_unreadable_at_their_end()
    {
        var batch = SampleRecord.Build([new SampleRecord(1000, null, new byte[1 << 20], [])], CompressionType.Gzip)[..^8];
        RecordBatches.Seal(batch);
        var allowance = new DecompressionAllowance((5 << 20) / 2);
        for (var count = 0; count < 3; count++)
            Assert.Equal(RecordBatchError.BadCompression, Recompress(batch, StandardCodecs.All, allowance));
        Assert.Equal(RecordBatchError.TooMuch, Recompress(batch, StandardCodecs.All, allowance));
    }

    [Fact]
    public void Allowance_of_a_request_counts_large_batches_that_have_no_turn()
    {
        var batch = SampleRecord.Build([new SampleRecord(1000, null, new byte[(16 << 20) + 1000], [])], CompressionType.Gzip);
        var allowance = new DecompressionAllowance(20 << 20);
        LargeBatches.Appends.Enter(1);
        try
        {
            Assert.Equal(RecordBatchError.Busy, Recompress(batch, StandardCodecs.All, allowance));
            Assert.Equal(RecordBatchError.TooMuch, Recompress(batch, StandardCodecs.All, allowance));
        }
        finally
        {
            LargeBatches.Appends.Exit();
        }
    }

    [Fact]
    public void Allowance_of_a_request_counts_batches_that_are_too_long()
    {
        var codec = new EndlessCodec();
        var batch = SampleRecord.Build(Three, CompressionType.Gzip);
        var allowance = new DecompressionAllowance(64 << 20);
        Assert.Equal(RecordBatchError.TooLong, Recompress(batch, new CompressionCodecs([codec]), allowance));
        Assert.Equal(RecordBatchError.TooMuch, Recompress(batch, new CompressionCodecs([codec]), allowance));
    }

    private static RecordBatchError? Recompress(byte[] batch, CompressionCodecs codecs, DecompressionAllowance? allowance = null)
    {
        using var destination = new PooledBuffer();
        try
        {
            RecordBatchRewriter.Recompress(batch, CompressionType.None, codecs, destination, allowance);
            return null;
        }
        catch (RecordBatchException fault)
        {
            return fault.Error;
        }
    }

    // One block, as librdkafka writes it: a literal, copies of the byte before, a literal.
    private static byte[] RawSnappy(byte[] batch)
    {
        var payload = batch.AsSpan(RecordBatchHeader.Size);
        using var result = new PooledBuffer();
        result.Write(batch.AsSpan(0, RecordBatchHeader.Size));
        for (var left = (uint)payload.Length; ; left >>= 7)
        {
            result.Write([(byte)(left < 0x80 ? left : left | 0x80)]);
            if (left < 0x80)
                break;
        }
        result.Write([59 << 2]);
        result.Write(payload[..60]);
        var at = 60;
        for (; payload.Length - at > 64; at += 64)
            result.Write([(63 << 2) | 2, 1, 0]);
        result.Write([60 << 2, (byte)(payload.Length - at - 1)]);
        result.Write(payload[at..]);
        var block = result.WrittenSpan.ToArray();
        (RecordBatchHeader.Read(block) with { Attributes = (short)CompressionType.Snappy }).WriteTo(block);
        RecordBatches.Seal(block);
        return block;
    }

    private sealed class CountedCodec : ICompressionCodec
    {
        public int Decompressed { get; private set; }

        public CompressionType Type => CompressionType.Gzip;

        public void Compress(ReadOnlySpan<byte> source, IBufferWriter<byte> destination) => throw new NotSupportedException();

        public void Decompress(ReadOnlySpan<byte> source, IBufferWriter<byte> destination, int maxLength)
        {
            Decompressed++;
            StandardCodecs.All.Get(CompressionType.Gzip).Decompress(source, destination, maxLength);
        }
    }

    /// <summary>Fills 24 MiB at each attempt, and calls it too long.</summary>
    private sealed class EndlessCodec : ICompressionCodec
    {
        public CompressionType Type => CompressionType.Gzip;

        public void Compress(ReadOnlySpan<byte> source, IBufferWriter<byte> destination) => throw new NotSupportedException();

        public void Decompress(ReadOnlySpan<byte> source, IBufferWriter<byte> destination, int maxLength)
        {
            destination.GetSpan(24 << 20);
            destination.Advance(24 << 20);
            throw new RecordBatchException(RecordBatchError.TooLong, "too long");
        }
    }

    /// <summary>gzip that waits while it decompresses a large batch.</summary>
    private sealed class HeldCodec(ManualResetEventSlim entered, ManualResetEventSlim release) : ICompressionCodec
    {
        public CompressionType Type => CompressionType.Gzip;

        public void Compress(ReadOnlySpan<byte> source, IBufferWriter<byte> destination) => throw new NotSupportedException();

        public void Decompress(ReadOnlySpan<byte> source, IBufferWriter<byte> destination, int maxLength)
        {
            if (maxLength > 16 << 20)
            {
                entered.Set();
                release.Wait();
            }
            StandardCodecs.All.Get(CompressionType.Gzip).Decompress(source, destination, maxLength);
        }
    }
}
