using System.Buffers.Binary;
using OrleansMq.Storage;
using OrleansMq.Tests.Engine.Compaction;

namespace OrleansMq.Tests.Engine.Crash;

/// <summary>A record as stored in a file.</summary>
internal sealed record NaiveRecord(long Offset, long Timestamp, string? Key, string? Value, string Id);

/// <summary>A batch as stored in a file.</summary>
internal sealed record NaiveBatch(string File, long Position, int Size, long BaseOffset, long LastOffset, long MaxTimestamp,
    long ProducerId, int BaseSequence, IReadOnlyList<NaiveRecord> Records);

/// <summary>Reads a partition's directory byte by byte, with none of the engine's code but its codecs. The checker relies on it: slow,
/// simple, and written from the description of the format.</summary>
internal static class NaiveLog
{
    private static readonly uint[] CrcTable = [.. Enumerable.Range(0, 256).Select(i =>
        {
        var value = (uint)i;
        for (var bit = 0; bit < 8; bit++)
            value = (value & 1) != 0 ? (value >> 1) ^ 0x82F63B78 : value >> 1;
        return value;
    })];

    /// <summary>Reads all batches of all segments. Throws <see cref="CheckFailedException"/> for anything but whole, valid
    /// batches.</summary>
    public static List<NaiveBatch> Read(IFileSystem disk, string directory)
    {
        var batches = new List<NaiveBatch>();
        foreach (var name in disk.ListFiles(directory).Where(n => n.EndsWith(".log", StringComparison.Ordinal))
            .Order(StringComparer.Ordinal))
        {
            var segmentBase = long.Parse(name[..20]);
            var next = batches.Count == 0 ? segmentBase : batches[^1].LastOffset + 1;
            CheckFailedException.Unless(segmentBase >= next,
                $"{name} begins at or below an offset of the segment before, which goes to {next}");
            foreach (var batch in ReadFile(name, AtomicFile.TryRead(disk, Path.Combine(directory, name))!))
            {
                CheckFailedException.Unless(batch.BaseOffset >= Math.Max(segmentBase, next),
                    $"{name} at {batch.Position}: offset {batch.BaseOffset} after {next}");
                batches.Add(batch);
                next = batch.LastOffset + 1;
            }
        }
        return batches;
    }

    /// <summary>Reads the batches of one file.</summary>
    public static List<NaiveBatch> ReadFile(string name, byte[] bytes)
    {
        var batches = new List<NaiveBatch>();
        for (var at = 0; at < bytes.Length;)
        {
            CheckFailedException.Unless(bytes.Length - at >= 61, $"{name} at {at}: {bytes.Length - at} bytes are no header");
            var size = BinaryPrimitives.ReadInt32BigEndian(bytes.AsSpan(at + 8)) + 12;
            CheckFailedException.Unless(size >= 61 && size <= bytes.Length - at,
                $"{name} at {at}: a batch of {size} bytes, {bytes.Length - at} are left");
            batches.Add(ReadBatch(name, at, bytes.AsSpan(at, size)));
            at += size;
        }
        return batches;
    }

    /// <summary>Finds the batch that contains a byte. Returns false if it cannot be determined.</summary>
    public static bool FindBatch(byte[] bytes, long position, out long start, out long lastOffset)
    {
        (start, lastOffset) = (0, long.MaxValue);
        while (bytes.Length - start >= 61)
        {
            var size = BinaryPrimitives.ReadInt32BigEndian(bytes.AsSpan((int)start + 8)) + 12;
            if (size < 61 || size > bytes.Length - start)
                return false;
            if (position < start + size)
            {
                lastOffset = BinaryPrimitives.ReadInt64BigEndian(bytes.AsSpan((int)start))
                    + BinaryPrimitives.ReadInt32BigEndian(bytes.AsSpan((int)start + 23));
                return true;
            }
            start += size;
        }
        return false;
    }

