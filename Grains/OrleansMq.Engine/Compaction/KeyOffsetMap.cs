using System.Buffers.Binary;
using System.Security.Cryptography;

namespace OrleansMq.Compaction;

/// <summary>
/// The latest offset of each key in the dirty part of a log, in bounded memory: 24 bytes per slot, 16 of which are the first half of the
/// key's SHA-256. Two keys with the same half would lose a record. At 2^32 keys the probability is below 2^-64, and constructing such a
/// pair takes about 2^64 attempts. Not thread-safe.
/// </summary>
internal sealed class KeyOffsetMap
{
    /// <summary>64 MiB: 2.1 million keys per pass.</summary>
    public const int DefaultMaxBytes = 64 << 20;

    private const int SlotBytes = 24;
    private const double MaxLoad = 0.75; // Below this, linear probing takes only a few steps.
    private readonly int _maxSlots;
    private readonly Slot[] _slots = [];

    /// <summary>Creates an empty map.</summary>
    /// <param name="maxBytes">The maximum memory, which it never exceeds; there is room for at least 16 slots.</param>
    /// <param name="expectedKeys">An upper bound on the number of keys, if known, to take less memory.</param>
    public KeyOffsetMap(int maxBytes = DefaultMaxBytes, long expectedKeys = long.MaxValue)
    {
        _maxSlots = Math.Max(16, maxBytes / SlotBytes);
        var wanted = expectedKeys >= _maxSlots ? _maxSlots : (long)Math.Ceiling(expectedKeys / MaxLoad) + 1;
        _slots = new Slot[(int)Math.Clamp(wanted, 16, _maxSlots)];
    }

    /// <summary>The number of keys.</summary>
    public int Count { get; private set; }

    /// <summary>The maximum number of keys.</summary>
    public int Capacity => (int)(_slots.Length * MaxLoad);

    /// <summary>Whether this many new keys fit.</summary>
    public bool HasRoomFor(int keys) => Count + (long)keys <= Capacity;

    /// <summary>Sets the offset of a key. Later calls have higher offsets.</summary>
    /// <returns>False, with nothing set, if the key is new and the map is full.</returns>
    public bool TryPut(ReadOnlySpan<byte> key, long offset)
    {
        var (high, low) = Hash(key);
        ref var slot = ref Find(high, low);
        if (slot.NextOffset == 0)
        {
            if (Count >= Capacity)
                return false;
            Count++;
        }
        slot = new Slot(high, low, offset + 1);
        return true;
    }

    /// <summary>Returns the latest offset of a key; -1 if it is not in the map.</summary>
    public long LatestOffsetOf(ReadOnlySpan<byte> key)
    {
        var (high, low) = Hash(key);
        return Find(high, low).NextOffset - 1;
    }

    /// <summary>Removes all keys; the memory is kept for the next pass.</summary>
    public void Clear()
    {
        Array.Clear(_slots);
        Count = 0;
    }

    private ref Slot Find(ulong high, ulong low)
    {
        var index = (int)(high % (uint)_slots.Length);
        while (_slots[index].NextOffset != 0 && (_slots[index].High != high || _slots[index].Low != low))
            index = index + 1 == _slots.Length ? 0 : index + 1;
        return ref _slots[index];
    }

    private static (ulong High, ulong Low) Hash(ReadOnlySpan<byte> key)
    {
        Span<byte> hash = stackalloc byte[SHA256.HashSizeInBytes];
        SHA256.HashData(key, hash);
        return (BinaryPrimitives.ReadUInt64BigEndian(hash), BinaryPrimitives.ReadUInt64BigEndian(hash[8..]));
    }

    // The offset plus one, so that a zeroed array is an empty map.
    private readonly record struct Slot(ulong High, ulong Low, long NextOffset);
}
