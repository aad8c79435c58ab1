using OrleansMq.Records;

namespace OrleansMq.Cli.Segments;

/// <summary>One batch of a segment file.</summary>
/// <param name="Position">The position in the file at which it begins.</param>
/// <param name="Header">Its header. With a fault, only the fields before the fault can be trusted.</param>
/// <param name="Bytes">The whole batch, valid until the next one is read; empty if the file contains only part of it.</param>
/// <param name="Fault">Null for a valid batch.</param>
internal readonly record struct ScannedBatch(long Position, RecordBatchHeader Header, ReadOnlyMemory<byte> Bytes, RecordBatchFault? Fault);

/// <summary>
/// Reads a segment file batch by batch and checks each, without changing anything, since the file may belong to a running broker. After a
/// batch with a wrong CRC or offset it continues with the next. After an impossible length it stops, since the position of the next batch
/// is unknown.
/// </summary>
/// <param name="file">The segment.</param>
/// <param name="baseOffset">The segment's base offset; if null, that of its first batch is used.</param>
internal sealed class SegmentScan(Stream file, long? baseOffset = null)
{
    /// <summary>The maximum batch size. A larger length field is damage, and must not cause an allocation of that size.</summary>
    private const int MaxBatchBytes = 1 << 30;

    private byte[] _batch = new byte[64 << 10];
    private long? _baseOffset = baseOffset;
    private long _nextOffset = baseOffset ?? 0;

    /// <summary>The position in the file after the last batch with a known length.</summary>
    public long Position { get; private set; }

    /// <summary>Reads the batches. Each is valid until the next is requested.</summary>
    public IEnumerable<ScannedBatch> Read()
    {
        while (true)
        {
            var position = Position;
            var headerBytes = file.ReadAtLeast(_batch.AsSpan(0, RecordBatchHeader.Size), RecordBatchHeader.Size, throwOnEndOfStream: false);
            if (headerBytes == 0)
                yield break;
            if (headerBytes < RecordBatchHeader.Size)
            {
                yield return Broken(position, default, RecordBatchError.Truncated,
                    $"The file ends after {headerBytes} bytes of a batch; its header alone has {RecordBatchHeader.Size}.");
                yield break;
            }
            var header = RecordBatchHeader.Read(_batch);
            if (header.SizeInBytes is < RecordBatchHeader.Size or > MaxBatchBytes)
            {
                yield return Broken(position, header, RecordBatchError.BadLength,
                    $"The length field says {header.Length}, which no batch has; nothing behind it can be read.");
                yield break;
            }
            var missing = ReadRest(header.SizeInBytes);
            if (missing > 0)
            {
                yield return Broken(position, header, RecordBatchError.Truncated, $"The file ends {missing} bytes before the batch does.");
                yield break;
            }
            Position += header.SizeInBytes;
            var bytes = _batch.AsMemory(0, header.SizeInBytes);
            yield return new ScannedBatch(position, header, bytes, RecordBatches.Validate(bytes.Span, out _) ?? JudgeOffset(header));
        }
    }

    /// <summary>
    /// Checks the base offset, which the CRC does not cover. Compaction leaves gaps, so an offset that is too high is only detected by the
    /// batch that follows, unless it is beyond what the segment's index can express.
    /// </summary>
    private RecordBatchFault? JudgeOffset(in RecordBatchHeader header)
    {
        _baseOffset ??= Math.Max(0, header.BaseOffset);
        if (header.LastOffset - _baseOffset.Value is < 0 or > int.MaxValue)
            return new(RecordBatchError.BadOffsets, $"Its offsets are {header.BaseOffset} to {header.LastOffset}; the segment's begin at "
                + $"{_baseOffset} and span 2^31 at most.");
        var expected = _nextOffset;
        _nextOffset = header.NextOffset;
        return header.BaseOffset < expected
            ? new(RecordBatchError.BadOffsets,
                $"Its base offset is {header.BaseOffset}, where {expected} or a later one follows: "
                + "it is wrong here or in the batch before.")
            : null;
    }

    /// <summary>Reads the rest of a batch after its header. Returns how many bytes the file lacks.</summary>
    private int ReadRest(int size)
    {
        if (_batch.Length < size)
            Array.Resize(ref _batch, size);
        var rest = size - RecordBatchHeader.Size;
        return rest - file.ReadAtLeast(_batch.AsSpan(RecordBatchHeader.Size, rest), rest, throwOnEndOfStream: false);
    }

    private static ScannedBatch Broken(long position, RecordBatchHeader header, RecordBatchError error, string message) =>
        new(position, header, default, new RecordBatchFault(error, message));
}
