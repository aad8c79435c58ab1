using OrleansMq.Brokers;

namespace OrleansMq.Grains;

/// <summary>The same grain as <see cref="IPartitionGrain"/>, for a broker API that lends its batches: no copy on the way out, and none on the garbage collector's heap where they arrive.</summary>
[Alias("omq.IPartitionAppendGrain")]
internal interface IPartitionAppendGrain : IGrainWithStringKey
{
    /// <summary>Appends one record batch, as <see cref="IPartitionGrain.AppendAsync"/> does.</summary>
    /// <param name="batch">The batch. The caller revokes it when the call has ended, however it ended.</param>
    /// <param name="acks">When to answer; <see cref="Acks.None"/> answers after the write.</param>
    [Alias("Append")]
    [ResponseTimeout(GrainTimes.Data)]
    Task<ProduceResult> AppendAsync([Immutable] BatchInCall batch, Acks acks);
}
