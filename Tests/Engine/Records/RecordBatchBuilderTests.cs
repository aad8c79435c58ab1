using OrleansMq.Compression;
using OrleansMq.Records;

namespace OrleansMq.Tests.Engine.Records;

public class RecordBatchBuilderTests
{
    [Fact]
    public void Built_bytes_match_the_format()
    {
        using var builder = new RecordBatchBuilder();
        builder.SetProducer(0x0102030405060708, 0x1112, 0x21222324, transactional: true);
        builder.Add(1_000, "k"u8, true, "v1"u8, true, [new RecordHeader("h"u8.ToArray(), null)]);
        builder.Add(999, default, false, default, false);

        var bytes = Convert.ToHexString(builder.Build().Span);

        var expected =
            "0000000000000000" + // base offset
            "00000045" + // length: 81 - 12
            "FFFFFFFF" + // leader epoch
            "02" +
            "E7E33308" + // CRC-32C of the rest
            "0010" + // attributes: transactional
            "00000001" + // last offset delta
            "00000000000003E8" + "00000000000003E8" + // base and max timestamp
            "0102030405060708" + "1112" + "21222324" + // producer id, epoch, base sequence
            "00000002" + // records
            "18" + "00" + "00" + "00" + "02" + "6B" + "04" + "7631" + "02" + "02" + "68" + "01" + // deltas 0, "k", "v1", one header
            "0C" + "00" + "01" + "02" + "01" + "01" + "00"; // 6 bytes, timestamp delta -1, offset delta 1, nulls, no header
        Assert.Equal(expected, bytes);
    }

    [Theory]
    [InlineData(0, 3, 2)]
    [InlineData(int.MaxValue, 1, int.MaxValue)]
    [InlineData(int.MaxValue, 2, 0)]
    [InlineData(int.MaxValue - 1, 4, 1)]
    public void Sequences_wrap_to_zero(int baseSequence, int records, int lastSequence)
    {
        using var builder = new RecordBatchBuilder();
        builder.SetProducer(1, 0, baseSequence);
        for (var i = 0; i < records; i++)
            builder.Add(0, default, false, default, true);
        Assert.Null(RecordBatches.ValidateProduced(builder.Build().Span, out var header));
        Assert.Equal((baseSequence, lastSequence), (header.BaseSequence, header.LastSequence));
    }

    [Theory]
    [InlineData(CompressionType.None)]
    [InlineData(CompressionType.Snappy)]
    [InlineData(CompressionType.Lz4)]
    [InlineData(CompressionType.Zstd)]
    public void Builder_in_steady_state_allocates_nothing(CompressionType type)
    {
        using var builder = new RecordBatchBuilder(type, StandardCodecs.All);
        RecordHeader[] headers = [new RecordHeader("h"u8.ToArray(), "v"u8.ToArray())];
        var value = new byte[500];
        var least = long.MaxValue;
        // Some rounds may allocate: while buffers grow, and after the garbage collector trimmed the pool.
        for (var round = 0; round < 40; round++)
        {
            var before = GC.GetAllocatedBytesForCurrentThread();
            for (var i = 0; i < 200; i++)
                builder.Add(i, value.AsSpan(0, 8), true, value, true, headers);
            builder.SetProducer(1, 0, 0);
            builder.Build();
            builder.Reset();
            least = Math.Min(least, GC.GetAllocatedBytesForCurrentThread() - before);
        }
        Assert.Equal(0, least);
    }

    [Fact]
    public void Reset_builder_starts_anew()
    {
        using var builder = new RecordBatchBuilder();
        builder.SetProducer(9, 9, 9, transactional: true);
        builder.SetControl();
        builder.Add(5, "a"u8, true, "b"u8, true);
        builder.Build();
        builder.Reset();
        Assert.Equal((0, RecordBatchHeader.Size), (builder.RecordCount, builder.EstimatedSize));
        builder.Add(7, "c"u8, true, "d"u8, true);
        Assert.Null(RecordBatches.ValidateProduced(builder.Build().Span, out var header));
        Assert.False(header.HasProducer || header.IsTransactional || header.IsControl);
        Assert.Equal((7L, 7L, -1, -1), (header.BaseTimestamp, header.MaxTimestamp, header.PartitionLeaderEpoch, header.BaseSequence));
    }

    [Fact]
    public void Empty_batch_is_refused()
    {
        using var builder = new RecordBatchBuilder();
        Assert.Throws<InvalidOperationException>(() => builder.Build());
    }

    [Fact]
    public void Missing_codec_is_named_at_once() =>
        Assert.Throws<CodecUnavailableException>(() => new RecordBatchBuilder(CompressionType.Zstd));

    [Fact]
    public void Estimated_size_is_never_too_small() =>
        Properties.ForAll(SampleRecord.Many, records =>
        {
            using var builder = new RecordBatchBuilder();
            foreach (var record in records)
            {
                var headers = record.Headers.Select(h => new RecordHeader(h.Key, h.Value)).ToArray();
                var before = builder.EstimatedSize;
                record.AddTo(builder);
                var size = RecordBatchBuilder.MaxRecordSize(record.Key?.Length ?? -1, record.Value?.Length ?? -1, headers);
                Assert.True(builder.EstimatedSize - before <= size);
            }
            Assert.Equal(builder.EstimatedSize, builder.Build().Length);
        });

    [Fact]
    public void Batch_of_many_megabytes_is_built_and_read()
    {
        using var builder = new RecordBatchBuilder(CompressionType.Zstd, StandardCodecs.All);
        var value = new byte[1 << 20];
        for (var i = 0; i < 40; i++)
        {
            value[i] = (byte)i;
            builder.Add(i, default, false, value, true);
        }
        using var reader = new RecordReader(builder.Build(), StandardCodecs.All);
        for (var i = 0; i < 40; i++)
        {
            Assert.True(reader.MoveNext());
            var read = reader.Current.Value!.Value.Span;
            Assert.Equal((i, value.Length, (byte)i), (reader.Current.Offset, read.Length, read[i]));
        }
        Assert.False(reader.MoveNext());
    }
}
