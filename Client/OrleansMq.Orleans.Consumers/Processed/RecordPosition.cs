namespace OrleansMq.Consumers;

/// <summary>Where a record stands. Positions of one source ascend; every record of a key is in one source as long as producers leave its
/// partition to the key.</summary>
/// <param name="Source">Names the topic with its id, the partition and the key. A topic that is deleted and created again has other
/// sources.</param>
/// <param name="Partition">The partition.</param>
/// <param name="Offset">The offset in the partition.</param>
[GenerateSerializer, Immutable, Alias("omq.RecordPosition")]
public sealed record RecordPosition([property: Id(0)] Guid Source, [property: Id(1)] int Partition, [property: Id(2)] long Offset)
{
    /// <summary>Returns the position of a record.</summary>
    internal static RecordPosition Of(Guid topicId, int partition, ReadOnlySpan<byte> key, long offset) =>
        new(SourceOf(topicId, partition, key), partition, offset);

    /// <summary>Returns the name of a source.</summary>
    internal static Guid SourceOf(Guid topicId, int partition, ReadOnlySpan<byte> key)
    {
        const int IdLength = 16;
        var bytes = new byte[IdLength + sizeof(int) + key.Length];
        topicId.TryWriteBytes(bytes, bigEndian: true, out _);
        System.Buffers.Binary.BinaryPrimitives.WriteInt32BigEndian(bytes.AsSpan(IdLength), partition);
        key.CopyTo(bytes.AsSpan(IdLength + sizeof(int)));
        return Hashes.Of(bytes);
    }
}
