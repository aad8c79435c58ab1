using System.Net.Sockets;

namespace OrleansMq.Tests.Benchmarks.Peers.Load;

/// <summary>The bytes below TLS. .NET's TLS receives and sends at most one TLS record of 16 KiB at a time. This stream receives into one
/// buffer, from which TLS takes its records, and collects the records of a request until they are flushed, so that each costs few system
/// calls.</summary>
/// <param name="socket">The socket, which is not owned.</param>
/// <param name="receiveBytes">The size of the buffer.</param>
internal sealed class SocketStream(Socket socket, int receiveBytes) : Stream
{
    // A request with a batch of 64 KiB, and several small ones.
    private const int CollectedBytes = 128 << 10;

    private readonly byte[] _received = new byte[receiveBytes];
    private int _start;
    private int _end;
    private readonly byte[] _collected = new byte[CollectedBytes];
    private int _length;

    public override bool CanRead => true;

    public override bool CanSeek => false;

    public override bool CanWrite => true;

    public override long Length => throw new NotSupportedException();

    public override long Position { get => throw new NotSupportedException(); set => throw new NotSupportedException(); }

    public override int Read(Span<byte> buffer)
    {
        if (_start == _end)
            (_start, _end) = (0, socket.Receive(_received));
        var count = Math.Min(buffer.Length, _end - _start);
        _received.AsSpan(_start, count).CopyTo(buffer);
        _start += count;
        return count;
    }

    public override void Write(ReadOnlySpan<byte> buffer)
    {
        while (!buffer.IsEmpty)
        {
            if (_length == _collected.Length)
                Flush();
            var count = Math.Min(buffer.Length, _collected.Length - _length);
            buffer[..count].CopyTo(_collected.AsSpan(_length));
            _length += count;
            buffer = buffer[count..];
        }
    }

    public override void Flush()
    {
        for (var sent = 0; sent < _length;)
            sent += socket.Send(_collected.AsSpan(sent, _length - sent));
        _length = 0;
    }

    public override int Read(byte[] buffer, int offset, int count) => Read(buffer.AsSpan(offset, count));

    public override void Write(byte[] buffer, int offset, int count) => Write(buffer.AsSpan(offset, count));

    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    public override void SetLength(long value) => throw new NotSupportedException();
}
