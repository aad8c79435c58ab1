using OrleansMq.Api;
using OrleansMq.Quotas;

namespace OrleansMq.Access;

/// <summary>
/// Queues as one session may use them: consumers need <see cref="AccessOperation.Read"/> of the topic, creation, change, reset and
/// deletion <see cref="AccessOperation.Alter"/>, a purge <see cref="AccessOperation.Delete"/>. A dead-letter topic needs
/// <see cref="AccessOperation.Write"/> of itself. What is delivered is counted, and pays the session's quota of bytes. Thread safe.
/// </summary>
internal sealed class SessionQueues(IQueues queues, SessionAccess session) : IQueues
{
    // A consumer is attached while it is heard of, at least once a second where its session is the shortest.
    private static readonly TimeSpan Slice = TimeSpan.FromMilliseconds(500);
    // A call that waits may find nothing; one that does not wait must tell whether there was something.
    private static readonly TimeSpan ShortestWait = TimeSpan.FromMilliseconds(1);

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
        // It is not held back: the doors take peeks one at a time.
        if (ReadPace is { } pace && pace.Wait(QuotaKey.ConsumerByteRate) is var wait && wait > TimeSpan.Zero)
            throw Exceeded(wait);
        var records = await queues.PeekAsync(partition, name, maxRecords, cancellationToken).ConfigureAwait(false);
        Count(partition, records);
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
        // A call for no records hands out none.
        if (maxRecords > 0 && ReadPace is { } pace && pace.Wait(QuotaKey.ConsumerByteRate) is var owed && owed > TimeSpan.Zero)
        {
            var held = pace.Within(owed);
            await HoldAsync(pace, held, partition, consumer, cancellationToken).ConfigureAwait(false);
            // An error would have the consumer attach again, which gives back what it holds.
            if (held < owed && maxWait <= TimeSpan.Zero)
                throw Exceeded(owed - held);
            if (held < owed)
                return null;
            var left = maxWait - held;
            maxWait = left > ShortestWait ? left : maxWait < ShortestWait ? maxWait : ShortestWait;
        }
        var delivery = await queues.ReceiveAsync(partition, consumer, maxRecords, maxWait, cancellationToken).ConfigureAwait(false);
        if (delivery is not null)
            Count(partition, delivery.Records);
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

    private SessionPace? ReadPace => session.Pace is { } pace && !pace.IsFree(QuotaKey.ConsumerByteRate) ? pace : null;

    // Settling nothing lets the leader hear of the consumer, and refuses one that is not attached there any more.
    private async ValueTask HoldAsync(SessionPace pace, TimeSpan time, TopicPartition partition, Guid consumer,
        CancellationToken cancellationToken)
    {
        for (var left = time; left > TimeSpan.Zero; left -= Slice)
        {
            await queues.SettleAsync(partition, consumer, [], cancellationToken).ConfigureAwait(false);
            await pace.HoldAsync(QuotaKey.ConsumerByteRate, left < Slice ? left : Slice, cancellationToken).ConfigureAwait(false);
        }
    }

    private void Count(TopicPartition partition, IReadOnlyList<QueueRecord> records)
    {
        session.GrantOf(partition.Topic).Counts.Count(records);
        if (ReadPace is { } pace && records.Count > 0)
            pace.Charge(QuotaKey.ConsumerByteRate, records.Sum(static record => RecordBytes.Of(record)));
    }

    private static BrokerException Exceeded(TimeSpan wait) =>
        new(ErrorCode.ThrottlingQuotaExceeded, SessionPace.RefusalOf(QuotaKey.ConsumerByteRate, wait));

    // The queue writes there for ever.
    private void DemandLetters(QueueOptions options)
    {
        if (options.DeadLetterTopic is { } letters)
            session.Demand(AccessOperation.Write, ResourceType.Topic, letters);
    }

    private void Demand(AccessOperation operation, TopicPartition partition) =>
        session.Demand(operation, ResourceType.Topic, partition.Topic);
}