    /// <summary>Checks every entry of every index against the batches.</summary>
    public static void CheckIndexes(IFileSystem disk, string directory, IReadOnlyList<NaiveBatch> batches, int indexIntervalBytes)
    {
        foreach (var name in disk.ListFiles(directory).Where(n => n.EndsWith(".log", StringComparison.Ordinal)))
        {
            var stem = name[..^4];
            var own = batches.Where(b => b.File == name).ToList();
            var segmentBase = long.Parse(stem);
            CheckOffsetIndex(stem + ".index", ReadAll(disk, directory, stem + ".index"), segmentBase, own, indexIntervalBytes);
            CheckTimeIndex(stem + ".timeindex", ReadAll(disk, directory, stem + ".timeindex"), segmentBase, own);
        }
    }

    private static void CheckOffsetIndex(string name, byte[] bytes, long segmentBase, List<NaiveBatch> batches, int intervalBytes)
    {
        CheckFailedException.Unless(bytes.Length % 8 == 0, $"{name} has {bytes.Length} bytes");
        var previous = -1L;
        for (var at = 0; at < bytes.Length; at += 8)
        {
            var offset = segmentBase + BinaryPrimitives.ReadInt32BigEndian(bytes.AsSpan(at));
            var position = BinaryPrimitives.ReadInt32BigEndian(bytes.AsSpan(at + 4));
            CheckFailedException.Unless(position > previous, $"{name} at {at}: position {position} after {previous}");
            CheckFailedException.Unless(batches.Any(b => b.Position == position && b.LastOffset == offset),
                $"{name} at {at}: no batch at {position} with last offset {offset}");
            previous = position;
        }
        // An empty index would match every log.
        var largest = batches.Select(b => b.Size).DefaultIfEmpty(0).Max();
        var end = batches.Count == 0 ? 0 : batches[^1].Position;
        var positions = Enumerable.Range(0, bytes.Length / 8)
            .Select(i => (long)BinaryPrimitives.ReadInt32BigEndian(bytes.AsSpan((i * 8) + 4))).Prepend(0).Append(end).ToList();
        for (var i = 1; i < positions.Count; i++)
            CheckFailedException.Unless(positions[i] - positions[i - 1] <= intervalBytes + (2 * largest),
                $"{name}: no entry from {positions[i - 1]} to {positions[i]}");
    }

    private static void CheckTimeIndex(string name, byte[] bytes, long segmentBase, List<NaiveBatch> batches)
    {
        CheckFailedException.Unless(bytes.Length % 12 == 0, $"{name} has {bytes.Length} bytes");
        long previousTime = -1, previousOffset = -1;
        for (var at = 0; at < bytes.Length; at += 12)
        {
            var timestamp = BinaryPrimitives.ReadInt64BigEndian(bytes.AsSpan(at));
            var offset = segmentBase + BinaryPrimitives.ReadInt32BigEndian(bytes.AsSpan(at + 8));
            CheckFailedException.Unless(timestamp > previousTime && offset > previousOffset,
                $"{name} at {at}: ({timestamp}, {offset}) after ({previousTime}, {previousOffset})");
            var batch = batches.Find(b => b.LastOffset == offset);
            CheckFailedException.Unless(batch is not null && batch.MaxTimestamp == timestamp,
                $"{name} at {at}: no batch with last offset {offset} and time {timestamp}");
            CheckFailedException.Unless(batches.TakeWhile(b => b.LastOffset < offset).All(b => b.MaxTimestamp < timestamp),
                $"{name} at {at}: an earlier batch than offset {offset} is as late as {timestamp}");
            (previousTime, previousOffset) = (timestamp, offset);
        }
    }

    private static byte[] ReadAll(IFileSystem disk, string directory, string name)
    {
        var bytes = AtomicFile.TryRead(disk, Path.Combine(directory, name));
        CheckFailedException.Unless(bytes is not null, $"{name} is missing");
        return bytes!;
    }

