using System.Buffers.Binary;

namespace OrleansMq.Partitioning;

/// <summary>Kafka's default partitioning by key: murmur2, sign bit cleared, modulo.</summary>
internal static class Murmur2Partitioner
{
    private const uint Seed = 0x9747B28C;
    private const uint Multiplier = 0x5BD1E995;

    /// <summary>The partition for a key.</summary>
    /// <param name="key">The serialized key; an empty one is a key too.</param>
    /// <param name="partitionCount">1 or above.</param>
    /// <returns>0 to <paramref name="partitionCount"/> - 1.</returns>
    public static int ForKey(ReadOnlySpan<byte> key, int partitionCount)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(partitionCount);
        return (Hash(key) & int.MaxValue) % partitionCount;
    }

    /// <summary>MurmurHash2 (32 bits, little-endian) with the seed that Kafka's clients use.</summary>
    public static int Hash(ReadOnlySpan<byte> key)
    {
        var hash = Seed ^ (uint)key.Length;
        while (key.Length >= 4)
        {
            var word = BinaryPrimitives.ReadUInt32LittleEndian(key) * Multiplier;
            word = (word ^ (word >> 24)) * Multiplier;
            hash = (hash * Multiplier) ^ word;
            key = key[4..];
        }
        if (key.Length > 2)
            hash ^= (uint)key[2] << 16;
        if (key.Length > 1)
            hash ^= (uint)key[1] << 8;
        if (key.Length > 0)
            hash = (hash ^ key[0]) * Multiplier;
        hash = (hash ^ (hash >> 13)) * Multiplier;
        return (int)(hash ^ (hash >> 15));
    }
}
