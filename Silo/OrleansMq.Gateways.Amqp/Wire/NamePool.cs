using System.Text;

namespace OrleansMq.Gateways.Amqp.Wire;

/// <summary>
/// Names that a connection has sent: exchanges, routing keys and consumer tags come again with each message, and are decoded once. A slot
/// keeps the last ASCII name that fell into it, so the memory is bounded. An idle connection has few slots: there are more as names
/// displace each other. Not thread safe.
/// </summary>
internal sealed class NamePool
{
    // A connection that publishes under more routing keys than this decodes some of them again.
    private const int MaxSlots = 128;
    private const int FirstSlots = 8;
    private const int MaxBytes = 128;

    private string?[] _names = new string?[FirstSlots];

    /// <summary>Returns the name of these bytes.</summary>
    /// <exception cref="DecoderFallbackException">They are not UTF-8.</exception>
    public string Get(ReadOnlySpan<byte> bytes)
    {
        if (bytes.IsEmpty)
            return "";
        if (bytes.Length > MaxBytes || !Ascii.IsValid(bytes))
            return StrictUtf8.GetString(bytes);
        var hash = HashOf(bytes);
        while (true)
        {
            ref var name = ref _names[hash % _names.Length];
            if (name is null)
                return name = Encoding.ASCII.GetString(bytes);
            if (Ascii.Equals(bytes, name))
                return name;
            if (_names.Length == MaxSlots)
                return name = Encoding.ASCII.GetString(bytes);
            Grow();
        }
    }

    private void Grow()
    {
        var before = _names;
        _names = new string?[before.Length * 4];
        Span<byte> bytes = stackalloc byte[MaxBytes];
        foreach (var name in before)
        {
            if (name is not null)
                _names[HashOf(bytes[..Encoding.ASCII.GetBytes(name, bytes)]) % _names.Length] = name;
        }
    }

    private static int HashOf(ReadOnlySpan<byte> bytes)
    {
        var hash = new HashCode();
        hash.AddBytes(bytes);
        return hash.ToHashCode() & int.MaxValue;
    }

    /// <summary>UTF-8 that refuses other bytes.</summary>
    public static UTF8Encoding StrictUtf8 { get; } = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);
}
