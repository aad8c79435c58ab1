using System.Buffers;
using System.Buffers.Binary;
using System.IO.Compression;
using OrleansMq.Records;

namespace OrleansMq.Compression;

/// <summary>gzip with .NET's built-in zlib. The only codec that allocates in each call, since .NET offers it only as a stream.</summary>
internal sealed class GzipCodec : ICompressionCodec
{
    // Header, an empty block and trailer: the shortest valid stream. .NET instead writes no bytes for empty input, and accepts no bytes as
    // an empty stream.
    private static ReadOnlySpan<byte> EmptyStream => [0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 0xFF, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0];

    public CompressionType Type => CompressionType.Gzip;

    public void Compress(ReadOnlySpan<byte> source, IBufferWriter<byte> destination)
    {
        if (source.IsEmpty)
        {
            destination.Write(EmptyStream);
            return;
        }
        using var gzip = new GZipStream(new BufferWriterStream(destination), CompressionLevel.Optimal);
        gzip.Write(source);
    }

    public unsafe void Decompress(ReadOnlySpan<byte> source, IBufferWriter<byte> destination, int maxLength)
    {
        if (source.Length < EmptyStream.Length)
            throw new RecordBatchException(RecordBatchError.BadCompression, $"{source.Length} bytes are not a gzip stream.");
        var bound = new DecompressionBound(destination, maxLength);
        fixed (byte* start = source)
        {
            using var input = new UnmanagedMemoryStream(start, source.Length);
            try
            {
                using var gzip = new GZipStream(input, CompressionMode.Decompress);
                int read;
                while ((read = gzip.Read(bound.NextSpan())) > 0)
                    bound.Advance(read);
            }
            catch (InvalidDataException exception)
            {
                throw new RecordBatchException(RecordBatchError.BadCompression, $"The records are not a gzip stream: {exception.Message}");
            }
            // zlib's own failures, as a lack of memory, are of a type that is not public. They say nothing of the bytes.
            catch (IOException exception)
            {
                throw new RecordBatchException(RecordBatchError.Busy, $"zlib cannot decompress the records now: {exception.Message}");
            }
        }
        // .NET treats the end of the bytes as the end of the stream. So check the trailer, whose last field is the length. Clients write a
        // single member.
        var length = BinaryPrimitives.ReadUInt32LittleEndian(source[^4..]);
        if (length != (uint)bound.Written)
            throw new RecordBatchException(RecordBatchError.BadCompression,
                $"The gzip stream ends after {bound.Written} of {length} bytes.");
    }

    /// <summary>A stream that writes into a buffer writer.</summary>
    private sealed class BufferWriterStream(IBufferWriter<byte> destination) : Stream
    {
        public override bool CanRead => false;
        public override bool CanSeek => false;
        public override bool CanWrite => true;
        public override long Length => throw new NotSupportedException();
        public override long Position { get => throw new NotSupportedException(); set => throw new NotSupportedException(); }
        public override void Flush() { }
        public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();
        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();
        public override void SetLength(long value) => throw new NotSupportedException();
        public override void Write(byte[] buffer, int offset, int count) => destination.Write(buffer.AsSpan(offset, count));
        public override void Write(ReadOnlySpan<byte> buffer) => destination.Write(buffer);
    }
}
