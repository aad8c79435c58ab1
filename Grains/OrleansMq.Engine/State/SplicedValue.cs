namespace OrleansMq.State;

/// <summary>A value that splices change in place: each moves the bytes behind it, and the rest stays where it is.</summary>
/// <param name="value">The value before the first splice. It must not be used any more.</param>
internal sealed class SplicedValue(byte[] value)
{
    private byte[] _bytes = value;
    private int _length = value.Length;

    /// <summary>Makes the next value. Returns false if the splice is not one of the value before, which stays.</summary>
    public bool TryApply(ValueSplice splice)
    {
        var (prefix, suffix, between) = (splice.Prefix, splice.Suffix, splice.Between.Length);
        if (prefix < 0 || suffix < 0 || (long)prefix + suffix > _length || (long)prefix + between + suffix > Array.MaxLength)
            return false;
        var (before, length) = (_bytes, prefix + between + suffix);
        if (length > before.Length)
        {
            // Room for many small changes: a new array each would take longer than they do.
            _bytes = GC.AllocateUninitializedArray<byte>((int)Math.Min(length + length / 8L, Array.MaxLength));
            before.AsSpan(0, prefix).CopyTo(_bytes);
        }
        // First what is behind: the bytes between may take its place.
        before.AsSpan(_length - suffix, suffix).CopyTo(_bytes.AsSpan(prefix + between));
        splice.Between.CopyTo(_bytes.AsSpan(prefix));
        _length = length;
        return true;
    }

    /// <summary>Returns the value. No splice may follow.</summary>
    public byte[] Take() => _length == _bytes.Length ? _bytes : _bytes[.._length];
}
