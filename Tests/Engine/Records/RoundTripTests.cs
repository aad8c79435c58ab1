using System.Text;
using OrleansMq.Records;

namespace OrleansMq.Tests.Engine.Records;

public class RoundTripTests
{
    [Fact]
    public void Batch_returns_the_records_that_were_added()
    {
        using var builder = new RecordBatchBuilder();
        RecordHeader[] headers =
        [
            new("k"u8.ToArray(), "v"u8.ToArray()), new("n"u8.ToArray(), null), new(default, ReadOnlyMemory<byte>.Empty),
        ];
        builder.Add(1000, "key"u8, true, "value"u8, true, headers);
        builder.Add(900, default, false, default, false);
        builder.Add(1100, default, true, default, true);
        builder.SetProducer(7, 3, int.MaxValue - 1);
        var batch = builder.Build();

        Assert.Null(RecordBatches.ValidateProduced(batch.Span, out var header));
        Assert.Null(RecordBatches.ValidateRecords(batch.Span, CompressionCodecs.Empty));
        Assert.Equal(3, header.RecordCount);
        Assert.Equal((1000L, 1100L), (header.BaseTimestamp, header.MaxTimestamp));
        Assert.Equal((7L, (short)3), (header.ProducerId, header.ProducerEpoch));
        Assert.Equal((int.MaxValue - 1, 0), (header.BaseSequence, header.LastSequence));

        RecordBatchHeader.StampBaseOffset(batch.Span, 50);
        using var reader = new RecordReader(batch, CompressionCodecs.Empty);
        Assert.True(reader.MoveNext());
        Assert.Equal((50L, 1000L), (reader.Current.Offset, reader.Current.Timestamp));
        Assert.Equal("value", Encoding.UTF8.GetString(reader.Current.Value!.Value.Span));
        var read = reader.Current.ReadHeaders();
        Assert.Equal(3, read.Length);
        Assert.Equal("v", Encoding.UTF8.GetString(read[0].Value!.Value.Span));
        Assert.Null(read[1].Value);
        Assert.Equal(0, read[2].Value!.Value.Length);
        Assert.True(reader.MoveNext());
        Assert.Equal((51L, 900L), (reader.Current.Offset, reader.Current.Timestamp));
        Assert.Null(reader.Current.Key);
        Assert.Null(reader.Current.Value);
        Assert.True(reader.MoveNext());
        Assert.Equal(0, reader.Current.Key!.Value.Length);
        Assert.Equal(0, reader.Current.Value!.Value.Length);
        Assert.False(reader.MoveNext());
    }
}
