using System.Buffers;
using System.Buffers.Binary;

namespace OrleansMq.Compression;

/// <summary>
/// One raw snappy block.
/// <code>
/// uncompressed length, 7 bits a byte, the lowest first | elements, each with a tag byte:
/// xxxxxx00 literal: x + 1 bytes follow; where x is 60 to 63, 1 to 4 bytes with the length - 1 come first
/// oooxxx01 copy of x + 4 bytes; offset is ooo and the next byte
/// xxxxxx10 copy of x + 1 bytes; offset is the next 2 bytes    (little-endian)
/// xxxxxx11 copy of x + 1 bytes; offset is the next 4 bytes
/// </code>
/// </summary>
internal static class SnappyBlock
{
    /// <summary>The most bytes that <see cref="Encode"/> accepts, so that a position fits 16 bits.</summary>
    public const int MaxEncodeSize = 64 << 10;

    // The densest element is a copy of 64 bytes in 3, so no block can decode to more.
    private const int MaxExpansion = 22;
    private const int MaxCopy = 64;
    private const int MinMatch = 4;
    private const int TableBits = 14;

    /// <summary>Returns the most bytes that this many are encoded to: the length, plus the tags of literals and copies.</summary>
    public static int MaxCompressedSize(int length) => 5 + length + (length / 60) + 4;

    /// <summary>Reads the uncompressed length.</summary>
    /// <returns>False if it is missing, or more than the block's bytes can decode to.</returns>
    public static bool TryReadLength(ReadOnlySpan<byte> block, out int length, out int headerSize)
    {
        ulong value = 0;
        for (headerSize = 0; headerSize < 5 && headerSize < block.Length;)
        {
            var b = block[headerSize];
            value |= (ulong)(b & 0x7F) << (7 * headerSize++);
            if (b >= 0x80)
                continue;
            length = (int)Math.Min(value, int.MaxValue);
            return value <= (ulong)(block.Length - headerSize) * MaxExpansion;
        }
        length = 0;
        return false;
    }

    /// <summary>Decodes a block's elements into exactly <paramref name="destination"/>.</summary>
    /// <returns>False if they are malformed or do not fit exactly.</returns>
    public static bool TryDecode(ReadOnlySpan<byte> source, Span<byte> destination)
    {
        int from = 0, to = 0;
        while (from < source.Length)
        {
            var tag = source[from++];
            if ((tag & 3) == 0)
            {
                if (!TryReadLiteralLength(source, tag, ref from, out var length)
                    || length > source.Length - from || length > destination.Length - to)
                    return false;
                source.Slice(from, length).CopyTo(destination[to..]);
                from += length;
                to += length;
            }
            else
            {
                if (!TryReadCopy(source, tag, ref from, out var length, out var offset)
                    || offset == 0 || offset > to || length > destination.Length - to)
                    return false;
                Copy(destination, to, (int)offset, length);
                to += length;
            }
        }
        return to == destination.Length;
    }

    /// <summary>Encodes up to <see cref="MaxEncodeSize"/> bytes as one block.</summary>
    /// <returns>The block's length.</returns>
    public static int Encode(ReadOnlySpan<byte> source, Span<byte> destination)
    {
        var to = 0;
        for (var length = (uint)source.Length; ; length >>= 7)
        {
            destination[to++] = (byte)(length < 0x80 ? length : length | 0x80);
            if (length < 0x80)
                break;
        }
        var table = ArrayPool<ushort>.Shared.Rent(1 << TableBits);
        table.AsSpan(0, 1 << TableBits).Clear();
        to = EncodeElements(source, destination, to, table);
        ArrayPool<ushort>.Shared.Return(table);
        return to;
    }

