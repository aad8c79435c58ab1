using System.Buffers.Binary;
using System.Text;

namespace OrleansMq.Tests.Benchmarks.Peers.Load;

/// <summary>
/// Encodes a request of Kafka's protocol: the length, filled in at the end, and the header.
/// <code>
/// int32 length | int16 key | int16 version | int32 correlation id | string client id | tags of flexible versions | body
/// </code>
/// </summary>
internal sealed class WireWriter
{
    /// <summary>The position of the correlation id in a request.</summary>
    public const int CorrelationIdAt = 8;

    private byte[] _bytes = new byte[256];

    public WireWriter(ApiVersion api)
    {
        Int32(0);
        Int16(api.Key);
        Int16(api.Version);
        Int32(0);
        String("orleansmq-load");
        if (api.IsFlexible)
            Tags();
    }

    /// <summary>The bytes so far: the position of the next field.</summary>
    public int Length { get; private set; }

    public WireWriter Int8(sbyte value)
    {
        Take(1)[0] = (byte)value;
        return this;
    }

    public WireWriter Int16(short value)
    {
        BinaryPrimitives.WriteInt16BigEndian(Take(2), value);
        return this;
    }

    public WireWriter Int32(int value)
    {
        BinaryPrimitives.WriteInt32BigEndian(Take(4), value);
        return this;
    }

    public WireWriter Int64(long value)
    {
        BinaryPrimitives.WriteInt64BigEndian(Take(8), value);
        return this;
    }

    /// <summary>Writes a string, or null.</summary>
    public WireWriter String(string? value)
    {
        if (value is null)
            return Int16(-1);
        Int16((short)Encoding.UTF8.GetByteCount(value));
        Encoding.UTF8.GetBytes(value, Take(Encoding.UTF8.GetByteCount(value)));
        return this;
    }

    public WireWriter Bytes(ReadOnlySpan<byte> value)
    {
        Int32(value.Length);
        value.CopyTo(Take(value.Length));
        return this;
    }

    /// <summary>Writes the length of a compact array.</summary>
    public WireWriter CompactLength(int length)
    {
        for (var left = (uint)length + 1; ; left >>= 7)
        {
            Int8((sbyte)(left < 0x80 ? left : left | 0x80));
            if (left < 0x80)
                return this;
        }
    }

    public WireWriter CompactString(string value) => CompactBytes(Encoding.UTF8.GetBytes(value));

    public WireWriter CompactBytes(ReadOnlySpan<byte> value)
    {
        CompactLength(value.Length);
        value.CopyTo(Take(value.Length));
        return this;
    }

    /// <summary>Writes that no tagged field follows.</summary>
    public WireWriter Tags() => Int8(0);

    /// <summary>Returns the whole request.</summary>
    public byte[] Build()
    {
        BinaryPrimitives.WriteInt32BigEndian(_bytes, Length - 4);
        return _bytes[..Length];
    }

    private Span<byte> Take(int count)
    {
        if (Length + count > _bytes.Length)
            Array.Resize(ref _bytes, Math.Max(2 * _bytes.Length, Length + count));
        Length += count;
        return _bytes.AsSpan(Length - count, count);
    }
}