    private static NaiveBatch ReadBatch(string name, long position, ReadOnlySpan<byte> batch)
    {
        CheckFailedException.Unless(BinaryPrimitives.ReadInt32BigEndian(batch[12..]) == 0,
            $"{name} at {position}: a leader epoch that never was");
        CheckFailedException.Unless(batch[16] == 2, $"{name} at {position}: magic {batch[16]}");
        var crc = uint.MaxValue;
        foreach (var b in batch[21..])
            crc = (crc >> 8) ^ CrcTable[(byte)crc ^ b];
        CheckFailedException.Unless(~crc == BinaryPrimitives.ReadUInt32BigEndian(batch[17..]), $"{name} at {position}: wrong CRC");
        var baseOffset = BinaryPrimitives.ReadInt64BigEndian(batch);
        var attributes = BinaryPrimitives.ReadInt16BigEndian(batch[21..]);
        var lastDelta = BinaryPrimitives.ReadInt32BigEndian(batch[23..]);
        var baseTimestamp = BinaryPrimitives.ReadInt64BigEndian(batch[27..]);
        var count = BinaryPrimitives.ReadInt32BigEndian(batch[57..]);
        var records = new List<NaiveRecord>();
        var body = Plain(attributes & 7, batch[61..]);
        var at = 0;
        for (var i = 0; i < count; i++)
            records.Add(ReadRecord(body, ref at, baseOffset, baseTimestamp));
        CheckFailedException.Unless(at == body.Length, $"{name} at {position}: {body.Length - at} bytes after the last record");
        CheckFailedException.Unless(records.All(r => r.Offset >= baseOffset && r.Offset <= baseOffset + lastDelta),
            $"{name} at {position}: a record outside its batch");
        return new NaiveBatch(name, position, batch.Length, baseOffset, baseOffset + lastDelta,
            BinaryPrimitives.ReadInt64BigEndian(batch[35..]),
            BinaryPrimitives.ReadInt64BigEndian(batch[43..]), BinaryPrimitives.ReadInt32BigEndian(batch[53..]), records);
    }

    private static byte[] Plain(int codec, ReadOnlySpan<byte> bytes)
    {
        if (codec == 0)
            return bytes.ToArray();
        var plain = new System.Buffers.ArrayBufferWriter<byte>();
        TestLog.Codecs.Get((CompressionType)codec).Decompress(bytes, plain, 1 << 20);
        return plain.WrittenSpan.ToArray();
    }

    private static NaiveRecord ReadRecord(byte[] body, ref int at, long baseOffset, long baseTimestamp)
    {
        var length = ReadVarLong(body, ref at);
        var end = at + (int)length;
        at++;
        var timestamp = baseTimestamp + ReadVarLong(body, ref at);
        var offset = baseOffset + ReadVarLong(body, ref at);
        var key = ReadText(body, ref at);
        var value = ReadText(body, ref at);
        var headers = ReadVarLong(body, ref at);
        var id = "";
        for (var i = 0; i < headers; i++)
        {
            ReadText(body, ref at);
            id = ReadText(body, ref at) ?? "";
        }
        CheckFailedException.Unless(at == end, $"record at offset {offset}: {end - at} bytes too many");
        return new NaiveRecord(offset, timestamp, key, value, id);
    }

    private static string? ReadText(byte[] body, ref int at)
    {
        var length = (int)ReadVarLong(body, ref at);
        if (length < 0)
            return null;
        at += length;
        return System.Text.Encoding.UTF8.GetString(body, at - length, length);
    }

    private static long ReadVarLong(byte[] body, ref int at)
    {
        ulong value = 0;
        for (var shift = 0; ; shift += 7)
        {
            var b = body[at++];
            value |= (ulong)(b & 0x7F) << shift;
            if ((b & 0x80) == 0)
                return (long)(value >> 1) ^ -(long)(value & 1);
        }
    }
}

/// <summary>A failed check.</summary>
internal sealed class CheckFailedException(string message) : Exception(message)
{
    public static void Unless(bool condition, string message)
    {
        if (!condition)
            throw new CheckFailedException(message);
    }
}
