namespace OrleansMq.Topics;

/// <summary>
/// The allocation of producer ids, stored under <see cref="Key"/>, the same in both flavours. The allocator takes a block, writes the
/// document, and then uses the block. After a crash the rest of the block is lost, and no id is allocated twice.
/// </summary>
/// <param name="NextProducerId">The first id of the next block.</param>
internal sealed record ProducerIdState(long NextProducerId)
{
    /// <summary>The document's key in the state store.</summary>
    public const string Key = "producer-ids/cluster";

    /// <summary>The number of ids in a block: one durable write per thousand producers, as in Kafka.</summary>
    public const int BlockSize = 1000;

    /// <summary>The document before the first block.</summary>
    public static ProducerIdState Initial { get; } = new(0);

    /// <summary>How far ids skip ahead when the document does not tell which were given out: beyond those that no partition has seen
    /// yet.</summary>
    public const long Skipped = 1_000_000;

    /// <summary>Ids from here on are made up by a client, which may send a batch with any: no broker has counted that far. They are not
    /// looked at, so that there are always ids above those that are.</summary>
    public const long MadeUpFrom = 1L << 62;

    /// <summary>Returns the document to go on with, where the stored one may be lost or of an earlier time. An id that a partition
    /// remembers must not be given out again: that producer's first record would be taken for a duplicate, and not be written.</summary>
    /// <param name="stored">The stored document; null for none.</param>
    /// <param name="highestSeen">The highest id below <see cref="MadeUpFrom"/> that a partition remembers; -1 for none.</param>
    public static ProducerIdState Above(ProducerIdState? stored, long highestSeen) =>
        stored is { } known && known.NextProducerId > highestSeen ? known
        : highestSeen < 0 ? Initial
        : new ProducerIdState(highestSeen + 1 + Skipped);

    /// <summary>Takes a block. Returns the next document and the first id of the block.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.KafkaStorageError"/>: there are no more ids.</exception>
    public (ProducerIdState Next, long First) TakeBlock() => NextProducerId <= long.MaxValue - BlockSize
        ? (new ProducerIdState(NextProducerId + BlockSize), NextProducerId)
        : throw new BrokerException(ErrorCode.KafkaStorageError, $"There are no more producer ids: the state '{Key}' continues at "
            + $"{NextProducerId}. Remove it: the next block is then taken above the ids that partitions remember.");
}
