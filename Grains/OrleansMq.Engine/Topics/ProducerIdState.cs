namespace OrleansMq.Topics;

/// <summary>
/// The allocation of producer ids, stored under <see cref="Key"/>, the same in both flavours. The allocator takes a block, writes the
/// document, and then uses the block. After a crash the rest of the block is lost, and no id is allocated twice.
/// </summary>
/// <param name="NextProducerId">The first id of the next block.</param>
public sealed record ProducerIdState(long NextProducerId)
{
    /// <summary>The document's key in the state store.</summary>
    public const string Key = "producer-ids/cluster";

    /// <summary>The number of ids in a block: one durable write per thousand producers, as in Kafka.</summary>
    public const int BlockSize = 1000;

    /// <summary>The document before the first block.</summary>
    public static ProducerIdState Initial { get; } = new(0);

    /// <summary>Takes a block. Returns the next document and the first id of the block.</summary>
    public (ProducerIdState Next, long First) TakeBlock() => (new ProducerIdState(checked(NextProducerId + BlockSize)), NextProducerId);
}
