using OrleansMq.Records;

namespace OrleansMq.Cli.Segments;

/// <summary>One batch of a segment file, as it lies there.</summary>
/// <param name="Position">The file's byte at which it begins.</param>
/// <param name="Header">Its header; only the fields before the fault can be trusted where there is one.</param>
/// <param name="Bytes">The whole batch, valid until the next one is read; empty where the file holds only a part of it.</param>
/// <param name="Fault">Null where the batch is valid.</param>
internal readonly record struct ScannedBatch(long Position, RecordBatchHeader Header, ReadOnlyMemory<byte> Bytes, RecordBatchFault? Fault);

/// <summary>
/// Reads a segment file batch by batch and judges each, without changing anything: the file may belong to a running broker. After a batch
/// with a wrong CRC or offset it goes on with the next; after a length that cannot be, it stops, since nobody knows where the next one
/// begins.
/// </summary>
/// <param name="file">The segment.</param>
/// <param name="baseOffset">The offset at which it begins; null where that is not known, and then its first batch's.</param>
internal sealed class SegmentScan(Stream file, long? baseOffset = null)
{
    /// <summary>No batch is larger; a length field above it is damage, not a reason to take as much memory.</summary>
    private const int MaxBatchBytes = 1 << 30;

    private byte[] _batch = new byte[64 << 10];
    private long? _baseOffset = baseOffset;
    private long _nextOffset = baseOffset ?? 0;

    /// <summary>The file's byte after the last batch that could be told from the next.</summary>
    public long Position { get; private set; }

    /// <summary>The batches, each valid until the next is asked for.</summary>
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
    /// The CRC does not cover the base offset. Compaction leaves gaps, so that one which is too high shows by the batch that follows,
    /// unless it is higher than the segment's index could say.
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

    /// <summary>Reads what follows the header; returns how many bytes the file lacks.</summary>
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
