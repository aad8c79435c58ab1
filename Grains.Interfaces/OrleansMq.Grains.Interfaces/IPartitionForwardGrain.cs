using OrleansMq.Api;

namespace OrleansMq.Grains;

/// <summary>
/// The same grain as <see cref="IPartitionGrain"/>, between brokers. A broker that does not lead a partition forwards the requests of its
/// own clients here. It has authorized them and counts them, so that the leader does neither. Clients use <see cref="IPartitionGrain"/>.
/// </summary>
[Alias("omq.IPartitionForwardGrain")]
internal interface IPartitionForwardGrain : IGrainWithStringKey
{
    /// <summary>Appends one record batch, as <see cref="IPartitionAppendGrain.AppendAsync"/> does.</summary>
    [Alias("Append")]
    [ResponseTimeout(GrainTimes.Data)]
    Task<ProduceResult> AppendAsync([Immutable] BatchInCall batch, Acks acks);

    /// <summary>Appends several batches, as <see cref="IPartitionAppendGrain.AppendManyAsync"/> does.</summary>
    [Alias("AppendMany")]
    [ResponseTimeout(GrainTimes.Data)]
    Task<ProduceResult[]> AppendManyAsync([Immutable] BatchInCall[] batches, Acks acks);

    /// <summary>Appends one batch of a transaction, whose number the calling broker has verified.</summary>
    [Alias("AppendInTransaction")]
    [ResponseTimeout(GrainTimes.Data)]
    Task<ProduceResult> AppendInTransactionAsync([Immutable] BatchInCall batch, long transaction);

    /// <summary>Reads batches, as <see cref="IPartitionGrain.ReadAsync"/> does.</summary>
    [Alias("Read")]
    [ResponseTimeout(GrainTimes.Data)]
    Task<FetchResult> ReadAsync(PartitionRead read, CancellationToken cancellationToken = default);

    /// <summary>Finds an offset, as <see cref="IPartitionGrain.FindOffsetAsync"/> does.</summary>
    [Alias("FindOffset")]
    [ResponseTimeout(GrainTimes.Data)]
    Task<OffsetResult> FindOffsetAsync(OffsetSpec spec);

    /// <summary>Moves the log start offset, as <see cref="IPartitionGrain.DeleteRecordsAsync"/> does.</summary>
    [Alias("DeleteRecords")]
    [ResponseTimeout(GrainTimes.Data)]
    Task<long> DeleteRecordsAsync(long beforeOffset);

    /// <summary>Describes the partition, as <see cref="IPartitionGrain.DescribeAsync"/> does.</summary>
    [Alias("Describe")]
    [ResponseTimeout(GrainTimes.Data)]
    Task<PartitionDescription> DescribeAsync();
}
