using OrleansMq.Api;

namespace OrleansMq.Tests.OrleansPackages.Streams;

/// <summary>The queues of a <see cref="FaultyStreamBroker"/>.</summary>
internal sealed class FaultyStreamQueues(IQueues inner) : IQueues
{
    /// <summary>Carries out the alterations of queues, by their names; null: they are carried out.</summary>
    public Func<string, Func<Task<QueueDescription>>, Task<QueueDescription>>? OnAlter { get; set; }

    /// <summary>Completes when consumers may detach; null: they may.</summary>
    public Task? Detaching { get; set; }

    public ValueTask<QueueDescription> CreateAsync(TopicPartition partition, NewQueue queue,
        CancellationToken cancellationToken = default) => inner.CreateAsync(partition, queue, cancellationToken);

    public ValueTask DeleteAsync(TopicPartition partition, string name, Guid? id = null, CancellationToken cancellationToken = default) =>
        inner.DeleteAsync(partition, name, id, cancellationToken);

    public ValueTask<QueueDescription> DescribeAsync(TopicPartition partition, string name,
        CancellationToken cancellationToken = default) => inner.DescribeAsync(partition, name, cancellationToken);

    public ValueTask<IReadOnlyList<QueueDescription>> ListAsync(TopicPartition partition,
        CancellationToken cancellationToken = default) => inner.ListAsync(partition, cancellationToken);

    public ValueTask<QueueDescription> ResetAsync(TopicPartition partition, string name, OffsetSpec start, Guid? id = null,
        CancellationToken cancellationToken = default) => inner.ResetAsync(partition, name, start, id, cancellationToken);

    public ValueTask<QueueDescription> AlterAsync(TopicPartition partition, string name, QueueOptions options, Guid? id = null,
        CancellationToken cancellationToken = default) => OnAlter is { } carryOut
        ? new(carryOut(name, () => inner.AlterAsync(partition, name, options, id, cancellationToken).AsTask()))
        : inner.AlterAsync(partition, name, options, id, cancellationToken);

    public ValueTask PurgeAsync(TopicPartition partition, string name, long? below = null,
        CancellationToken cancellationToken = default) => inner.PurgeAsync(partition, name, below, cancellationToken);

    public ValueTask<IReadOnlyList<QueueRecord>> PeekAsync(TopicPartition partition, string name, int maxRecords,
        CancellationToken cancellationToken = default) => inner.PeekAsync(partition, name, maxRecords, cancellationToken);

    public ValueTask<Guid> AttachAsync(TopicPartition partition, string name, QueueAttachOptions options,
        CancellationToken cancellationToken = default) => inner.AttachAsync(partition, name, options, cancellationToken);

    public ValueTask<QueueDelivery?> ReceiveAsync(TopicPartition partition, Guid consumer, int maxRecords, TimeSpan maxWait,
        CancellationToken cancellationToken = default) =>
        inner.ReceiveAsync(partition, consumer, maxRecords, maxWait, cancellationToken);

    public ValueTask<IReadOnlyList<ErrorCode>> SettleAsync(TopicPartition partition, Guid consumer,
        IReadOnlyList<QueueSettlement> settlements, CancellationToken cancellationToken = default) =>
        inner.SettleAsync(partition, consumer, settlements, cancellationToken);

    public async ValueTask DetachAsync(TopicPartition partition, Guid consumer, CancellationToken cancellationToken = default)
    {
        if (Detaching is { } detaching)
            await detaching;
        await inner.DetachAsync(partition, consumer, cancellationToken);
    }
}
