namespace OrleansMq.State;

/// <summary>A value as a difference from the one before: that begins and ends as the value does.</summary>
/// <param name="prefix">The bytes at the beginning of the value before that stay.</param>
/// <param name="suffix">The bytes at its end that stay.</param>
/// <param name="between">The bytes of the value between them.</param>
internal readonly ref struct ValueSplice(int prefix, int suffix, ReadOnlySpan<byte> between)
{
    /// <summary>The bytes below which a value has no splice: it is cheap to write whole.</summary>
    public const int LeastBytes = 1 << 10;

    // Pieces are compared by vector instructions, and the first one that differs byte by byte.
    private const int PieceBytes = 64;

    /// <summary>The bytes at the beginning of the value before that stay.</summary>
    public int Prefix { get; } = prefix;

    /// <summary>The bytes at its end that stay.</summary>
    public int Suffix { get; } = suffix;

    /// <summary>The bytes of the value between them.</summary>
    public ReadOnlySpan<byte> Between { get; } = between;

    /// <summary>Makes the splice of a value that is less than half as long as the value. Returns false if there is none.</summary>
    /// <param name="before">The value before; empty for none.</param>
    /// <param name="value">The value; empty for none.</param>
    /// <param name="splice">The splice.</param>
    public static bool TryMake(ReadOnlySpan<byte> before, ReadOnlySpan<byte> value, out ValueSplice splice)
    {
        splice = default;
        if (before.Length < LeastBytes || value.Length < LeastBytes)
            return false;
        var prefix = before.CommonPrefixLength(value);
        // Behind the prefix: the two must not overlap.
        var suffix = CommonSuffixLength(before[prefix..], value[prefix..]);
        splice = new ValueSplice(prefix, suffix, value[prefix..^suffix]);
        return splice.Between.Length < value.Length / 2;
    }

    private static int CommonSuffixLength(ReadOnlySpan<byte> one, ReadOnlySpan<byte> other)
    {
        var (most, length) = (Math.Min(one.Length, other.Length), 0);
        while (most - length >= PieceBytes && one.Slice(one.Length - length - PieceBytes, PieceBytes)
            .SequenceEqual(other.Slice(other.Length - length - PieceBytes, PieceBytes)))
        {
            length += PieceBytes;
        }
        while (length < most && one[^(length + 1)] == other[^(length + 1)])
            length++;
        return length;
    }
}
