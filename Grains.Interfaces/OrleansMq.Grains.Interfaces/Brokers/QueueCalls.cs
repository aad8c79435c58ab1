using OrleansMq.Api;

namespace OrleansMq.Grains.Brokers;

/// <summary>The calls to one partition's queues.</summary>
internal abstract class QueueCalls
{
    /// <summary>See <see cref="IQueueGrain.CreateAsync"/>.</summary>
    public abstract Task<QueueDescription> CreateAsync(NewQueue queue, CancellationToken cancellationToken);

    /// <summary>See <see cref="IQueueGrain.DeleteAsync"/>.</summary>
    public abstract Task DeleteAsync(string name, Guid? id, CancellationToken cancellationToken);

    /// <summary>See <see cref="IQueueGrain.DescribeAsync"/>.</summary>
    public abstract Task<QueueDescription> DescribeAsync(string name, CancellationToken cancellationToken);

    /// <summary>See <see cref="IQueueGrain.ListAsync"/>.</summary>
    public abstract Task<QueueDescription[]> ListAsync(CancellationToken cancellationToken);

    /// <summary>See <see cref="IQueues.DescribeShareAsync"/>.</summary>
    public abstract Task<QueueDescription?> DescribeShareAsync(string groupId, CancellationToken cancellationToken);

    /// <summary>See <see cref="IQueueGrain.ListHandlersAsync"/>.</summary>
    public abstract Task<QueueHandler[]> ListHandlersAsync(string name, int maxRecords, CancellationToken cancellationToken);

    /// <summary>See <see cref="IQueueGrain.ResetAsync"/>.</summary>
    public abstract Task<QueueDescription> ResetAsync(string name, OffsetSpec start, Guid? id, CancellationToken cancellationToken);

    /// <summary>See <see cref="IQueueGrain.AlterAsync"/>.</summary>
    public abstract Task<QueueDescription> AlterAsync(string name, QueueOptions options, Guid? id, CancellationToken cancellationToken);

    /// <summary>See <see cref="IQueueGrain.PurgeAsync"/>.</summary>
    public abstract Task PurgeAsync(string name, long? below, CancellationToken cancellationToken);

    /// <summary>See <see cref="IQueueGrain.PeekAsync"/>.</summary>
    public abstract Task<QueueRecord[]> PeekAsync(string name, int maxRecords, CancellationToken cancellationToken);

    /// <summary>See <see cref="IQueueGrain.AttachAsync"/>.</summary>
    public abstract Task<Guid> AttachAsync(string name, QueueAttachOptions options, CancellationToken cancellationToken);

    /// <summary>See <see cref="IQueueGrain.ReceiveAsync"/>.</summary>
    public abstract Task<QueueDelivery?> ReceiveAsync(Guid consumer, int maxRecords, TimeSpan maxWait,
        CancellationToken cancellationToken);

    /// <summary>See <see cref="IQueueGrain.SettleAsync"/>.</summary>
    public abstract Task<ErrorCode[]> SettleAsync(Guid consumer, QueueSettlement[] settlements, CancellationToken cancellationToken);

    /// <summary>See <see cref="IQueueGrain.DetachAsync"/>.</summary>
    public abstract Task DetachAsync(Guid consumer, CancellationToken cancellationToken);
}

/// <summary>The calls of a client.</summary>
internal sealed class ClientQueueCalls(IQueueGrain grain) : QueueCalls
{
    /// <inheritdoc/>
    public override Task<QueueDescription> CreateAsync(NewQueue queue, CancellationToken cancellationToken) =>
        grain.CreateAsync(queue, cancellationToken);

    /// <inheritdoc/>
    public override Task DeleteAsync(string name, Guid? id, CancellationToken cancellationToken) =>
        grain.DeleteAsync(name, id, cancellationToken);

    /// <inheritdoc/>
    public override Task<QueueDescription> DescribeAsync(string name, CancellationToken cancellationToken) =>
        grain.DescribeAsync(name, cancellationToken);

    /// <inheritdoc/>
    public override Task<QueueDescription[]> ListAsync(CancellationToken cancellationToken) => grain.ListAsync(cancellationToken);

    /// <inheritdoc/>
    public override Task<QueueDescription?> DescribeShareAsync(string groupId, CancellationToken cancellationToken) =>
        throw new BrokerException(ErrorCode.UnsupportedVersion, "Share groups are described by the brokers of the Kafka protocol.");

    /// <inheritdoc/>
    public override Task<QueueHandler[]> ListHandlersAsync(string name, int maxRecords, CancellationToken cancellationToken) =>
        grain.ListHandlersAsync(name, maxRecords, cancellationToken);

    /// <inheritdoc/>
    public override Task<QueueDescription> ResetAsync(string name, OffsetSpec start, Guid? id, CancellationToken cancellationToken) =>
        grain.ResetAsync(name, start, id, cancellationToken);

