using System.Buffers;
using OrleansMq.Records;
using OrleansMq.Storage;

namespace OrleansMq.Log;

/// <summary>
/// Reads every batch of a <c>.log</c> file from a position on and checks it completely: length, magic, CRC, fields, offset. The caller
/// decides what recovery does about a fault.
/// </summary>
/// <param name="file">The open file.</param>
/// <param name="position">The position of the first batch to scan.</param>
/// <param name="end">Where the scan ends.</param>
/// <param name="segmentBase">The segment's base offset. The CRC does not cover a batch's offset, so one may be beyond every index.</param>
internal sealed class LogScanner(IFile file, long position, long end, long segmentBase) : IDisposable
{
    /// <summary>The size of a read: large enough that the disk, not the number of calls, limits the speed.</summary>
    private const int ReadBytes = 1 << 20;

    private byte[] _buffer = ArrayPool<byte>.Shared.Rent(ReadBytes);
    private long _bufferStart;
    private int _buffered;

    /// <summary>The position of the next batch, or where the scan stopped.</summary>
    public long Position { get; private set; } = position;

    /// <summary>The fault of the bytes at <see cref="Position"/>; null if there is none up to the end.</summary>
    public string? Fault { get; private set; }

    /// <summary>Whether the file merely ends too early, as after a crash during a write.</summary>
    public bool IsTorn { get; private set; }

    /// <summary>The last scanned batch; valid until the next step.</summary>
    public ReadOnlyMemory<byte> Batch { get; private set; }

    /// <summary>The number of bytes read from the file.</summary>
    public long BytesRead { get; private set; }

    /// <summary>
    /// Scans the next batch.
    /// </summary>
    /// <param name="expectedOffset">The batch's base offset; with <paramref name="allowGap"/> the minimum.</param>
    /// <param name="allowGap">Whether offsets may be missing, as after compaction.</param>
    /// <param name="header">The batch's header.</param>
    /// <param name="at">The batch's position.</param>
    /// <returns>False at the end, and at an incomplete or invalid batch: then <see cref="Fault"/> has the reason.</returns>
    public bool TryMoveNext(long expectedOffset, bool allowGap, out RecordBatchHeader header, out long at)
    {
        header = default;
        at = Position;
        if (Position == end)
            return false;
        if (!TryBuffer(RecordBatchHeader.Size, out var bytes))
            return Stop($"{end - Position} bytes are not a whole batch header", isTorn: true);
        header = RecordBatchHeader.Read(bytes);
        if (header.Length < RecordBatchHeader.Size - RecordBatchHeader.Overhead || header.Magic != RecordBatches.Magic)
            return Stop($"no record batch begins there (length {header.Length}, magic {header.Magic})");
        if (Position + RecordBatchHeader.Overhead + header.Length > end || !TryBuffer(header.SizeInBytes, out bytes))
            return Stop($"the batch of {(long)header.Length + RecordBatchHeader.Overhead} bytes exceeds the file's {end}", isTorn: true);
        if (RecordBatches.Validate(bytes, out header) is { } fault)
            return Stop(fault.Message);
        if (header.BaseOffset < expectedOffset || (header.BaseOffset > expectedOffset && !allowGap))
            return Stop($"the batch's base offset is {header.BaseOffset} where {expectedOffset} should follow");
        if (!RollPolicy.CanIndex(segmentBase, header.LastOffset))
            return Stop($"the batch's base offset is {header.BaseOffset}, which no segment that begins at {segmentBase} holds");
        Batch = _buffer.AsMemory((int)(Position - _bufferStart), header.SizeInBytes);
        Position += header.SizeInBytes;
        return true;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        ArrayPool<byte>.Shared.Return(_buffer);
        _buffer = [];
    }

    private bool Stop(string fault, bool isTorn = false)
    {
        IsTorn = isTorn;
        Fault = fault;
        return false;
    }

    private bool TryBuffer(int count, out ReadOnlySpan<byte> bytes)
    {
        if (Position < _bufferStart || Position + count > _bufferStart + _buffered)
        {
            if (count > _buffer.Length)
            {
                ArrayPool<byte>.Shared.Return(_buffer);
                _buffer = ArrayPool<byte>.Shared.Rent(count);
            }
            _bufferStart = Position;
            _buffered = file.Read(_buffer.AsSpan(0, (int)Math.Min(_buffer.Length, end - Position)), Position);
            BytesRead += _buffered;
        }
        bytes = default;
        if (Position + count > _bufferStart + _buffered)
            return false;
        bytes = _buffer.AsSpan((int)(Position - _bufferStart), count);
        return true;
    }
}
