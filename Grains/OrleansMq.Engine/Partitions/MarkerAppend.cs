using OrleansMq.Producers;
using OrleansMq.Records;

namespace OrleansMq.Partitions;

/// <summary>The append of a transaction's marker, which its coordinator has decided on.</summary>
/// <param name="epoch">The leader epoch.</param>
/// <param name="marker">The marker.</param>
/// <param name="raisesEpoch">Whether its epoch is above that of the transaction's batches.</param>
internal sealed class MarkerAppend(int epoch, TransactionMarker marker, bool raisesEpoch) : IControlAppend
{
    /// <inheritdoc/>
    public int Epoch => epoch;

    /// <summary>The first offset of the one transaction that it may end; -1: any.</summary>
    public long First { get; init; } = -1;

    /// <summary>Decides by the state of its producer.</summary>
    /// <param name="producers">The producers; staged batches count as appended.</param>
    /// <param name="header">The marker's batch.</param>
    /// <param name="logEnd">The offset after the last batch, staged ones included.</param>
    public ProducerDecision Check(ProducerStateManager producers, in RecordBatchHeader header, long logEnd)
    {
        if (!producers.TryGet(header.ProducerId, out var known))
            known = new ProducerState();
        if (First >= 0 && First != known.CurrentTransactionFirstOffset)
            return new ProducerDecision(ProducerOutcome.Duplicate, LastOffset: logEnd - 1);
        return MarkerDecision.Decide(known, header.ProducerEpoch, marker, raisesEpoch, logEnd);
    }

    /// <inheritdoc/>
    public void OnWritten(long offset)
    {
        // The answer comes when it is in force.
    }
}
