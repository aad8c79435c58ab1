using OrleansMq.Api;
using OrleansMq.Partitions;
using OrleansMq.Partitions.Cursors;

namespace OrleansMq.Brokers;

/// <summary>The queues of partitions in this process.</summary>
/// <param name="find">Finds a partition; throws a <see cref="BrokerException"/> where it is not.</param>
internal sealed class LocalQueues(Func<TopicPartition, Partition> find) : IQueues
{
    /// <inheritdoc/>
    public async ValueTask<QueueDescription> CreateAsync(TopicPartition partition, NewQueue queue,
        CancellationToken cancellationToken = default) =>
        await Of(partition).CreateAsync(queue, cancellationToken).ConfigureAwait(false);

    /// <inheritdoc/>
    public async ValueTask DeleteAsync(TopicPartition partition, string name, Guid? id = null,
        CancellationToken cancellationToken = default) =>
        await Of(partition).DeleteAsync(name, id, cancellationToken).ConfigureAwait(false);

    /// <inheritdoc/>
    public async ValueTask<QueueDescription> DescribeAsync(TopicPartition partition, string name,
        CancellationToken cancellationToken = default) =>
        await Of(partition).DescribeAsync(name, cancellationToken).ConfigureAwait(false);

    /// <inheritdoc/>
    public async ValueTask<IReadOnlyList<QueueDescription>> ListAsync(TopicPartition partition,
        CancellationToken cancellationToken = default) =>
        await Of(partition).ListAsync(cancellationToken).ConfigureAwait(false);

    /// <inheritdoc/>
    public async ValueTask<QueueDescription?> DescribeShareAsync(TopicPartition partition, string groupId,
        CancellationToken cancellationToken = default) =>
        await Of(partition).DescribeShareAsync(groupId, cancellationToken).ConfigureAwait(false);

    /// <inheritdoc/>
    public async ValueTask<IReadOnlyList<QueueHandler>> ListHandlersAsync(TopicPartition partition, string name, int maxRecords,
        CancellationToken cancellationToken = default) =>
        await Of(partition).ListHandlersAsync(name, maxRecords, cancellationToken).ConfigureAwait(false);

    /// <inheritdoc/>
    public async ValueTask<QueueDescription> ResetAsync(TopicPartition partition, string name, OffsetSpec start, Guid? id = null,
        CancellationToken cancellationToken = default) =>
        await Of(partition).ResetAsync(name, start, id, cancellationToken).ConfigureAwait(false);

    /// <inheritdoc/>
    public async ValueTask<QueueDescription> AlterAsync(TopicPartition partition, string name, QueueOptions options, Guid? id = null,
        CancellationToken cancellationToken = default) =>
        await Of(partition).AlterAsync(name, options, id, cancellationToken).ConfigureAwait(false);

    /// <inheritdoc/>
    public async ValueTask PurgeAsync(TopicPartition partition, string name, long? below = null,
        CancellationToken cancellationToken = default) =>
        await Of(partition).PurgeAsync(name, below, cancellationToken).ConfigureAwait(false);

    /// <inheritdoc/>
    public async ValueTask<IReadOnlyList<QueueRecord>> PeekAsync(TopicPartition partition, string name, int maxRecords,
        CancellationToken cancellationToken = default) =>
        await Of(partition).PeekAsync(name, maxRecords, cancellationToken).ConfigureAwait(false);

    /// <inheritdoc/>
    public async ValueTask<Guid> AttachAsync(TopicPartition partition, string name, QueueAttachOptions options,
        CancellationToken cancellationToken = default) =>
        await Of(partition).AttachAsync(name, options, cancellationToken).ConfigureAwait(false);

    /// <inheritdoc/>
    public async ValueTask<QueueDelivery?> ReceiveAsync(TopicPartition partition, Guid consumer, int maxRecords, TimeSpan maxWait,
        CancellationToken cancellationToken = default) =>
        await Of(partition).ReceiveAsync(consumer, maxRecords, maxWait, cancellationToken).ConfigureAwait(false);

    /// <inheritdoc/>
    public async ValueTask<IReadOnlyList<ErrorCode>> SettleAsync(TopicPartition partition, Guid consumer,
        IReadOnlyList<QueueSettlement> settlements, CancellationToken cancellationToken = default) =>
        await Of(partition).SettleAsync(consumer, settlements, cancellationToken).ConfigureAwait(false);

    /// <inheritdoc/>
    public async ValueTask DetachAsync(TopicPartition partition, Guid consumer, CancellationToken cancellationToken = default) =>
        await Of(partition).DetachAsync(consumer, cancellationToken).ConfigureAwait(false);

    private PartitionQueues Of(TopicPartition partition) => find(partition).Cursors.Queues;
}
