using System.Buffers;
using System.Buffers.Binary;
using OrleansMq.Records;

namespace OrleansMq.Compression;

/// <summary>
/// Snappy. Writes the Java library's framing (which Java clients and librdkafka read); reads that framing or one raw block.
/// <code>
/// 82 'S' 'N' 'A' 'P' 'P' 'Y' 00 | version i32 = 1 | compatible version i32 = 1 | per block: length i32, raw block   (big-endian)
/// </code>
/// </summary>
internal sealed class SnappyCodec : ICompressionCodec
{
    private const int FrameHeaderSize = 16;

    private static ReadOnlySpan<byte> Magic => [0x82, (byte)'S', (byte)'N', (byte)'A', (byte)'P', (byte)'P', (byte)'Y', 0];

    public CompressionType Type => CompressionType.Snappy;

    public void Compress(ReadOnlySpan<byte> source, IBufferWriter<byte> destination)
    {
        var header = destination.GetSpan(FrameHeaderSize);
        Magic.CopyTo(header);
        BinaryPrimitives.WriteInt32BigEndian(header[8..], 1);
        BinaryPrimitives.WriteInt32BigEndian(header[12..], 1);
        destination.Advance(FrameHeaderSize);
        while (!source.IsEmpty)
        {
            var block = source[..Math.Min(source.Length, SnappyBlock.MaxEncodeSize)];
            source = source[block.Length..];
            var span = destination.GetSpan(4 + SnappyBlock.MaxCompressedSize(block.Length));
            var length = SnappyBlock.Encode(block, span[4..]);
            BinaryPrimitives.WriteInt32BigEndian(span, length);
            destination.Advance(4 + length);
        }
    }

    public void Decompress(ReadOnlySpan<byte> source, IBufferWriter<byte> destination, int maxLength)
    {
        if (source.Length < FrameHeaderSize || !source.StartsWith(Magic))
        {
            DecompressBlock(source, destination, maxLength, maxLength);
            return;
        }
        var left = maxLength;
        source = source[FrameHeaderSize..];
        while (!source.IsEmpty)
        {
            var length = source.Length < 4 ? -1 : BinaryPrimitives.ReadInt32BigEndian(source);
            if (length < 0 || length > source.Length - 4)
                throw new RecordBatchException(RecordBatchError.BadCompression,
                    $"A snappy block of {length} bytes; {source.Length} are left.");
            left -= DecompressBlock(source.Slice(4, length), destination, left, maxLength);
            source = source[(4 + length)..];
        }
    }

    private static int DecompressBlock(ReadOnlySpan<byte> block, IBufferWriter<byte> destination, int left, int maxLength)
    {
        if (!SnappyBlock.TryReadLength(block, out var length, out var headerSize))
            throw new RecordBatchException(RecordBatchError.BadCompression, "A snappy block without a length that its bytes can hold.");
        if (length > left)
            throw DecompressionBound.TooLong(maxLength);
        var span = destination.GetSpan(length)[..length];
        if (!SnappyBlock.TryDecode(block[headerSize..], span))
            throw new RecordBatchException(RecordBatchError.BadCompression,
                $"A snappy block that does not decode to its {length} bytes.");
        destination.Advance(length);
        return length;
    }
}
