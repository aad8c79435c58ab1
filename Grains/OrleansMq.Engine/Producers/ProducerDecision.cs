namespace OrleansMq.Producers;

/// <summary>How a batch is handled, given the state of its producer.</summary>
internal enum ProducerOutcome
{
    /// <summary>Never returned.</summary>
    Unknown = 0,
    /// <summary>Append it: it is the next in sequence, the first of a new epoch, from an unknown producer, or without a producer.</summary>
    Accept = 1,
    /// <summary>It is already in the log: answer with the original's offset, once the original is below the high watermark.</summary>
    Duplicate = 2,
    /// <summary>It is already in the log, but so old that its offset is forgotten: answer so, once all that it may be is below the high
    /// watermark.</summary>
    DuplicateSequence = 3,
    /// <summary>It is neither the next in sequence nor known to be in the log.</summary>
    OutOfOrderSequence = 4,
    /// <summary>A newer instance of the producer has written, so this one is fenced.</summary>
    FencedEpoch = 5,
    /// <summary>The marker's coordinator was replaced by another one, which has ended a later transaction.</summary>
    FencedCoordinator = 6,
    /// <summary>It belongs to a transaction, and would be its first batch here: the coordinator is to be asked first.</summary>
    NotInTransaction = 7,
    /// <summary>It belongs to none, and its producer has a transaction open here.</summary>
    InTransaction = 8,
}

/// <summary>The decision on one batch.</summary>
/// <param name="Outcome">How to handle the batch.</param>
/// <param name="BaseOffset">For a duplicate, the original's first offset; otherwise -1.</param>
/// <param name="LastOffset">For a duplicate, the original's last offset; for one whose offset is forgotten, the last one that it can be;
/// otherwise -1.</param>
/// <param name="ExpectedSequence">For a wrong sequence, the one that would have been accepted; otherwise -1.</param>
/// <param name="KnownEpoch">For a wrong epoch of a producer or coordinator, the newest known one; otherwise -1.</param>
internal readonly record struct ProducerDecision(ProducerOutcome Outcome, long BaseOffset = -1, long LastOffset = -1,
    int ExpectedSequence = -1, int KnownEpoch = -1)
{
    /// <summary>The decision to append the batch.</summary>
    public static ProducerDecision Accepted => new(ProducerOutcome.Accept);

    /// <summary>The error code for the producer; <see cref="ErrorCode.None"/> for an accepted batch and for a duplicate with a known
    /// offset.</summary>
    public ErrorCode ErrorCode => Outcome switch
    {
        ProducerOutcome.Accept or ProducerOutcome.Duplicate => ErrorCode.None,
        ProducerOutcome.DuplicateSequence => ErrorCode.DuplicateSequenceNumber,
        ProducerOutcome.OutOfOrderSequence => ErrorCode.OutOfOrderSequenceNumber,
        ProducerOutcome.FencedEpoch => ErrorCode.InvalidProducerEpoch,
        ProducerOutcome.FencedCoordinator => ErrorCode.TransactionCoordinatorFenced,
        ProducerOutcome.NotInTransaction => ErrorCode.TransactionAbortable,
        ProducerOutcome.InTransaction => ErrorCode.InvalidTxnState,
        _ => ErrorCode.UnknownServerError,
    };
}
