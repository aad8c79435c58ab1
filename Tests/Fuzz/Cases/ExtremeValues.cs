using OrleansMq.Tests.Kafka.Schemas;

namespace OrleansMq.Tests.Fuzz.Cases;

/// <summary>Values at the limits of what a request can say: long texts, names with odd characters, many elements, extreme
/// numbers.</summary>
internal sealed class ExtremeValues(Random random) : IFieldValues
{
    private static readonly string[] Texts = ["", ".", "..", "orders", "a/b", "\0", "\u00e4\ud83d\ude00", "*", "User:*", "__schedules",
        "x=y,z", "-1", "null"];

    // Elements within elements multiply.
    private int _left = 2_000;

    public int Length(Field field, bool mayBeNull)
    {
        if (mayBeNull && random.Next(6) == 0)
            return -1;
        var length = random.Next(10) == 0 ? random.Next(60) : random.Next(3);
        length = Math.Min(length, _left);
        _left -= length;
        return length;
    }

    public bool IsNull(Field field) => random.Next(2) == 0;

    public object? Value(Field field, bool mayBeNull)
    {
        if (mayBeNull && random.Next(5) == 0 && field.Type is "string" or "bytes" or "records")
            return mayBeNull ? null : field.Type == "string" ? "" : Array.Empty<byte>();
        return field.Type switch
        {
            "bool" => random.Next(2) == 0,
            "string" => Text(),
            "uuid" => random.Next(2) == 0 ? Guid.Empty : new Guid(random.Next(), 1, 2, 3, 4, 5, 6, 7, 8, 9, 10),
            "bytes" or "records" => Mutator.Noise(random, 300),
            _ => Number(),
        };
    }

    private string Text() => random.Next(20) == 0
        ? new string((char)('a' + random.Next(26)), random.Next(2) == 0 ? 249 + random.Next(10) : short.MaxValue - random.Next(3))
        : Texts[random.Next(Texts.Length)];

    private object Number() => random.Next(8) switch
    {
        0 => -1L,
        1 => long.MaxValue,
        2 => long.MinValue,
        3 => (long)int.MaxValue,
        4 => (long)int.MinValue,
        5 => (long)random.Next(1 << 20),
        _ => (long)random.Next(5),
    };
}
