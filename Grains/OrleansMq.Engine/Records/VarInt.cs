using System.Numerics;

namespace OrleansMq.Records;

/// <summary>
/// Variable-length integers as in record batches: zigzag encoding (0, -1, 1, -2, ... become 0, 1, 2, 3, ...), then seven bits per byte,
/// lowest first, with the top bit set on all but the last byte. A varint takes 1 to 5 bytes, a varlong 1 to 10.
/// </summary>
internal static class VarInt
{
    /// <summary>The maximum size of a varint in bytes.</summary>
    public const int MaxSize = 5;
    /// <summary>The maximum size of a varlong in bytes.</summary>
    public const int MaxLongSize = 10;

    /// <summary>Returns the encoded size of <paramref name="value"/> in bytes.</summary>
    public static int SizeOf(int value) => SizeOfBits(ZigZag(value));

    /// <summary>Returns the encoded size of <paramref name="value"/> in bytes.</summary>
    public static int SizeOf(long value) => SizeOfBits(ZigZag(value));

    /// <summary>Writes a varint.</summary>
    /// <returns>The number of bytes written.</returns>
    /// <exception cref="IndexOutOfRangeException"><paramref name="destination"/> is too short.</exception>
    public static int Write(Span<byte> destination, int value) => WriteBits(destination, ZigZag(value));

    /// <summary>Writes a varlong.</summary>
    /// <returns>The number of bytes written.</returns>
    /// <exception cref="IndexOutOfRangeException"><paramref name="destination"/> is too short.</exception>
    public static int Write(Span<byte> destination, long value) => WriteBits(destination, ZigZag(value));

    /// <summary>Reads a varint at <paramref name="position"/> and advances past it.</summary>
    /// <returns>False, with <paramref name="position"/> unchanged, if the bytes end too early or encode more than 32 bits.</returns>
    public static bool TryRead(ReadOnlySpan<byte> source, ref int position, out int value)
    {
        if ((uint)position < (uint)source.Length && source[position] < 0x80)
        {
            uint single = source[position++];
            value = (int)(single >> 1) ^ -(int)(single & 1);
            return true;
        }
        var end = position;
        if (!TryReadBits(source, ref end, MaxSize, out var bits) || bits > uint.MaxValue)
        {
            value = 0;
            return false;
        }
        position = end;
        value = (int)((uint)bits >> 1) ^ -(int)(bits & 1);
        return true;
    }

    /// <summary>Reads a varlong at <paramref name="position"/> and advances past it.</summary>
    /// <returns>False, with <paramref name="position"/> unchanged, if the bytes end too early or encode more than 64 bits.</returns>
    public static bool TryRead(ReadOnlySpan<byte> source, ref int position, out long value)
    {
        var end = position;
        if (!TryReadBits(source, ref end, MaxLongSize, out var bits))
        {
            value = 0;
            return false;
        }
        position = end;
        value = (long)(bits >> 1) ^ -(long)(bits & 1);
        return true;
    }

    private static ulong ZigZag(int value) => (uint)((value << 1) ^ (value >> 31));

    private static ulong ZigZag(long value) => (ulong)((value << 1) ^ (value >> 63));

    // The integer part of (significant bits + 6) / 7. Zero counts as one significant bit.
    private static int SizeOfBits(ulong bits) => (BitOperations.Log2(bits | 1) + 7) / 7;

    private static int WriteBits(Span<byte> destination, ulong bits)
    {
        var length = 0;
        while (bits >= 0x80)
        {
            destination[length++] = (byte)(bits | 0x80);
            bits >>= 7;
        }
        destination[length++] = (byte)bits;
        return length;
    }

    private static bool TryReadBits(ReadOnlySpan<byte> source, ref int position, int maxSize, out ulong bits)
    {
        bits = 0;
        for (var i = 0; i < maxSize; i++)
        {
            if ((uint)position >= (uint)source.Length)
                return false;
            var b = source[position++];
            // The tenth byte has room only for the 64th bit.
            if (i == MaxLongSize - 1 && b > 1)
                return false;
            bits |= (ulong)(b & 0x7F) << (7 * i);
            if (b < 0x80)
                return true;
        }
        return false;
    }
}
