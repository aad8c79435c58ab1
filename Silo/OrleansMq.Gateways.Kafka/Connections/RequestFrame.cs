using System.Buffers;

namespace OrleansMq.Gateways.Kafka.Connections;

/// <summary>One request's bytes, without the length in front, in pooled memory: what the engine stamps offsets into and writes to the log.
/// The memory grows with what has arrived, so that a length alone takes none.</summary>
internal sealed class RequestFrame(int length) : IDisposable
{
    // Most requests are smaller, and then are received where they stay; what a peer only announces costs no more.
    private const int FirstBytes = 1 << 20;

    private byte[] _bytes = ArrayPool<byte>.Shared.Rent(Math.Min(length, FirstBytes));
    private int _filled;

    /// <summary>How many bytes the request has.</summary>
    public int Length => length;

    /// <summary>Bytes that have not arrived.</summary>
    public int Missing => length - _filled;

    /// <summary>The request, once nothing is missing.</summary>
    public Memory<byte> Memory => _bytes.AsMemory(0, length);

    /// <summary>Where the next bytes belong: not empty while any are missing.</summary>
    public Memory<byte> Room
    {
        get
        {
            Reserve(_filled + Math.Min(Missing, 1));
            return _bytes.AsMemory(_filled, Math.Min(_bytes.Length, length) - _filled);
        }
    }

    /// <summary>So many bytes were put into <see cref="Room"/>.</summary>
    public void Advance(int count) => _filled += count;

    /// <summary>Takes over what has arrived, as much as belongs to it.</summary>
    /// <returns>How many bytes.</returns>
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
