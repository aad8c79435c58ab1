namespace OrleansMq.Producers;

/// <summary>What a batch does to the transactions of its log.</summary>
internal enum TransactionStep
{
    /// <summary>Nothing: most batches.</summary>
    None = 0,
    /// <summary>It is the first batch of a transaction.</summary>
    Began = 1,
    /// <summary>It is a marker that commits one.</summary>
    Committed = 2,
    /// <summary>It is a marker that aborts one.</summary>
    Aborted = 3,
}

/// <summary>What a batch does to the transactions of its log, and to which.</summary>
/// <param name="Step">What it does.</param>
/// <param name="ProducerId">The transaction's producer.</param>
/// <param name="First">The transaction's first offset.</param>
/// <param name="Marker">The offset of the marker; -1 for a transaction that begins.</param>
/// <param name="Epoch">The epoch of a transaction that begins.</param>
/// <param name="BeganAt">When a transaction begins, in milliseconds since 1970.</param>
internal readonly record struct TransactionChange(TransactionStep Step, long ProducerId, long First, long Marker = -1, short Epoch = -1,
    long BeganAt = 0);

/// <summary>A transaction that its marker has ended.</summary>
/// <param name="First">Its first offset.</param>
/// <param name="Marker">The offset of its marker.</param>
internal readonly record struct EndedTransaction(long First, long Marker);

/// <summary>A transaction that is open in a log. Ordered by where it begins.</summary>
/// <param name="First">Its first offset.</param>
/// <param name="ProducerId">Its producer.</param>
/// <param name="Epoch">The producer's epoch.</param>
/// <param name="BeganAt">When it began, in milliseconds since 1970. After a restart it is a later time: that of the producer's last batch,
/// or of the start.</param>
internal readonly record struct OpenTransaction(long First, long ProducerId, short Epoch, long BeganAt) : IComparable<OpenTransaction>
{
    /// <inheritdoc/>
    public int CompareTo(OpenTransaction other) => First.CompareTo(other.First);
}