    private static int EncodeElements(ReadOnlySpan<byte> source, Span<byte> destination, int to, ushort[] table)
    {
        var literalStart = 0;
        var at = 1; // An empty slot of the table means position 0, so matches begin after it.
        var misses = 32;
        while (at <= source.Length - MinMatch)
        {
            var word = BinaryPrimitives.ReadUInt32LittleEndian(source[at..]);
            ref var slot = ref table[(word * 0x9E3779B1) >> (32 - TableBits)];
            int candidate = slot;
            slot = (ushort)at;
            if (BinaryPrimitives.ReadUInt32LittleEndian(source[candidate..]) != word)
            {
                // Steps grow while nothing matches, so that incompressible data costs little.
                at += misses++ >> 5;
                continue;
            }
            misses = 32;
            var length = MinMatch + source[(at + MinMatch)..].CommonPrefixLength(source[(candidate + MinMatch)..]);
            to = EmitLiteral(source[literalStart..at], destination, to);
            to = EmitCopy(at - candidate, length, destination, to);
            at += length;
            literalStart = at;
        }
        return EmitLiteral(source[literalStart..], destination, to);
    }

    private static int EmitLiteral(ReadOnlySpan<byte> literal, Span<byte> destination, int to)
    {
        if (literal.IsEmpty)
            return to;
        var last = literal.Length - 1;
        if (last < 60)
        {
            destination[to++] = (byte)(last << 2);
        }
        else
        {
            var bytes = last < 0x100 ? 1 : 2;
            destination[to++] = (byte)((59 + bytes) << 2);
            destination[to++] = (byte)last;
            if (bytes == 2)
                destination[to++] = (byte)(last >> 8);
        }
        literal.CopyTo(destination[to..]);
        return to + literal.Length;
    }

    private static int EmitCopy(int offset, int length, Span<byte> destination, int to)
    {
        while (length > 0)
        {
            // The short form takes 4 to 11 bytes at offsets below 2,048. The rest uses copies of 64 that leave at least 4.
            if (length is >= MinMatch and <= 11 && offset < 2048)
            {
                destination[to++] = (byte)(((offset >> 8) << 5) | ((length - MinMatch) << 2) | 1);
                destination[to++] = (byte)offset;
                return to;
            }
            var part = length <= MaxCopy ? length : Math.Min(MaxCopy, length - MinMatch);
            destination[to++] = (byte)(((part - 1) << 2) | 2);
            destination[to++] = (byte)offset;
            destination[to++] = (byte)(offset >> 8);
            length -= part;
        }
        return to;
    }

    private static bool TryReadLiteralLength(ReadOnlySpan<byte> source, byte tag, ref int from, out int length)
    {
        length = (tag >> 2) + 1;
        if (length <= 60)
            return true;
        var bytes = length - 60;
        if (bytes > source.Length - from)
            return false;
        uint value = 0;
        for (var i = 0; i < bytes; i++)
            value |= (uint)source[from++] << (8 * i);
        length = (int)Math.Min(value, int.MaxValue - 1) + 1;
        return true;
    }

    private static bool TryReadCopy(ReadOnlySpan<byte> source, byte tag, ref int from, out int length, out uint offset)
    {
        length = (tag >> 2) + 1;
        offset = 0;
        var bytes = (tag & 3) switch { 1 => 1, 2 => 2, _ => 4 };
        if (bytes > source.Length - from)
            return false;
        for (var i = 0; i < bytes; i++)
            offset |= (uint)source[from++] << (8 * i);
        if (bytes == 1)
        {
            length = ((tag >> 2) & 7) + MinMatch;
            offset |= (uint)(tag >> 5) << 8;
        }
        return true;
    }

    // Source and target may overlap: then the written bytes repeat earlier ones with the period of the offset.
    private static void Copy(Span<byte> destination, int to, int offset, int length)
    {
        if (offset >= length)
        {
            destination.Slice(to - offset, length).CopyTo(destination[to..]);
            return;
        }
        for (var i = 0; i < length; i++)
            destination[to + i] = destination[to + i - offset];
    }
}
