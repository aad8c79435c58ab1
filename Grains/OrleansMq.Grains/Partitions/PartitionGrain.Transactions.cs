using OrleansMq.Grains.Transactions;
using OrleansMq.Producers;

namespace OrleansMq.Grains.Partitions;

// What the coordinators of transactions ask of the partition's leader.
internal sealed partial class PartitionGrain : ITransactionMarkerGrain
{
    /// <inheritdoc/>
    async Task<ErrorCode> ITransactionMarkerGrain.EndTransactionAsync(long producerId, short producerEpoch, long number,
        int coordinatorEpoch, bool isCommit, bool raisesEpoch)
    {
        door.DemandBroker<ITransactionMarkerGrain>();
        if (_partition is not { } partition)
            return WhyNot(out _);
        return (await partition.Appends.AppendMarkerAsync(producerId, producerEpoch,
            new TransactionMarker(isCommit, coordinatorEpoch, number), raisesEpoch)).Error;
    }
}