    /// <inheritdoc/>
    public override Task<QueueDescription> AlterAsync(string name, QueueOptions options, Guid? id, CancellationToken cancellationToken) =>
        grain.AlterAsync(name, options, id, cancellationToken);

    /// <inheritdoc/>
    public override Task PurgeAsync(string name, long? below, CancellationToken cancellationToken) =>
        grain.PurgeAsync(name, below, cancellationToken);

    /// <inheritdoc/>
    public override Task<QueueRecord[]> PeekAsync(string name, int maxRecords, CancellationToken cancellationToken) =>
        grain.PeekAsync(name, maxRecords, cancellationToken);

    /// <inheritdoc/>
    public override Task<Guid> AttachAsync(string name, QueueAttachOptions options, CancellationToken cancellationToken) =>
        grain.AttachAsync(name, options, cancellationToken);

    /// <inheritdoc/>
    public override Task<QueueDelivery?> ReceiveAsync(Guid consumer, int maxRecords, TimeSpan maxWait,
        CancellationToken cancellationToken) =>
        grain.ReceiveAsync(consumer, maxRecords, maxWait, cancellationToken);

    /// <inheritdoc/>
    public override Task<ErrorCode[]> SettleAsync(Guid consumer, QueueSettlement[] settlements, CancellationToken cancellationToken) =>
        grain.SettleAsync(consumer, settlements, cancellationToken);

    /// <inheritdoc/>
    public override Task DetachAsync(Guid consumer, CancellationToken cancellationToken) =>
        grain.DetachAsync(consumer, cancellationToken);
}

/// <summary>The calls of a broker.</summary>
internal sealed class ForwardedQueueCalls(IQueueForwardGrain grain) : QueueCalls
{
    /// <inheritdoc/>
    public override Task<QueueDescription> CreateAsync(NewQueue queue, CancellationToken cancellationToken) =>
        grain.CreateAsync(queue, cancellationToken);

    /// <inheritdoc/>
    public override Task DeleteAsync(string name, Guid? id, CancellationToken cancellationToken) =>
        grain.DeleteAsync(name, id, cancellationToken);

    /// <inheritdoc/>
    public override Task<QueueDescription> DescribeAsync(string name, CancellationToken cancellationToken) =>
        grain.DescribeAsync(name, cancellationToken);

    /// <inheritdoc/>
    public override Task<QueueDescription[]> ListAsync(CancellationToken cancellationToken) => grain.ListAsync(cancellationToken);

    /// <inheritdoc/>
    public override Task<QueueDescription?> DescribeShareAsync(string groupId, CancellationToken cancellationToken) =>
        grain.DescribeShareAsync(groupId, cancellationToken);

    /// <inheritdoc/>
    public override Task<QueueHandler[]> ListHandlersAsync(string name, int maxRecords, CancellationToken cancellationToken) =>
        grain.ListHandlersAsync(name, maxRecords, cancellationToken);

    /// <inheritdoc/>
    public override Task<QueueDescription> ResetAsync(string name, OffsetSpec start, Guid? id, CancellationToken cancellationToken) =>
        grain.ResetAsync(name, start, id, cancellationToken);

    /// <inheritdoc/>
    public override Task<QueueDescription> AlterAsync(string name, QueueOptions options, Guid? id, CancellationToken cancellationToken) =>
        grain.AlterAsync(name, options, id, cancellationToken);

    /// <inheritdoc/>
    public override Task PurgeAsync(string name, long? below, CancellationToken cancellationToken) =>
        grain.PurgeAsync(name, below, cancellationToken);

    /// <inheritdoc/>
    public override Task<QueueRecord[]> PeekAsync(string name, int maxRecords, CancellationToken cancellationToken) =>
        grain.PeekAsync(name, maxRecords, cancellationToken);

    /// <inheritdoc/>
    public override Task<Guid> AttachAsync(string name, QueueAttachOptions options, CancellationToken cancellationToken) =>
        grain.AttachAsync(name, options, cancellationToken);

    /// <inheritdoc/>
    public override Task<QueueDelivery?> ReceiveAsync(Guid consumer, int maxRecords, TimeSpan maxWait,
        CancellationToken cancellationToken) =>
        grain.ReceiveAsync(consumer, maxRecords, maxWait, cancellationToken);

    /// <inheritdoc/>
    public override Task<ErrorCode[]> SettleAsync(Guid consumer, QueueSettlement[] settlements, CancellationToken cancellationToken) =>
        grain.SettleAsync(consumer, settlements, cancellationToken);

    /// <inheritdoc/>
    public override Task DetachAsync(Guid consumer, CancellationToken cancellationToken) =>
        grain.DetachAsync(consumer, cancellationToken);
}
