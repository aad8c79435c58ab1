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
    // A skippable frame: any of 16 magics, a length u32, and that many bytes of no meaning.
    private const uint SkippableMagic = 0x184D2A50;
    private const uint SkippableMask = 0xFFFFFFF0;
    // The most that one block decompresses to.
    private const int MaxBlock = 128 << 10;

    /// <summary>Whether a frame of this format, or a skippable one, may begin here. The library also reads the frames of versions before
    /// 0.8, whose windows are not known here.</summary>
    /// <param name="source">All bytes that are left.</param>
    /// <param name="magic">The first four of them; 0 if there are fewer.</param>
    public static bool MayBegin(ReadOnlySpan<byte> source, out uint magic) =>
        !BinaryPrimitives.TryReadUInt32LittleEndian(source, out magic) || magic == Magic || (magic & SkippableMask) == SkippableMagic;

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

    /// <summary>The most bytes that the content can have, as its blocks tell. <see cref="long.MaxValue"/> unless <paramref name="source"/>
    /// is exactly one frame. A block is u24: bit 0 last, bits 2-1 kind (raw, repeated byte, compressed), size; then its bytes.</summary>
    public static long ContentBoundOf(ReadOnlySpan<byte> source)
    {
        if (source.Length < 6 || BinaryPrimitives.ReadUInt32LittleEndian(source) != Magic)
            return long.MaxValue;
        var descriptor = source[4];
        var isSingle = (descriptor & 0x20) != 0;
        var position = 5L + (isSingle ? 0 : 1) + ((descriptor & 3) switch { 3 => 4, var bytes => bytes })
            + ((descriptor >> 6) switch { 0 => isSingle ? 1 : 0, 1 => 2, 2 => 4, _ => 8 });
        var bound = 0L;
        while (position + 3 <= source.Length)
        {
            var at = (int)position;
            var block = source[at] | source[at + 1] << 8 | source[at + 2] << 16;
            var (kind, size) = (block >> 1 & 3, block >> 3);
            bound += kind is 0 or 1 ? size : MaxBlock;
            position += 3 + (kind == 1 ? 1 : size);
            if ((block & 1) != 0)
                return position + ((descriptor & 4) != 0 ? 4 : 0) == source.Length ? bound : long.MaxValue;
        }
        return long.MaxValue;
    }
}
