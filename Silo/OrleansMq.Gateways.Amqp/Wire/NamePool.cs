using System.Text;

namespace OrleansMq.Gateways.Amqp.Wire;

/// <summary>
/// Names that a connection has sent: exchanges, routing keys and consumer tags come again with each message, and are decoded once. A slot
/// keeps the last ASCII name that fell into it, so the memory is bounded. Not thread safe.
/// </summary>
internal sealed class NamePool
{
    // A connection that publishes under more routing keys than this decodes some of them again.
    private const int Slots = 128;
    private const int MaxBytes = 128;

    private readonly string?[] _names = new string?[Slots];

    /// <summary>Returns the name of these bytes.</summary>
    /// <exception cref="DecoderFallbackException">They are not UTF-8.</exception>
    public string Get(ReadOnlySpan<byte> bytes)
    {
        if (bytes.IsEmpty)
            return "";
        if (bytes.Length > MaxBytes || !Ascii.IsValid(bytes))
            return StrictUtf8.GetString(bytes);
        var hash = new HashCode();
        hash.AddBytes(bytes);
        ref var name = ref _names[(hash.ToHashCode() & int.MaxValue) % Slots];
        if (name is not null && Ascii.Equals(bytes, name))
            return name;
        return name = Encoding.ASCII.GetString(bytes);
    }

    /// <summary>UTF-8 that refuses other bytes.</summary>
    public static UTF8Encoding StrictUtf8 { get; } = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);
}
