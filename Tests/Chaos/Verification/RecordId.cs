using System.Buffers.Binary;

namespace OrleansMq.Tests.Chaos.Verification;

/// <summary>The identity of a record within a run: its producer, and its number among that producer's records of one partition.</summary>
internal readonly record struct RecordId(int Producer, long Number)
{
    public override string ToString() => $"{Producer}/{Number}";
}

/// <summary>
/// The bytes of a record's value: its identity, and a filler derived from it, so that any other value is recognised without the ledger.
/// <code>0 producer i32 | 4 number i64 | 12 filler</code>
/// </summary>
internal static class RecordValue
{
    public const int MinSize = 12;

    public static byte[] Of(RecordId id, int size)
    {
        var value = new byte[Math.Max(size, MinSize)];
        BinaryPrimitives.WriteInt32BigEndian(value, id.Producer);
        BinaryPrimitives.WriteInt64BigEndian(value.AsSpan(4), id.Number);
        for (var i = MinSize; i < value.Length; i++)
            value[i] = FillerAt(id, i);
        return value;
    }

    /// <summary>Reads the identity of a value. Returns false if no record of a run has this value.</summary>
    public static bool TryRead(ReadOnlySpan<byte> value, out RecordId id)
    {
        id = default;
        if (value.Length < MinSize)
            return false;
        id = new RecordId(BinaryPrimitives.ReadInt32BigEndian(value), BinaryPrimitives.ReadInt64BigEndian(value[4..]));
        for (var i = MinSize; i < value.Length; i++)
        {
            if (value[i] != FillerAt(id, i))
                return false;
        }
        return true;
    }

    private static byte FillerAt(RecordId id, int position) => (byte)(id.Number + id.Producer + position);
}
