using System.Buffers.Binary;
using OrleansMq.Compression;
using OrleansMq.Records;

namespace OrleansMq.Tests.Engine.Records;

/// <summary>Batches changed by a disk or by foreign code: reported with a named error, or harmless, and never worse.</summary>
public class DamageTests
{
    public static TheoryData<CompressionType> Codecs => [.. Enum.GetValues<CompressionType>()];

    private static readonly SampleRecord[] Records =
    [
        new(1000, "k1"u8.ToArray(), "value one"u8.ToArray(), [("h"u8.ToArray(), "x"u8.ToArray()), ("n"u8.ToArray(), null)]),
        new(1001, null, [], []),
        new(990, [], null, [([], [])]),
        new(2000, "k1"u8.ToArray(), new byte[300], []),
    ];

    [Theory]
    [MemberData(nameof(Codecs))]
    public void Flipped_bit_is_detected_except_in_offset_and_leader_epoch(CompressionType codec)
    {
        var batch = SampleRecord.Build(Records, codec, 42);
        for (var bit = 0; bit < 8 * batch.Length; bit++)
        {
            batch[bit / 8] ^= (byte)(1 << (bit % 8));
            var fault = RecordBatches.Validate(batch, out _);
            // Outside the CRC: the log checks the next offset and the epochs.
            var uncovered = bit / 8 is < 8 or (>= 12 and < 16);
            Assert.True(uncovered == fault is null, $"bit {bit}: {fault}");
            if (uncovered)
                Assert.Equal(Records.Length, SampleRecord.Read(batch).Count);
            batch[bit / 8] ^= (byte)(1 << (bit % 8));
        }
    }

    [Theory]
    [MemberData(nameof(Codecs))]
    public void Truncation_is_detected_at_every_length(CompressionType codec)
    {
        var batch = SampleRecord.Build(Records, codec);
        for (var length = 0; length < batch.Length; length++)
        {
            var cut = batch.AsMemory(0, length);
            Assert.Equal(RecordBatchError.Truncated, RecordBatches.Validate(cut.Span, out _)?.Error);
            Assert.Equal(RecordBatchError.Truncated, RecordBatches.ValidateRecords(cut.Span, StandardCodecs.All)?.Error);
            if (length == 0)
                continue;
            using var reader = new RecordReader(cut, StandardCodecs.All);
            Assert.Equal(RecordBatchError.Truncated, Assert.Throws<RecordBatchException>(() => reader.MoveNext()).Error);
            Assert.False(reader.MoveNext());
        }
    }

    [Theory]
    [MemberData(nameof(Codecs))]
    public void Changed_records_under_a_valid_crc_cause_at_most_a_named_error(CompressionType codec)
    {
        var seed = Seeds.Next();
        var random = new Random(seed);
        var original = SampleRecord.Build(Records, codec);
        for (var round = 0; round < 5000; round++)
        {
            var batch = (byte[])original.Clone();
            for (var changes = random.Next(1, 4); changes > 0; changes--)
                batch[random.Next(RecordBatchHeader.CrcStart, batch.Length)] = Interesting(random);
            RecordBatches.Seal(batch);
            AssertNoWorseThanNamedError(batch, seed);
        }
    }

    [Fact]
    public void Garbage_causes_at_most_a_named_error()
    {
        var seed = Seeds.Next();
        var random = new Random(seed);
        for (var round = 0; round < 5000; round++)
        {
            var batch = new byte[RecordBatchHeader.Size + random.Next(120)];
            random.NextBytes(batch);
            if (round % 2 == 0)
            {
                // Passes the header's checks, so that garbage reaches codecs and records.
                var codec = (short)random.Next(5);
                var header = new RecordBatchHeader(0, 0, 0, RecordBatches.Magic, 0, codec, random.Next(10), 0, 0, -1, -1, -1, 0);
                (header with { RecordCount = random.Next(header.LastOffsetDelta + 2) }).WriteTo(batch);
                RecordBatches.Seal(batch);
            }
            AssertNoWorseThanNamedError(batch, seed);
        }
    }

    [Fact]
    public void Lengths_of_two_gigabytes_allocate_nothing()
    {
        // One record whose key, value and header count claim the maximum.
        foreach (var field in new[] { 0, 1, 2, 3 })
        {
            var batch = SampleRecord.Build([new SampleRecord(0, new byte[8], new byte[8], [(new byte[8], null)])]);
            var record = batch.AsSpan(RecordBatchHeader.Size);
            // length | attributes | timestamp delta | offset delta | key length, 8 bytes | value length, 8 bytes | header count, ...
            var position = field switch { 0 => 0, 1 => 4, 2 => 13, _ => 22 };
            VarInt.Write(record[position..], int.MaxValue);
            RecordBatches.Seal(batch);
            var before = GC.GetAllocatedBytesForCurrentThread();
            Assert.Equal(RecordBatchError.BadRecord, RecordBatches.ValidateRecords(batch, StandardCodecs.All)?.Error);
            using var reader = new RecordReader(batch, StandardCodecs.All);
            Assert.Throws<RecordBatchException>(() => reader.MoveNext());
            Assert.True(GC.GetAllocatedBytesForCurrentThread() - before < 100_000);
        }
        var headers = new OrleansMq.Records.Record { HeaderCount = int.MaxValue, HeaderBytes = new byte[16] };
        Assert.Throws<RecordBatchException>(() => headers.ReadHeaders());
    }

    [Fact]
    public void Record_count_of_two_billion_is_refused_quickly()
    {
        var batch = SampleRecord.Build(Records, CompressionType.Zstd);
        BinaryPrimitives.WriteInt32BigEndian(batch.AsSpan(23), int.MaxValue);
        BinaryPrimitives.WriteInt32BigEndian(batch.AsSpan(57), int.MaxValue);
        RecordBatches.Seal(batch);
        Assert.Equal(RecordBatchError.BadRecordCount, RecordBatches.ValidateRecords(batch, StandardCodecs.All, allowGaps: true)?.Error);
    }

    private static byte Interesting(Random random) => random.Next(4) switch
    {
        0 => 0xFF,
        1 => 0x80,
        2 => 0,
        _ => (byte)random.Next(256),
    };

    private static void AssertNoWorseThanNamedError(byte[] batch, int seed)
    {
        try
        {
            var fault = RecordBatches.Validate(batch, out _) ?? RecordBatches.ValidateRecords(batch, StandardCodecs.All, allowGaps: true);
            Assert.NotEqual(RecordBatchError.Unknown, fault?.Error);
            var failed = false;
            try
            {
                SampleRecord.Read(batch);
            }
            catch (RecordBatchException)
            {
                failed = true;
            }
            // Both readers agree on what a valid batch is.
            Assert.True(failed == fault is not null, $"reader failed: {failed}; {fault}");
        }
        catch (Exception exception)
        {
            throw new Xunit.Sdk.XunitException($"{Seeds.Replay(seed)}\n{Convert.ToHexString(batch)}\n{exception}", exception);
        }
    }
}
