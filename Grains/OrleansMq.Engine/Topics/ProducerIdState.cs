namespace OrleansMq.Topics;

/// <summary>
/// Which producer ids were given out, stored under <see cref="Key"/>: the same in both flavours. Whoever gives them out takes a block,
/// writes the document, and then uses the block; after a crash the rest of the block is lost, and no id is given twice.
/// </summary>
/// <param name="NextProducerId">The first id of the next block.</param>
public sealed record ProducerIdState(long NextProducerId)
{
    /// <summary>The document's key in the state store.</summary>
    public const string Key = "producer-ids/cluster";

    /// <summary>Ids in a block: one durable write for a thousand producers, Kafka's number.</summary>
    public const int BlockSize = 1000;

    /// <summary>What the document says before the first block.</summary>
    public static ProducerIdState Initial { get; } = new(0);

    /// <summary>Takes a block: the next document, and the first id of the block.</summary>
    public (ProducerIdState Next, long First) TakeBlock() => (new ProducerIdState(checked(NextProducerId + BlockSize)), NextProducerId);
}
