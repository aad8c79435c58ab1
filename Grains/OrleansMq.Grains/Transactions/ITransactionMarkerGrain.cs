namespace OrleansMq.Grains.Transactions;

/// <summary>Requests of a transaction's coordinator to the grain that leads a partition.</summary>
[Alias("omq.ITransactionMarkerGrain")]
internal interface ITransactionMarkerGrain : IGrainWithStringKey
{
    /// <summary>Writes the marker that ends a transaction; completes when it is below the high watermark. A repetition changes
    /// nothing.</summary>
    /// <param name="producerId">The producer.</param>
    /// <param name="producerEpoch">The epoch of the marker.</param>
    /// <param name="number">The transaction's number.</param>
    /// <param name="coordinatorEpoch">The coordinator's epoch.</param>
    /// <param name="isCommit">Whether it is committed.</param>
    /// <param name="raisesEpoch">Whether the epoch is above that of the transaction's batches.</param>
    /// <returns><see cref="ErrorCode.None"/>, or why it was not written.</returns>
    [Alias("EndTransaction")]
    [ResponseTimeout(GrainTimes.Data)]
    Task<ErrorCode> EndTransactionAsync(long producerId, short producerEpoch, long number, int coordinatorEpoch, bool isCommit,
        bool raisesEpoch);
}
