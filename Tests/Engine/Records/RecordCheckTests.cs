using OrleansMq.Compression;
using OrleansMq.Records;

namespace OrleansMq.Tests.Engine.Records;

/// <summary>The check of records while they are decompressed.</summary>
public sealed class RecordCheckTests
{
    private static readonly SampleRecord[] Records =
    [
        new(1000, "k1"u8.ToArray(), "value one"u8.ToArray(), [("h"u8.ToArray(), "x"u8.ToArray()), ("n"u8.ToArray(), null)]),
        new(1001, null, [], []),
        new(long.MinValue, [], null, [([], [])]),
        new(2000, "k1"u8.ToArray(), new byte[300], []),
        new(2001, "k2"u8.ToArray(), "v"u8.ToArray(), [("h"u8.ToArray(), []), ("last"u8.ToArray(), "value at the end"u8.ToArray())]),
    ];

    [Fact]
    public void Records_in_pieces_of_any_size_are_judged_as_records_in_one_piece()
    {
        var seed = Seeds.Next();
        var random = new Random(seed);
        for (var round = 0; round < 50_000; round++)
        {
            var batch = SampleRecord.Build(Records[..random.Next(1, Records.Length + 1)]);
            for (var changes = random.Next(3); changes > 0; changes--)
                batch[random.Next(RecordBatchHeader.Size, batch.Length)] = (byte)random.Next(random.Next(2) == 0 ? 256 : 12);
            if (random.Next(4) == 0)
                batch = batch[..random.Next(RecordBatchHeader.Size, batch.Length)];
            RecordBatches.Seal(batch);
            if (RecordBatches.Validate(batch, out var header) is not null)
                continue;
            List<int> expectedKeyless = [], keyless = [];
            var expected = RecordBatches.ValidateRecords(batch, CompressionCodecs.Empty, keyless: expectedKeyless);
            var fault = Check(batch.AsSpan(RecordBatchHeader.Size), header, random, keyless);
            Assert.True(expected is null == fault is null, $"Seed {seed}, round {round}: {expected?.Message ?? "valid"}; in pieces: "
                + fault);
            if (expected is null)
                Assert.Equal(expectedKeyless, keyless);
        }
    }

    [Theory]
    [InlineData(CompressionType.None)]
    [InlineData(CompressionType.Gzip)]
    [InlineData(CompressionType.Snappy)]
    [InlineData(CompressionType.Lz4)]
    [InlineData(CompressionType.Zstd)]
    public void Records_cut_at_any_byte_are_refused(CompressionType codec)
    {
        var whole = SampleRecord.Build(Records);
        Assert.Null(RecordBatches.ValidateRecords(Cut(whole, whole.Length, codec), StandardCodecs.All));
        for (var length = RecordBatchHeader.Size; length < whole.Length; length++)
        {
            if (RecordBatches.ValidateRecords(Cut(whole, length, codec), StandardCodecs.All) is null)
                Assert.Fail($"{length} of {whole.Length} bytes were accepted.");
        }
    }

    [Theory]
    [InlineData(CompressionType.Gzip)]
    [InlineData(CompressionType.Snappy)]
    [InlineData(CompressionType.Lz4)]
    [InlineData(CompressionType.Zstd)]
    public void Decompression_bomb_takes_no_memory(CompressionType codec)
    {
        var bomb = SampleRecord.Build([new(1000, null, new byte[48 << 20], []), new(1001, null, [1], [])], codec);
        RecordBatches.ValidateRecords(bomb, StandardCodecs.All);
        var before = GC.GetAllocatedBytesForCurrentThread();
        Assert.Null(RecordBatches.ValidateRecords(bomb, StandardCodecs.All));
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 1 << 20);
    }

    // The count still is that of the whole batch.
    private static byte[] Cut(byte[] whole, int length, CompressionType codec)
    {
        var batch = whole[..length];
        RecordBatches.Seal(batch);
        using var result = new PooledBuffer();
        RecordBatchRewriter.Recompress(batch, codec, StandardCodecs.All, result);
        return result.WrittenSpan.ToArray();
    }

    private static string? Check(ReadOnlySpan<byte> records, RecordBatchHeader header, Random random, List<int> keyless)
    {
        try
        {
            using var check = new RecordCheck(header, allowGaps: false, keyless, allowance: null);
            while (!records.IsEmpty)
            {
                var piece = records[..random.Next(1, Math.Min(records.Length, 40) + 1)];
                piece.CopyTo(check.GetSpan(piece.Length));
                check.Advance(piece.Length);
                records = records[piece.Length..];
            }
            check.End();
            return null;
        }
        catch (RecordBatchException fault)
        {
            return fault.Message;
        }
    }
}
