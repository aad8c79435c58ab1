using OrleansMq.Api;

namespace OrleansMq.Access;

/// <summary>
/// Queues as one session may use them: consumers need <see cref="AccessOperation.Read"/> of the topic, creation, change, reset and
/// deletion <see cref="AccessOperation.Alter"/>, a purge <see cref="AccessOperation.Delete"/>. A dead-letter topic needs
/// <see cref="AccessOperation.Write"/> of itself. What is delivered is counted. Thread safe.
/// </summary>
internal sealed class SessionQueues(IQueues queues, SessionAccess session) : IQueues
{
    /// <inheritdoc/>
    public async ValueTask<QueueDescription> CreateAsync(TopicPartition partition, NewQueue queue,
        CancellationToken cancellationToken = default)
    {
        Demand(AccessOperation.Alter, partition);
        DemandLetters(queue.Options);
        return await queues.CreateAsync(partition, queue, cancellationToken).ConfigureAwait(false);
    }

    /// <inheritdoc/>
    public async ValueTask DeleteAsync(TopicPartition partition, string name, CancellationToken cancellationToken = default)
    {
        Demand(AccessOperation.Alter, partition);
        await queues.DeleteAsync(partition, name, cancellationToken).ConfigureAwait(false);
    }

    /// <inheritdoc/>
    public async ValueTask<QueueDescription> DescribeAsync(TopicPartition partition, string name,
        CancellationToken cancellationToken = default)
    {
        Demand(AccessOperation.Describe, partition);
        return await queues.DescribeAsync(partition, name, cancellationToken).ConfigureAwait(false);
    }

    /// <inheritdoc/>
    public async ValueTask<IReadOnlyList<QueueDescription>> ListAsync(TopicPartition partition,
        CancellationToken cancellationToken = default)
    {
        Demand(AccessOperation.Describe, partition);
        return await queues.ListAsync(partition, cancellationToken).ConfigureAwait(false);
    }

    /// <inheritdoc/>
    public async ValueTask<QueueDescription?> DescribeShareAsync(TopicPartition partition, string groupId,
        CancellationToken cancellationToken = default)
    {
        Demand(AccessOperation.Describe, partition);
        return await queues.DescribeShareAsync(partition, groupId, cancellationToken).ConfigureAwait(false);
    }

    /// <inheritdoc/>
    public async ValueTask<IReadOnlyList<QueueHandler>> ListHandlersAsync(TopicPartition partition, string name, int maxRecords,
        CancellationToken cancellationToken = default)
    {
        // Their ids are the right to settle.
        Demand(AccessOperation.Read, partition);
        return await queues.ListHandlersAsync(partition, name, maxRecords, cancellationToken).ConfigureAwait(false);
    }

    /// <inheritdoc/>
    public async ValueTask<QueueDescription> ResetAsync(TopicPartition partition, string name, OffsetSpec start,
        CancellationToken cancellationToken = default)
    {
        Demand(AccessOperation.Alter, partition);
        return await queues.ResetAsync(partition, name, start, cancellationToken).ConfigureAwait(false);
    }

    /// <inheritdoc/>
    public async ValueTask<QueueDescription> AlterAsync(TopicPartition partition, string name, QueueOptions options,
        CancellationToken cancellationToken = default)
    {
        Demand(AccessOperation.Alter, partition);
        DemandLetters(options);
        return await queues.AlterAsync(partition, name, options, cancellationToken).ConfigureAwait(false);
    }

    /// <inheritdoc/>
    public async ValueTask PurgeAsync(TopicPartition partition, string name, CancellationToken cancellationToken = default)
    {
        Demand(AccessOperation.Delete, partition);
        await queues.PurgeAsync(partition, name, cancellationToken).ConfigureAwait(false);
    }

    /// <inheritdoc/>
    public async ValueTask<IReadOnlyList<QueueRecord>> PeekAsync(TopicPartition partition, string name, int maxRecords,
        CancellationToken cancellationToken = default)
    {
        Demand(AccessOperation.Read, partition);
        var records = await queues.PeekAsync(partition, name, maxRecords, cancellationToken).ConfigureAwait(false);
        session.GrantOf(partition.Topic).Counts.Count(records);
        return records;
    }

    /// <inheritdoc/>
    public async ValueTask<Guid> AttachAsync(TopicPartition partition, string name, QueueAttachOptions options,
        CancellationToken cancellationToken = default)
    {
        Demand(AccessOperation.Read, partition);
        return await queues.AttachAsync(partition, name, options, cancellationToken).ConfigureAwait(false);
    }

    /// <inheritdoc/>
    public async ValueTask<QueueDelivery?> ReceiveAsync(TopicPartition partition, Guid consumer, int maxRecords, TimeSpan maxWait,
        CancellationToken cancellationToken = default)
    {
        Demand(AccessOperation.Read, partition);
        var delivery = await queues.ReceiveAsync(partition, consumer, maxRecords, maxWait, cancellationToken).ConfigureAwait(false);
        if (delivery is not null)
            session.GrantOf(partition.Topic).Counts.Count(delivery.Records);
        return delivery;
    }

    /// <inheritdoc/>
    public async ValueTask<IReadOnlyList<ErrorCode>> SettleAsync(TopicPartition partition, Guid consumer,
        IReadOnlyList<QueueSettlement> settlements, CancellationToken cancellationToken = default)
    {
        Demand(AccessOperation.Read, partition);
        return await queues.SettleAsync(partition, consumer, settlements, cancellationToken).ConfigureAwait(false);
    }

    /// <inheritdoc/>
    public async ValueTask DetachAsync(TopicPartition partition, Guid consumer, CancellationToken cancellationToken = default)
    {
        Demand(AccessOperation.Read, partition);
        await queues.DetachAsync(partition, consumer, cancellationToken).ConfigureAwait(false);
    }

    // The queue writes there for ever.
    private void DemandLetters(QueueOptions options)
    {
        if (options.DeadLetterTopic is { } letters)
            session.Demand(AccessOperation.Write, ResourceType.Topic, letters);
    }

    private void Demand(AccessOperation operation, TopicPartition partition) =>
        session.Demand(operation, ResourceType.Topic, partition.Topic);
}
