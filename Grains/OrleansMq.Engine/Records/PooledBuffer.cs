using System.Buffers;

namespace OrleansMq.Records;

/// <summary>
/// A growing buffer over memory from the shared pool. <see cref="Clear"/> keeps the memory, so a buffer in steady use allocates nothing.
/// Memory above 4 MiB is not pooled: the pool would keep what one decompression bomb took.
/// Not thread-safe. Its spans and memory are valid until the next write or dispose.
/// </summary>
internal sealed class PooledBuffer : IBufferWriter<byte>, IDisposable
{
    // Above what batches of ordinary clients decompress to.
    private const int MaxPooledBytes = 4 << 20;
    private const int MinCapacity = 256;
    private byte[] _bytes;

    /// <summary>Creates an empty buffer with room for <paramref name="initialCapacity"/> bytes.</summary>
    public PooledBuffer(int initialCapacity = 0) => _bytes = initialCapacity == 0 ? [] : Take(initialCapacity);

    /// <summary>The number of bytes written.</summary>
    public int Length { get; private set; }

    /// <summary>The bytes written; they may be changed in place.</summary>
    public Span<byte> WrittenSpan => _bytes.AsSpan(0, Length);

    /// <summary>The bytes written; they may be changed in place.</summary>
    public Memory<byte> WrittenMemory => _bytes.AsMemory(0, Length);

    /// <inheritdoc/>
    public Span<byte> GetSpan(int sizeHint = 0)
    {
        Reserve(sizeHint);
        return _bytes.AsSpan(Length);
    }

    /// <inheritdoc/>
    public Memory<byte> GetMemory(int sizeHint = 0)
    {
        Reserve(sizeHint);
        return _bytes.AsMemory(Length);
    }

    /// <inheritdoc/>
    public void Advance(int count)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(count);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(count, _bytes.Length - Length);
        Length += count;
    }

    /// <summary>Appends bytes.</summary>
    public void Write(ReadOnlySpan<byte> bytes)
    {
        Reserve(bytes.Length);
        bytes.CopyTo(_bytes.AsSpan(Length));
        Length += bytes.Length;
    }

    /// <summary>Discards everything after the first <paramref name="length"/> bytes.</summary>
    public void Truncate(int length)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(length);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(length, Length);
        Length = length;
    }

    /// <summary>Discards the content and keeps the memory.</summary>
    public void Clear() => Length = 0;

    /// <summary>Returns the memory to the pool. The buffer may be used again.</summary>
    public void Dispose()
    {
        var bytes = _bytes;
        _bytes = [];
        Length = 0;
        Return(bytes);
    }

    /// <summary>Takes memory: from the pool, unless it is large.</summary>
    internal static byte[] Take(int capacity) => capacity <= MaxPooledBytes ? ArrayPool<byte>.Shared.Rent(capacity)
        : GC.AllocateUninitializedArray<byte>(capacity);

    /// <summary>Gives back what <see cref="Take"/> returned.</summary>
    internal static void Return(byte[] bytes)
    {
        if (bytes.Length is > 0 and <= MaxPooledBytes)
            ArrayPool<byte>.Shared.Return(bytes);
    }

    private void Reserve(int count)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(count);
        if (_bytes.Length - Length >= Math.Max(count, 1))
            return;
        var needed = (long)Length + Math.Max(count, 1);
        if (needed > Array.MaxLength)
            throw new InvalidOperationException($"A buffer of {needed} bytes was requested; the maximum is {Array.MaxLength}.");
        var capacity = (int)Math.Min(Math.Max(Math.Max(needed, 2L * _bytes.Length), MinCapacity), Array.MaxLength);
        var larger = Take(capacity);
        _bytes.AsSpan(0, Length).CopyTo(larger);
        Return(_bytes);
        _bytes = larger;
    }
}
