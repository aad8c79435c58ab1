using System.Buffers;
using OrleansMq.Records;
using OrleansMq.Storage;

namespace OrleansMq.Log;

/// <summary>
/// Reads every batch of a <c>.log</c> file from a position on and checks it in full: length, magic, CRC, fields, offset. What recovery
/// does with
/// what it finds wrong is decided elsewhere.
/// </summary>
internal sealed class LogScanner(IFile file, long position, long end) : IDisposable
{
    /// <summary>Read at once: large enough that the disk, not the calls, is what it waits for.</summary>
    private const int ReadBytes = 1 << 20;

    private byte[] _buffer = ArrayPool<byte>.Shared.Rent(ReadBytes);
    private long _bufferStart;
    private int _buffered;

    /// <summary>Where the next batch begins, or where the scan stopped.</summary>
    public long Position { get; private set; } = position;

    /// <summary>What is wrong with the bytes at <see cref="Position"/>; null when all up to the end is well.</summary>
    public string? Fault { get; private set; }

    /// <summary>Whether the bytes just end too early: what a write leaves that its process did not live to finish.</summary>
    public bool IsTorn { get; private set; }

    /// <summary>The batch that was stepped over last; valid until the next step.</summary>
    public ReadOnlyMemory<byte> Batch { get; private set; }

    /// <summary>Bytes read from the file.</summary>
    public long BytesRead { get; private set; }

    /// <summary>
    /// Steps over the next batch.
    /// </summary>
    /// <param name="expectedOffset">The base offset it must have; with <paramref name="allowGap"/>, at least.</param>
    /// <param name="allowGap">Whether offsets may be missing, as after compaction.</param>
    /// <param name="header">Its header.</param>
    /// <param name="at">Where it begins.</param>
    /// <returns>False at the end, and at a batch that is not whole or not right: then <see cref="Fault"/> says why.</returns>
    public bool TryMoveNext(long expectedOffset, bool allowGap, out RecordBatchHeader header, out long at)
    {
        header = default;
        at = Position;
        if (Position == end)
            return false;
        if (!TryBuffer(RecordBatchHeader.Size, out var bytes))
            return Stop($"{end - Position} bytes are no whole batch header", isTorn: true);
        header = RecordBatchHeader.Read(bytes);
        if (header.Length < RecordBatchHeader.Size - RecordBatchHeader.Overhead || header.Magic != RecordBatches.Magic)
            return Stop($"no record batch begins there (length {header.Length}, magic {header.Magic})");
        if (Position + RecordBatchHeader.Overhead + header.Length > end || !TryBuffer(header.SizeInBytes, out bytes))
            return Stop($"the batch of {(long)header.Length + RecordBatchHeader.Overhead} bytes goes past the file's {end}", isTorn: true);
        if (RecordBatches.Validate(bytes, out header) is { } fault)
            return Stop(fault.Message);
        if (header.BaseOffset < expectedOffset || (header.BaseOffset > expectedOffset && !allowGap))
            return Stop($"the batch's base offset is {header.BaseOffset} where {expectedOffset} should follow");
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
