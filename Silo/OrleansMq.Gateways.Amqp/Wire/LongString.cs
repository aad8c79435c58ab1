using System.Text;

namespace OrleansMq.Gateways.Amqp.Wire;

/// <summary>A long string: bytes, which often are text. Equal if the bytes are.</summary>
/// <param name="Bytes">The bytes.</param>
internal readonly record struct LongString(ReadOnlyMemory<byte> Bytes)
{
    /// <summary>The UTF-8 bytes of a text.</summary>
    public static LongString Of(string text) => new(Encoding.UTF8.GetBytes(text));

    /// <inheritdoc/>
    public bool Equals(LongString other) => Bytes.Span.SequenceEqual(other.Bytes.Span);

    /// <inheritdoc/>
    public override int GetHashCode()
    {
        var hash = new HashCode();
        hash.AddBytes(Bytes.Span);
        return hash.ToHashCode();
    }

    /// <summary>The text, with replacement characters where the bytes are not UTF-8.</summary>
    public override string ToString() => Encoding.UTF8.GetString(Bytes.Span);
}
