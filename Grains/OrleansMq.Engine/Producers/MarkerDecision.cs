namespace OrleansMq.Producers;

/// <summary>How a partition's leader handles the marker of a transaction. Pure.</summary>
/// <remarks>
/// <code>
/// its number is one that has ended            known     a call that came twice or late: it must not end the transaction after it
/// an older epoch of the producer              fenced    as every batch
/// an older coordinator                        fenced    a newer one decides about the producer's transactions
/// the epoch that has a transaction open,      fenced    each marker raises the epoch (KIP-890), so this one is of an earlier
///   though markers raise it                             transaction
/// otherwise                                   append    also where nothing is open: it fences the producer's older epochs
/// </code>
/// A follower and recovery take what the log has.
/// </remarks>
internal static class MarkerDecision
{
    /// <summary>Decides.</summary>
    /// <param name="known">The state of the producer; a new one if it is not known.</param>
    /// <param name="producerEpoch">The epoch that the marker carries.</param>
    /// <param name="marker">The marker.</param>
    /// <param name="raisesEpoch">Whether the marker's epoch is above that of the transaction's batches (KIP-890).</param>
    /// <param name="logEnd">The offset after the last batch: a marker that is known is below it.</param>
    public static ProducerDecision Decide(in ProducerState known, short producerEpoch, in TransactionMarker marker, bool raisesEpoch,
        long logEnd)
    {
        if (marker.Number > 0 && marker.Number <= known.LastTransactionNumber)
            return new ProducerDecision(ProducerOutcome.Duplicate, LastOffset: logEnd - 1);
        if (producerEpoch < known.Epoch)
            return new ProducerDecision(ProducerOutcome.FencedEpoch, KnownEpoch: known.Epoch);
        if (marker.CoordinatorEpoch < known.CoordinatorEpoch)
            return new ProducerDecision(ProducerOutcome.FencedCoordinator, KnownEpoch: known.CoordinatorEpoch);
        return raisesEpoch && producerEpoch == known.Epoch && known.CurrentTransactionFirstOffset >= 0
            ? new ProducerDecision(ProducerOutcome.FencedEpoch, KnownEpoch: known.Epoch)
            : ProducerDecision.Accepted;
    }
}
