using System.Buffers;

namespace OrleansMq.Gateways.Connections;

/// <summary>One frame's bytes after its head, in pooled memory. The engine stamps offsets into this memory and writes it to the log. The
/// memory grows with what has arrived, so that an announced length alone costs little.</summary>
/// <param name="length">The frame's size in bytes, without its head.</param>
internal sealed class RequestFrame(int length) : IDisposable
{
    /// <summary>The memory of the first step, in bytes; as much as small frames that arrive together are received into. Most requests need
    /// no second step, and are received in place.</summary>
    public const int FirstBytes = 128 << 10;

    // The least memory after a second step: a frame of this size is copied once, and only its beginning.
    private const int SecondBytes = 1 << 20;

    private byte[] _bytes = [];
    private int _size;
    private int _filled;
    private long _taken;
    private volatile bool _isWaiting;

    /// <summary>The size in bytes.</summary>
    public int Length => length;

    /// <summary>Whether the size is that of the frame; otherwise it is the most that it may have.</summary>
    public bool IsAnnounced { get; init; } = true;

    /// <summary>Bytes that have arrived. May be read by any thread.</summary>
    public int Filled => Volatile.Read(ref _filled);

    /// <summary>Bytes that have not arrived yet.</summary>
    public int Missing => length - _filled;

    /// <summary>Whether the memory is used up while bytes are missing.</summary>
    public bool MustGrow => Missing > 0 && _filled == _size;

    /// <summary>The memory after the next step, in bytes.</summary>
    public int NextSize => (int)Math.Min(length, _size == 0 ? FirstBytes : Math.Max(SecondBytes, 2L * _size));

    /// <summary>The memory that it has of its <see cref="FrameBudget"/>, which alone sets it. May be read by any thread.</summary>
    public long Taken
    {
        get => Volatile.Read(ref _taken);
        set => Volatile.Write(ref _taken, value);
    }

    /// <summary>Whether it waits for memory. Set by its <see cref="FrameBudget"/>.</summary>
    public bool IsWaiting
    {
        get => _isWaiting;
        set => _isWaiting = value;
    }

    /// <summary>The bytes, once none is missing.</summary>
    public Memory<byte> Memory => _bytes.AsMemory(0, length);

    /// <summary>The bytes that have arrived.</summary>
    public Memory<byte> Arrived => _bytes.AsMemory(0, _filled);

    /// <summary>Where the next bytes go; not empty unless it <see cref="MustGrow"/> or none is missing.</summary>
    public Memory<byte> Room => _bytes.AsMemory(_filled, _size - _filled);

    /// <summary>Takes memory for the next step.</summary>
    public void Grow()
    {
        var size = NextSize;
        var larger = ArrayPool<byte>.Shared.Rent(size);
        _bytes.AsSpan(0, _filled).CopyTo(larger);
        if (_size > 0)
            ArrayPool<byte>.Shared.Return(_bytes);
        (_bytes, _size) = (larger, size);
    }

    /// <summary>Counts bytes that were received into <see cref="Room"/>.</summary>
    public void Advance(int count) => Volatile.Write(ref _filled, _filled + count);

    /// <summary>Copies what has arrived, as far as it belongs to this frame and there is room.</summary>
    /// <returns>How many bytes were taken.</returns>
    public int Fill(ReadOnlySpan<byte> arrived)
    {
        var taken = Math.Min(arrived.Length, _size - _filled);
        arrived[..taken].CopyTo(_bytes.AsSpan(_filled));
        Advance(taken);
        return taken;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        var bytes = _bytes;
        (_bytes, _size) = ([], 0);
        if (bytes.Length > 0)
            ArrayPool<byte>.Shared.Return(bytes);
    }
}
