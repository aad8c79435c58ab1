using System.Buffers.Binary;
using System.Numerics;
using System.Text;
using System.Text.Json;

namespace OrleansMq.Tests.Process.Segments;

/// <summary>
/// Reads a segment and its indexes by the description of the format alone, without the engine's code:
/// <code>
///   0 baseOffset i64     |  8 length i32        | 12 partitionLeaderEpoch i32 | 16 magic i8 = 2
///  17 crc u32            | 21 attributes i16    | 23 lastOffsetDelta i32      | 27 baseTimestamp i64
///  35 maxTimestamp i64   | 43 producerId i64    | 51 producerEpoch i16        | 53 baseSequence i32
///  57 recordCount i32    | 61 records
/// </code>
/// </summary>
internal static class SegmentLayout
{
    private const int Header = 61;
    private const int IndexInterval = 4096;
    private static readonly string[] Codecs = ["none", "gzip", "snappy", "lz4", "zstd"];

    /// <summary>Fails unless the segment starts at that offset, is complete to its last byte, holds the dumped batches, and matches its
    /// indexes.</summary>
    /// <returns>The offset after it.</returns>
    public static async Task<long> AssertAsync(string log, long baseOffset, IReadOnlyList<JsonElement> dumped)
    {
        var bytes = await File.ReadAllBytesAsync(log);
        var (at, next, sinceEntry) = (0, baseOffset, 0);
        var (largest, largestAt) = (long.MinValue, 0L);
        var (offsets, times) = (new List<(int, int)>(), new List<(long, int)>());
        foreach (var batch in dumped)
        {
            var length = AssertBatch(bytes.AsSpan(at), next, batch);
            next += BinaryPrimitives.ReadInt32BigEndian(bytes.AsSpan(at + 23)) + 1;
            var maxTimestamp = BinaryPrimitives.ReadInt64BigEndian(bytes.AsSpan(at + 35));
            if (maxTimestamp > largest)
                (largest, largestAt) = (maxTimestamp, next - 1);
            if (sinceEntry > IndexInterval)
            {
                offsets.Add(((int)(next - 1 - baseOffset), at));
                if (times.Count == 0 || times[^1].Item1 < largest)
                    times.Add((largest, (int)(largestAt - baseOffset)));
                sinceEntry = 0;
            }
            sinceEntry += length;
            at += length;
        }
        Assert.Equal(bytes.Length, at);
        Assert.Equal(offsets, Entries(Path.ChangeExtension(log, ".index"), 8, static entry =>
            (BinaryPrimitives.ReadInt32BigEndian(entry), BinaryPrimitives.ReadInt32BigEndian(entry.AsSpan(4)))));
        // The last entry covers all later records, once the segment is full or closed.
        if (times.Count == 0 || times[^1].Item1 < largest)
            times.Add((largest, (int)(largestAt - baseOffset)));
        Assert.Equal(times, Entries(Path.ChangeExtension(log, ".timeindex"), 12, static entry =>
            (BinaryPrimitives.ReadInt64BigEndian(entry), BinaryPrimitives.ReadInt32BigEndian(entry.AsSpan(8)))));
        return next;
    }

    private static int AssertBatch(ReadOnlySpan<byte> from, long offset, JsonElement dumped)
    {
        Assert.Equal(offset, BinaryPrimitives.ReadInt64BigEndian(from));
        var batch = from[..(12 + BinaryPrimitives.ReadInt32BigEndian(from[8..]))];
        Assert.Equal(0, BinaryPrimitives.ReadInt32BigEndian(batch[12..]));
        Assert.Equal(2, batch[16]);
        Assert.Equal(Crc32C(batch[21..]), BinaryPrimitives.ReadUInt32BigEndian(batch[17..]));
        var attributes = BinaryPrimitives.ReadInt16BigEndian(batch[21..]);
        Assert.Equal(0, attributes & ~7);
        Assert.Equal(Codecs[attributes], dumped.GetProperty("compression").GetString());
        var count = BinaryPrimitives.ReadInt32BigEndian(batch[57..]);
        Assert.Equal(count - 1, BinaryPrimitives.ReadInt32BigEndian(batch[23..]));
        Assert.Equal((offset, batch.Length, count), (dumped.GetProperty("baseOffset").GetInt64(),
            dumped.GetProperty("sizeBytes").GetInt32(), dumped.GetProperty("recordCount").GetInt32()));
        var (producer, epoch, sequence) = (BinaryPrimitives.ReadInt64BigEndian(batch[43..]),
            BinaryPrimitives.ReadInt16BigEndian(batch[51..]), BinaryPrimitives.ReadInt32BigEndian(batch[53..]));
        Assert.True(producer >= 0 ? epoch == 0 && sequence >= 0 : (producer, epoch, sequence) == (-1, -1, -1),
            $"producer {producer}, epoch {epoch}, sequence {sequence}");
        if (attributes == 0)
            AssertRecords(batch, dumped.GetProperty("records").EnumerateArray().ToArray());
        return batch.Length;
    }

    private static void AssertRecords(ReadOnlySpan<byte> batch, JsonElement[] dumped)
    {
        var at = Header;
        var (firstTime, latest) = (BinaryPrimitives.ReadInt64BigEndian(batch[27..]), long.MinValue);
        for (var number = 0; number < dumped.Length; number++)
        {
            var end = Varint(batch, ref at);
            end += at;
            Assert.Equal(0, batch[at++]);
            var timestamp = firstTime + Varint(batch, ref at);
            latest = Math.Max(latest, timestamp);
            Assert.Equal(dumped[number].GetProperty("timestamp").GetInt64(), timestamp);
            Assert.Equal(number, Varint(batch, ref at));
            Assert.Equal(dumped[number].GetProperty("key").GetString(), Text(batch, ref at));
            Assert.Equal(dumped[number].GetProperty("value").GetString(), Text(batch, ref at));
            var headers = dumped[number].GetProperty("headers").EnumerateArray().ToArray();
            Assert.Equal(headers.Length, Varint(batch, ref at));
            foreach (var header in headers)
                Assert.Equal((header.GetProperty("name").GetString(), header.GetProperty("value").GetString()),
                    (Text(batch, ref at), Text(batch, ref at)));
            Assert.Equal(end, at);
        }
        Assert.Equal(batch.Length, at);
        Assert.Equal(latest, BinaryPrimitives.ReadInt64BigEndian(batch[35..]));
    }

    private static string? Text(ReadOnlySpan<byte> bytes, ref int at)
    {
        var length = (int)Varint(bytes, ref at);
        if (length < 0)
            return null;
        at += length;
        return Encoding.UTF8.GetString(bytes[(at - length)..at]);
    }

    // Seven bits a byte, lowest first; the sign is the lowest bit.
    private static long Varint(ReadOnlySpan<byte> bytes, ref int at)
    {
        var (value, shift) = (0UL, 0);
        for (; ; shift += 7)
        {
            value |= (ulong)(bytes[at] & 0x7F) << shift;
            if (bytes[at++] < 0x80)
                return (long)(value >> 1) ^ -(long)(value & 1);
        }
    }

    private static uint Crc32C(ReadOnlySpan<byte> bytes)
    {
        var crc = uint.MaxValue;
        foreach (var value in bytes)
            crc = BitOperations.Crc32C(crc, value);
        return ~crc;
    }

    private static List<T> Entries<T>(string file, int size, Func<byte[], T> read)
    {
        var bytes = File.ReadAllBytes(file);
        Assert.Equal(0, bytes.Length % size);
        return [.. bytes.Chunk(size).Select(read)];
    }
}
