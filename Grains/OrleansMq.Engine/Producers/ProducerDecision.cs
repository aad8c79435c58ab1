namespace OrleansMq.Producers;

/// <summary>What becomes of a batch, by what is known of its producer.</summary>
public enum ProducerOutcome
{
    /// <summary>Never returned.</summary>
    Unknown = 0,
    /// <summary>Append it: the next in sequence, the first of a new epoch, of a producer nothing is known of, or of no producer at
    /// all.</summary>
    Accept = 1,
    /// <summary>It is in the log already: answer with the original's offset, once the original is below the high watermark.</summary>
    Duplicate = 2,
    /// <summary>It is in the log already, but so long ago that its offset is forgotten.</summary>
    DuplicateSequence = 3,
    /// <summary>Neither the next in sequence nor known to be in the log.</summary>
    OutOfOrderSequence = 4,
    /// <summary>A newer instance of the producer has written: this one is fenced.</summary>
    FencedEpoch = 5,
}

/// <summary>A decision on one batch.</summary>
/// <param name="Outcome">What to do.</param>
/// <param name="BaseOffset">Of a duplicate: the original's first offset; else -1.</param>
/// <param name="LastOffset">Of a duplicate: the original's last offset; else -1.</param>
/// <param name="ExpectedSequence">Where the sequence is wrong: the one that would have been accepted; else -1.</param>
/// <param name="KnownEpoch">Where the epoch is wrong: the newest one known; else -1.</param>
public readonly record struct ProducerDecision(ProducerOutcome Outcome, long BaseOffset = -1, long LastOffset = -1,
    int ExpectedSequence = -1, short KnownEpoch = -1)
{
    /// <summary>The batch is to be appended.</summary>
    public static ProducerDecision Accepted => new(ProducerOutcome.Accept);

    /// <summary>The code a sender is answered with; <see cref="ErrorCode.None"/> for an accepted batch and for a duplicate of known
    /// offset.</summary>
    public ErrorCode ErrorCode => Outcome switch
    {
        ProducerOutcome.Accept or ProducerOutcome.Duplicate => ErrorCode.None,
        ProducerOutcome.DuplicateSequence => ErrorCode.DuplicateSequenceNumber,
        ProducerOutcome.OutOfOrderSequence => ErrorCode.OutOfOrderSequenceNumber,
        ProducerOutcome.FencedEpoch => ErrorCode.InvalidProducerEpoch,
        _ => ErrorCode.UnknownServerError,
    };
}
