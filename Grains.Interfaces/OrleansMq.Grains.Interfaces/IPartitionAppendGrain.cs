using OrleansMq.Api;

namespace OrleansMq.Grains;

/// <summary>The same grain as <see cref="IPartitionGrain"/>, for a broker API that lends its batches: no copy on the way out, and none on
/// the garbage collector's heap where they arrive.</summary>
[Alias("omq.IPartitionAppendGrain")]
internal interface IPartitionAppendGrain : IGrainWithStringKey
{
    /// <summary>Appends one record batch, as <see cref="IPartitionGrain.AppendAsync"/> does.</summary>
    /// <param name="batch">The batch. The caller revokes it when the call has ended, however it ended.</param>
    /// <param name="acks">When to answer; <see cref="Acks.None"/> answers after the write.</param>
    [Alias("Append")]
    [ResponseTimeout(GrainTimes.Data)]
    Task<ProduceResult> AppendAsync([Immutable] BatchInCall batch, Acks acks);

    /// <summary>Appends several batches, one after the other. What becomes of one says nothing of the others: each is appended or refused
    /// by itself.</summary>
    /// <param name="batches">At least one, in their order.</param>
    /// <param name="acks">When to answer; the answer comes when all of them have theirs.</param>
    /// <returns>One result for each, in the same order.</returns>
    [Alias("AppendMany")]
    [ResponseTimeout(GrainTimes.Data)]
    Task<ProduceResult[]> AppendManyAsync([Immutable] BatchInCall[] batches, Acks acks);
}
