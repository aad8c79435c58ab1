using System.Buffers;

namespace OrleansMq.Log;

/// <summary>Whole batches, in pooled memory that the holder releases.</summary>
internal sealed class BatchBuffer(byte[] bytes, int length, long nextOffset) : IMemoryOwner<byte>
{
    private byte[]? _bytes = bytes;

    /// <summary>The offset after the last batch.</summary>
    public long NextOffset { get; } = nextOffset;

    /// <summary>The batches.</summary>
    public Memory<byte> Memory => _bytes is null ? default : _bytes.AsMemory(0, length);

    /// <inheritdoc/>
    public void Dispose()
    {
        if (Interlocked.Exchange(ref _bytes, null) is { } taken)
            ArrayPool<byte>.Shared.Return(taken);
    }
}
