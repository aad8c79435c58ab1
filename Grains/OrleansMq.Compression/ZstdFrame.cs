using System.Buffers.Binary;

namespace OrleansMq.Compression;

/// <summary>
/// The header of a zstd frame (RFC 8878, section 3.1.1.1). Little-endian:
/// <code>
/// 0 magic u32 = FD2FB528 | 4 descriptor u8 | window u8, unless the segment is single | dictionary id | content size | blocks
/// descriptor: bits 7-6 size of the content size, bit 5 single segment, bits 1-0 size of the dictionary id
/// window:     bits 7-3 exponent, bits 2-0 mantissa: (1 + mantissa / 8) * 2^(10 + exponent) bytes
/// </code>
/// </summary>
internal static class ZstdFrame
{
    private const uint Magic = 0xFD2FB528;

    /// <summary>The window in bytes that the first frame demands. 0 if the bytes do not begin with a whole header.</summary>
    public static long WindowOf(ReadOnlySpan<byte> source)
    {
        if (source.Length < 6 || BinaryPrimitives.ReadUInt32LittleEndian(source) != Magic)
            return 0;
        var descriptor = source[4];
        if ((descriptor & 0x20) == 0)
            return (8L + (source[5] & 7)) << (7 + (source[5] >> 3));
        // Of a single segment the window is its content.
        var size = source[(5 + ((descriptor & 3) switch { 3 => 4, var bytes => bytes }))..];
        return (descriptor >> 6) switch
        {
            0 when size.Length >= 1 => size[0],
            1 when size.Length >= 2 => BinaryPrimitives.ReadUInt16LittleEndian(size) + 256,
            2 when size.Length >= 4 => BinaryPrimitives.ReadUInt32LittleEndian(size),
            3 when size.Length >= 8 => (long)Math.Min(BinaryPrimitives.ReadUInt64LittleEndian(size), long.MaxValue),
            _ => 0,
        };
    }
}
