namespace OrleansMq.Filters;

/// <summary>Where the value of one header is in the headers' bytes.</summary>
/// <param name="Start">Its first byte.</param>
/// <param name="Length">Its bytes; <see cref="Missing"/>: the record has no such header, or its value is null.</param>
internal readonly record struct FilterSlot(int Start, int Length)
{
    public const int Missing = -1;
}

/// <summary>The values of a record's headers that an expression names.</summary>
internal readonly ref struct FilterValues(ReadOnlySpan<byte> bytes, ReadOnlySpan<FilterSlot> slots)
{
    private readonly ReadOnlySpan<byte> _bytes = bytes;
    private readonly ReadOnlySpan<FilterSlot> _slots = slots;

    /// <summary>Returns a header's value.</summary>
    /// <param name="slot">The header's number in the expression.</param>
    /// <param name="value">The value.</param>
    /// <returns>False if the record has no such header, or its value is null.</returns>
    public bool TryGet(int slot, out ReadOnlySpan<byte> value)
    {
        var (start, length) = _slots[slot];
        value = length < 0 ? default : _bytes.Slice(start, length);
        return length >= 0;
    }
}

/// <summary>The three truth values, in the order that makes AND the least and OR the greatest.</summary>
internal enum Truth : byte
{
    False = 0,
    Unknown = 1,
    True = 2,
}
