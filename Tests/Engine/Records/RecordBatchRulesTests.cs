using System.Buffers.Binary;
using OrleansMq.Compression;
using OrleansMq.Records;

namespace OrleansMq.Tests.Engine.Records;

/// <summary>Each rule that a batch can break, one by one, under a valid CRC.</summary>
public class RecordBatchRulesTests
{
    private static readonly SampleRecord[] Three = [.. Enumerable.Range(0, 3).Select(i => new SampleRecord(i, [1], [2], []))];

    public static TheoryData<string, RecordBatchError, Action<byte[]>> BrokenFields => new()
    {
        { "codec 5", RecordBatchError.BadCodec, b => b[22] |= 5 },
        { "codec 7", RecordBatchError.BadCodec, b => b[22] |= 7 },
        { "negative last offset delta", RecordBatchError.BadOffsets, b => Int32(b, 23, -1) },
        { "negative record count", RecordBatchError.BadRecordCount, b => Int32(b, 57, -1) },
        { "more records than offsets", RecordBatchError.BadRecordCount, b => Int32(b, 57, 4) },
        { "more records than bytes", RecordBatchError.BadRecordCount, b => { Int32(b, 23, 99); Int32(b, 57, 100); } },
        { "producer id below -1", RecordBatchError.BadProducer, b => BinaryPrimitives.WriteInt64BigEndian(b.AsSpan(43), -2) },
        { "producer id without epoch", RecordBatchError.BadProducer, b => BinaryPrimitives.WriteInt16BigEndian(b.AsSpan(51), -1) },
        { "producer id without sequence", RecordBatchError.BadProducer, b => Int32(b, 53, -1) },
        { "transaction without producer", RecordBatchError.BadProducer, b => { b[22] |= 0x10; b.AsSpan(43, 8).Fill(0xFF); } },
    };

    public static TheoryData<string, RecordBatchError, Action<byte[]>> NotProducible => new()
    {
        { "control", RecordBatchError.BadAttributes, b => b[22] |= 0x20 },
        { "LogAppendTime", RecordBatchError.BadAttributes, b => b[22] |= 0x08 },
        { "delete horizon", RecordBatchError.BadAttributes, b => b[22] |= 0x40 },
        { "no records", RecordBatchError.BadRecordCount, b => Int32(b, 57, 0) },
        { "fewer records than offsets", RecordBatchError.BadOffsets, b => Int32(b, 57, 2) },
    };

    [Theory]
    [MemberData(nameof(BrokenFields))]
    public void Invalid_field_is_named(string rule, RecordBatchError error, Action<byte[]> breakIt)
    {
        var batch = SampleRecord.Build(Three);
        breakIt(batch);
        RecordBatches.Seal(batch);
        var fault = RecordBatches.Validate(batch, out _);
        Assert.True(fault?.Error == error, $"{rule}: {fault}");
        using var reader = new RecordReader(batch, StandardCodecs.All);
        Assert.Equal(error, Assert.Throws<RecordBatchException>(() => reader.MoveNext()).Error);
    }

    [Theory]
    [MemberData(nameof(NotProducible))]
    public void Log_only_features_are_refused_from_a_producer(string rule, RecordBatchError error, Action<byte[]> change)
    {
        var batch = SampleRecord.Build(Three);
        change(batch);
        RecordBatches.Seal(batch);
        Assert.True(RecordBatches.Validate(batch, out _) is null, rule);
        Assert.Equal(error, RecordBatches.ValidateProduced(batch, out _)?.Error);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(3)]
    [InlineData(-1)]
    public void Other_magic_is_refused(sbyte magic)
    {
        var batch = SampleRecord.Build(Three);
        batch[16] = (byte)magic;
        RecordBatches.Seal(batch);
        Assert.Equal(RecordBatchError.BadMagic, RecordBatches.Validate(batch, out _)?.Error);
    }

    [Theory]
    [InlineData(int.MinValue, RecordBatchError.BadLength)]
    [InlineData(-1, RecordBatchError.BadLength)]
    [InlineData(48, RecordBatchError.BadLength)]
    [InlineData(1000, RecordBatchError.Truncated)]
    [InlineData(int.MaxValue, RecordBatchError.BadLength)]
    public void Impossible_length_is_named(int length, RecordBatchError error)
    {
        var batch = SampleRecord.Build(Three);
        Int32(batch, 8, length);
        Assert.Equal(error, RecordBatches.Validate(batch, out _)?.Error);
    }

