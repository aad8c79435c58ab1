namespace OrleansMq.Tests.Fuzz.Cases;

/// <summary>Changes bytes at random.</summary>
internal static class Mutator
{
    private const int MostChanges = 4;
    private const int LongRun = 40_000;

    /// <summary>Returns a changed copy.</summary>
    /// <param name="original">The bytes.</param>
    /// <param name="random">Decides.</param>
    /// <param name="from">The first byte that may change.</param>
    public static byte[] Mutate(ReadOnlySpan<byte> original, Random random, int from = 0)
    {
        List<byte> bytes = [.. original];
        for (var changes = 1 + random.Next(MostChanges); changes > 0 && bytes.Count > from; changes--)
            Change(bytes, random, from + random.Next(bytes.Count - from));
        return [.. bytes];
    }

    /// <summary>Returns bytes without any structure.</summary>
    public static byte[] Noise(Random random, int most)
    {
        var bytes = new byte[1 + random.Next(most)];
        random.NextBytes(bytes);
        return bytes;
    }

    private static void Change(List<byte> bytes, Random random, int at)
    {
        switch (random.Next(20))
        {
            case < 4:
                bytes[at] ^= (byte)(1 << random.Next(8));
                break;
            case < 7:
                bytes[at] = (byte)random.Next(256);
                break;
            case < 10:
                bytes[at] = random.Next(3) switch { 0 => 0xFF, 1 => 0x7F, _ => 0 };
                break;
            case < 12:
                bytes.RemoveRange(at, bytes.Count - at);
                break;
            case < 14:
                bytes.Insert(at, bytes[at]);
                break;
            case < 16:
                bytes.RemoveAt(at);
                break;
            case 16:
                // A number of 32 bits at its limits.
                for (var end = Math.Min(bytes.Count, at + 4); at < end; at++)
                    bytes[at] = random.Next(2) == 0 ? (byte)0xFF : (byte)0x7F;
                break;
            case 17:
                // A run of equal bytes, such as a long text, becomes one that is no text.
                for (var value = bytes[at]; at < bytes.Count && bytes[at] == value; at++)
                    bytes[at] = 0xFF;
                break;
            case 18:
                var count = Math.Min(bytes.Count - at, 1 + random.Next(64));
                bytes.InsertRange(at, bytes.GetRange(at, count));
                break;
            default:
                bytes.InsertRange(at, Enumerable.Repeat((byte)random.Next(256), random.Next(8) == 0 ? LongRun : 100));
                break;
        }
    }
}
