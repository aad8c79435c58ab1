using System.Buffers.Binary;

namespace OrleansMq.Tests.Kafka.Tls;

/// <summary>Notes the types of the TLS records that are received.</summary>
internal sealed class RecordingStream(Stream inner) : Stream
{
    private readonly List<byte> _received = [];

    /// <summary>The content type of the last record.</summary>
    public byte LastType
    {
        get
        {
            var bytes = _received.ToArray();
            byte last = 0;
            for (var start = 0; start + 5 <= bytes.Length; start += 5 + BinaryPrimitives.ReadUInt16BigEndian(bytes.AsSpan(start + 3)))
                last = bytes[start];
            return last;
        }
    }

    public override bool CanRead => true;

    public override bool CanSeek => false;

    public override bool CanWrite => true;

    public override long Length => throw new NotSupportedException();

    public override long Position { get => throw new NotSupportedException(); set => throw new NotSupportedException(); }

    public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        var count = await inner.ReadAsync(buffer, cancellationToken);
        _received.AddRange(buffer[..count].ToArray());
        return count;
    }

    public override ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default) =>
        inner.WriteAsync(buffer, cancellationToken);

    public override Task FlushAsync(CancellationToken cancellationToken) => inner.FlushAsync(cancellationToken);

    public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

    public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();

    public override void Flush() => inner.Flush();

    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    public override void SetLength(long value) => throw new NotSupportedException();
}