    [Fact]
    public void Bytes_after_the_batch_are_the_next_batch_in_a_log_and_an_error_from_a_producer()
    {
        byte[] bytes = [.. SampleRecord.Build(Three), 0];
        Assert.Null(RecordBatches.Validate(bytes, out _));
        Assert.Equal(RecordBatchError.BadLength, RecordBatches.ValidateProduced(bytes, out _)?.Error);
    }

    [Theory]
    [InlineData(3, RecordBatchError.BadRecordCount)] // one record fewer
    [InlineData(1, RecordBatchError.BadRecordCount)] // one record more
    public void Wrong_record_count_is_named(int count, RecordBatchError error)
    {
        var batch = SampleRecord.Build(Three[..2], CompressionType.Zstd);
        Int32(batch, 23, count - 1);
        Int32(batch, 57, count);
        RecordBatches.Seal(batch);
        Assert.Null(RecordBatches.Validate(batch, out _));
        // With an extra record in the bytes, the last offset delta may be detected first; here the leftover bytes are.
        Assert.Equal(error, RecordBatches.ValidateRecords(batch, StandardCodecs.All)?.Error);
    }

    [Theory]
    [InlineData(0)] // a repeated delta
    [InlineData(-1)]
    [InlineData(5)] // beyond the last
    public void Offset_deltas_out_of_order_are_named(int delta)
    {
        var batch = SampleRecord.Build(Three);
        // Each record takes 9 bytes: length, attributes, timestamp delta, offset delta, ...
        batch[RecordBatchHeader.Size + 9 + 3] = (byte)((delta << 1) ^ (delta >> 31));
        RecordBatches.Seal(batch);
        Assert.Equal(RecordBatchError.BadOffsets, RecordBatches.ValidateRecords(batch, StandardCodecs.All)?.Error);
        Assert.Equal(RecordBatchError.BadOffsets, RecordBatches.ValidateRecords(batch, StandardCodecs.All, allowGaps: true)?.Error);
    }

    [Fact]
    public void Missing_codec_is_an_error_only_when_records_are_read()
    {
        var batch = SampleRecord.Build(Three, CompressionType.Lz4);
        Assert.Null(RecordBatches.ValidateProduced(batch, out _));
        Assert.Equal(RecordBatchError.BadCodec, RecordBatches.ValidateRecords(batch, CompressionCodecs.Empty)?.Error);
        using var reader = new RecordReader(batch, CompressionCodecs.Empty);
        Assert.Throws<CodecUnavailableException>(() => reader.MoveNext());
    }

    [Fact]
    public void Every_error_has_a_protocol_code()
    {
        var codes = new Dictionary<RecordBatchError, ErrorCode>
        {
            [RecordBatchError.Unknown] = ErrorCode.CorruptMessage,
            [RecordBatchError.Truncated] = ErrorCode.CorruptMessage,
            [RecordBatchError.BadLength] = ErrorCode.CorruptMessage,
            [RecordBatchError.BadMagic] = ErrorCode.CorruptMessage,
            [RecordBatchError.BadCrc] = ErrorCode.CorruptMessage,
            [RecordBatchError.BadRecordCount] = ErrorCode.InvalidRecord,
            [RecordBatchError.BadOffsets] = ErrorCode.InvalidRecord,
            [RecordBatchError.BadCodec] = ErrorCode.UnsupportedCompressionType,
            [RecordBatchError.BadCompression] = ErrorCode.CorruptMessage,
            [RecordBatchError.BadRecord] = ErrorCode.InvalidRecord,
            [RecordBatchError.BadProducer] = ErrorCode.InvalidRecord,
            [RecordBatchError.BadAttributes] = ErrorCode.InvalidRecord,
            [RecordBatchError.Busy] = ErrorCode.KafkaStorageError,
            [RecordBatchError.TooLong] = ErrorCode.MessageTooLarge,
            [RecordBatchError.TooMuch] = ErrorCode.MessageTooLarge,
        };
        Assert.Equal(codes, Enum.GetValues<RecordBatchError>().ToDictionary(error => error, error => error.ToErrorCode()));
        // The only one that is no fault of the batch.
        Assert.Equal(ErrorAction.Retry, RecordBatchError.Busy.ToErrorCode().Action());
        Assert.NotEqual(ErrorAction.Retry, RecordBatchError.TooLong.ToErrorCode().Action());
    }

    private static void Int32(byte[] batch, int at, int value) => BinaryPrimitives.WriteInt32BigEndian(batch.AsSpan(at), value);
}
