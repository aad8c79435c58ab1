using System.Buffers.Binary;
using System.Security.Cryptography;

namespace OrleansMq.Compaction;

/// <summary>
/// The latest offset of each key in the dirty part of a log, in bounded memory: 24 bytes a slot, of which 16 are the first half of the
/// key's SHA-256 instead of the key. Two keys with the same half would lose a record; at 2^32 keys the chance is below 2^-64, and nobody
/// can make such a pair in fewer than 2^64 tries. Not thread safe.
/// </summary>
public sealed class KeyOffsetMap
{
    /// <summary>64 MiB: 2.1 million keys a pass.</summary>
    public const int DefaultMaxBytes = 64 << 20;

    private const int SlotBytes = 24;
    private const double MaxLoad = 0.75; // Linear probing stays at a handful of steps below this.
    private readonly int _maxSlots;
    private Slot[] _slots = [];

    /// <summary>An empty map.</summary>
    /// <param name="maxBytes">The most memory it takes; at least room for 16 slots.</param>
    /// <param name="expectedKeys">An upper bound on the keys to come, where one is known: less memory is taken then.</param>
    public KeyOffsetMap(int maxBytes = DefaultMaxBytes, long expectedKeys = long.MaxValue)
    {
        _maxSlots = Math.Max(16, maxBytes / SlotBytes);
        var wanted = expectedKeys >= _maxSlots ? _maxSlots : (long)Math.Ceiling(expectedKeys / MaxLoad) + 1;
        _slots = new Slot[(int)Math.Clamp(wanted, 16, _maxSlots)];
    }

    /// <summary>Keys in it.</summary>
    public int Count { get; private set; }

    /// <summary>Keys that fit.</summary>
    public int Capacity => (int)(_slots.Length * MaxLoad);

    /// <summary>Whether so many keys more fit, all new.</summary>
    public bool HasRoomFor(int keys) => Count + (long)keys <= Capacity;

    /// <summary>
    /// Makes room for a single batch that would not even fit an empty map: the bound on memory gives way, since otherwise the log could
    /// never be cleaned past that batch.
    /// </summary>
    public void GrowFor(int keys)
    {
        if (HasRoomFor(keys))
            return;
        var old = _slots;
        _slots = new Slot[checked((int)((Count + (long)keys) / MaxLoad) + 1)];
        foreach (var slot in old)
        {
            if (slot.NextOffset != 0)
                Find(slot.High, slot.Low) = slot;
        }
    }

    /// <summary>Notes that a key occurs at an offset; later calls have higher offsets.</summary>
    public void Put(ReadOnlySpan<byte> key, long offset)
    {
        var (high, low) = Hash(key);
        ref var slot = ref Find(high, low);
        if (slot.NextOffset == 0)
        {
            if (Count >= Capacity)
                throw new InvalidOperationException($"The map holds {Capacity} keys and is full; ask {nameof(HasRoomFor)} first.");
            Count++;
        }
        slot = new Slot(high, low, offset + 1);
    }

    /// <summary>The latest offset of a key; -1 where it does not occur.</summary>
    public long LatestOffsetOf(ReadOnlySpan<byte> key)
    {
        var (high, low) = Hash(key);
        return Find(high, low).NextOffset - 1;
    }

    /// <summary>Forgets all keys; the memory is kept for the next pass.</summary>
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

    // The offset plus one, so that an array of zeros is an empty map.
    private readonly record struct Slot(ulong High, ulong Low, long NextOffset);
}
