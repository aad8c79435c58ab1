using OrleansMq.Api;

namespace OrleansMq.Grains;

/// <summary>
/// The same operations as <see cref="IQueueGrain"/>, between brokers: the calling broker has authorized them and counts what they deliver.
/// Clients use <see cref="IQueueGrain"/>.
/// </summary>
[Alias("omq.IQueueForwardGrain")]
internal interface IQueueForwardGrain : IGrainWithStringKey
{
    /// <summary>See <see cref="IQueueGrain.CreateAsync"/>.</summary>
    [Alias("Create")]
    [ResponseTimeout(GrainTimes.Data)]
    Task<QueueDescription> CreateAsync(NewQueue queue, CancellationToken cancellationToken = default);

    /// <summary>See <see cref="IQueueGrain.DeleteAsync"/>.</summary>
    [Alias("Delete")]
    [ResponseTimeout(GrainTimes.Data)]
    Task DeleteAsync(string name, Guid? id = null, CancellationToken cancellationToken = default);

    /// <summary>See <see cref="IQueueGrain.DescribeAsync"/>.</summary>
    [Alias("Describe")]
    [ResponseTimeout(GrainTimes.Data)]
    Task<QueueDescription> DescribeAsync(string name, CancellationToken cancellationToken = default);

    /// <summary>See <see cref="IQueueGrain.ListAsync"/>.</summary>
    [Alias("List")]
    [ResponseTimeout(GrainTimes.Data)]
    Task<QueueDescription[]> ListAsync(CancellationToken cancellationToken = default);

    /// <summary>See <see cref="IQueues.DescribeShareAsync"/>.</summary>
    [Alias("DescribeShare")]
    [ResponseTimeout(GrainTimes.Data)]
    Task<QueueDescription?> DescribeShareAsync(string groupId, CancellationToken cancellationToken = default);

    /// <summary>See <see cref="IQueues.ListHandlersAsync"/>.</summary>
    [Alias("ListHandlers")]
    [ResponseTimeout(GrainTimes.Data)]
    Task<QueueHandler[]> ListHandlersAsync(string name, int maxRecords, CancellationToken cancellationToken = default);

    /// <summary>See <see cref="IQueueGrain.ResetAsync"/>.</summary>
    [Alias("Reset")]
    [ResponseTimeout(GrainTimes.Data)]
    Task<QueueDescription> ResetAsync(string name, OffsetSpec start, Guid? id = null, CancellationToken cancellationToken = default);

    /// <summary>See <see cref="IQueueGrain.AlterAsync"/>.</summary>
    [Alias("Alter")]
    [ResponseTimeout(GrainTimes.Data)]
    Task<QueueDescription> AlterAsync(string name, QueueOptions options, Guid? id = null, CancellationToken cancellationToken = default);

    /// <summary>See <see cref="IQueueGrain.PurgeAsync"/>.</summary>
    [Alias("Purge")]
    [ResponseTimeout(GrainTimes.Data)]
    Task PurgeAsync(string name, long? below = null, CancellationToken cancellationToken = default);

    /// <summary>See <see cref="IQueueGrain.PeekAsync"/>.</summary>
    [Alias("Peek")]
    [ResponseTimeout(GrainTimes.Data)]
    Task<QueueRecord[]> PeekAsync(string name, int maxRecords, CancellationToken cancellationToken = default);

    /// <summary>See <see cref="IQueueGrain.AttachAsync"/>.</summary>
    [Alias("Attach")]
    [ResponseTimeout(GrainTimes.Data)]
    Task<Guid> AttachAsync(string name, QueueAttachOptions options, CancellationToken cancellationToken = default);

    /// <summary>See <see cref="IQueueGrain.ReceiveAsync"/>.</summary>
    [Alias("Receive")]
    [ResponseTimeout(GrainTimes.Data)]
    Task<QueueDelivery?> ReceiveAsync(Guid consumer, int maxRecords, TimeSpan maxWait, CancellationToken cancellationToken = default);

    /// <summary>See <see cref="IQueueGrain.SettleAsync"/>.</summary>
    [Alias("Settle")]
    [ResponseTimeout(GrainTimes.Data)]
    Task<ErrorCode[]> SettleAsync(Guid consumer, QueueSettlement[] settlements, CancellationToken cancellationToken = default);

    /// <summary>See <see cref="IQueueGrain.DetachAsync"/>.</summary>
    [Alias("Detach")]
    [ResponseTimeout(GrainTimes.Data)]
    Task DetachAsync(Guid consumer, CancellationToken cancellationToken = default);
}
