namespace OrleansMq.Partitioning;

/// <summary>Kafka's default partitioning by key: murmur2, sign bit cleared, modulo.</summary>
public static class Murmur2Partitioner
{
    /// <summary>The partition for a key.</summary>
    public static int ForKey(ReadOnlySpan<byte> key, int partitionCount) => throw new NotImplementedException();
}
