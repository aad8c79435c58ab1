using OrleansMq.Tests.Kafka.Schemas;

namespace OrleansMq.Tests.Kafka.Codec;

/// <summary>Values from a seed: short texts, few elements, and sometimes numbers at the limits.</summary>
public sealed class RandomValues(Random random) : IFieldValues
{
    public int Length(Field field, bool mayBeNull) => mayBeNull && random.Next(8) == 0 ? -1 : random.Next(4);

    public bool IsNull(Field field) => random.Next(2) == 0;

    public object? Value(Field field, bool mayBeNull)
    {
        if (mayBeNull && random.Next(4) == 0 && field.Type is "string" or "bytes" or "records")
            return null;
        return field.Type switch
        {
            "bool" => random.Next(2) == 0,
            "string" => new string((char)('a' + random.Next(26)), random.Next(12)),
            "uuid" => Uuid(),
            "bytes" or "records" => Bytes(),
            _ => random.Next(6) switch { 0 => -1L, 1 => long.MaxValue, 2 => long.MinValue, _ => random.Next(10) },
        };
    }

    private Guid Uuid()
    {
        Span<byte> bytes = stackalloc byte[16];
        random.NextBytes(bytes);
        return new Guid(bytes);
    }

    private byte[] Bytes()
    {
        var bytes = new byte[random.Next(100)];
        random.NextBytes(bytes);
        return bytes;
    }
}
