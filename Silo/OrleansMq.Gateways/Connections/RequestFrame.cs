using System.Buffers;

namespace OrleansMq.Gateways.Connections;

/// <summary>One frame's bytes after its head, in pooled memory. The engine stamps offsets into this memory and writes it to the log. The
/// memory grows with what has arrived, so that an announced length alone costs little.</summary>
/// <param name="length">The frame's size in bytes, without its head.</param>
internal sealed class RequestFrame(int length) : IDisposable
{
    // Most requests are smaller, and are received in place. A length that a client only announces costs no more than this.
    private const int FirstBytes = 1 << 20;

    private byte[] _bytes = ArrayPool<byte>.Shared.Rent(Math.Min(length, FirstBytes));
    private int _filled;

    /// <summary>The size in bytes.</summary>
    public int Length => length;

    /// <summary>Bytes that have not arrived yet.</summary>
    public int Missing => length - _filled;

    /// <summary>The bytes, once none is missing.</summary>
    public Memory<byte> Memory => _bytes.AsMemory(0, length);

    /// <summary>Where the next bytes go: not empty while any are missing.</summary>
    public Memory<byte> Room
    {
        get
        {
            Reserve(_filled + Math.Min(Missing, 1));
            return _bytes.AsMemory(_filled, Math.Min(_bytes.Length, length) - _filled);
        }
    }

    /// <summary>Counts bytes that were received into <see cref="Room"/>.</summary>
    public void Advance(int count) => _filled += count;

    /// <summary>Copies what has arrived, as far as it belongs to this frame.</summary>
    /// <returns>How many bytes were taken.</returns>
    public int Fill(ReadOnlySpan<byte> arrived)
    {
        var taken = Math.Min(arrived.Length, Missing);
        Reserve(_filled + taken);
        arrived[..taken].CopyTo(_bytes.AsSpan(_filled));
        _filled += taken;
        return taken;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        var bytes = _bytes;
        _bytes = [];
        if (bytes.Length > 0)
            ArrayPool<byte>.Shared.Return(bytes);
    }

    private void Reserve(int size)
    {
        if (size <= _bytes.Length)
            return;
        var larger = ArrayPool<byte>.Shared.Rent((int)Math.Min(Math.Max(size, 2L * _bytes.Length), length));
        _bytes.AsSpan(0, _filled).CopyTo(larger);
        ArrayPool<byte>.Shared.Return(_bytes);
        _bytes = larger;
    }
}
