namespace OrleansMq.Producers;

/// <summary>A producer as a partition's log knows it.</summary>
/// <param name="ProducerId">Its id.</param>
/// <param name="Epoch">The newest epoch seen.</param>
/// <param name="LastSequence">The sequence number of its last record in that epoch; -1 if it has none.</param>
/// <param name="LastTimestamp">The largest timestamp of its last batch in that epoch, or when its last marker was appended; milliseconds
/// since 1970.</param>
/// <param name="CoordinatorEpoch">The epoch of the coordinator that ended its last transaction; -1 for none.</param>
/// <param name="TransactionStart">The first offset of its open transaction; -1 for none.</param>
internal readonly record struct ActiveProducer(long ProducerId, short Epoch, int LastSequence, long LastTimestamp, int CoordinatorEpoch,
    long TransactionStart)
{
    /// <summary>Describes a producer by its state.</summary>
    public static ActiveProducer Of(long producerId, in ProducerState state) => new(producerId, state.Epoch,
        state.Count > 0 ? state[0].LastSequence : -1, state.Count > 0 ? state[0].Timestamp : state.LastAppendTime,
        state.CoordinatorEpoch, state.CurrentTransactionFirstOffset);
}
