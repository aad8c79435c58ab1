using OrleansMq.Api;
using OrleansMq.Partitions.Cursors;
using OrleansMq.Quotas;

namespace OrleansMq.Access;

/// <summary>
/// Queues as one session may use them: consumers need <see cref="AccessOperation.Read"/> of the topic, creation, change, reset and
/// deletion <see cref="AccessOperation.Alter"/>, a purge <see cref="AccessOperation.Delete"/>. A dead-letter topic needs
/// <see cref="AccessOperation.Write"/> of itself. What is delivered is counted, and pays the session's quota of bytes. Thread safe.
/// </summary>
internal sealed class SessionQueues(IQueues queues, SessionAccess session) : IQueues
{
    // The shortest session of a consumer is one second. A held receive renews it twice in that time.
    private static readonly TimeSpan Slice = TimeSpan.FromMilliseconds(500);
    // A receive with a wait keeps one: without it, it would have to fail where the leader cannot tell yet.
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
    public async ValueTask DeleteAsync(TopicPartition partition, string name, Guid? id = null,
        CancellationToken cancellationToken = default)
    {
        Demand(AccessOperation.Alter, partition);
        await queues.DeleteAsync(partition, name, id, cancellationToken).ConfigureAwait(false);
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
    public async ValueTask<QueueDescription> ResetAsync(TopicPartition partition, string name, OffsetSpec start, Guid? id = null,
        CancellationToken cancellationToken = default)
    {
        Demand(AccessOperation.Alter, partition);
        return await queues.ResetAsync(partition, name, start, id, cancellationToken).ConfigureAwait(false);
    }

    /// <inheritdoc/>
    public async ValueTask<QueueDescription> AlterAsync(TopicPartition partition, string name, QueueOptions options, Guid? id = null,
        CancellationToken cancellationToken = default)
    {
        Demand(AccessOperation.Alter, partition);
        DemandLetters(options);
        return await queues.AlterAsync(partition, name, options, id, cancellationToken).ConfigureAwait(false);
    }

    /// <inheritdoc/>
    public async ValueTask PurgeAsync(TopicPartition partition, string name, long? below = null,
        CancellationToken cancellationToken = default)
    {
        Demand(AccessOperation.Delete, partition);
        await queues.PurgeAsync(partition, name, below, cancellationToken).ConfigureAwait(false);
    }

    /// <inheritdoc/>
    public async ValueTask<IReadOnlyList<QueueRecord>> PeekAsync(TopicPartition partition, string name, int maxRecords,
        CancellationToken cancellationToken = default)
    {
        Demand(AccessOperation.Read, partition);
        // A peek is refused, not delayed: a delayed one would keep the broker's single peek turn.
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
        if (maxRecords > 0 && ReadPace is { } pace)
            return await ReceiveAtPaceAsync(pace, partition, consumer, maxRecords, maxWait, cancellationToken).ConfigureAwait(false);
        session.Receives.End(consumer);
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

    private SessionPace? ReadPace => session.PaceOf(QuotaKey.ConsumerByteRate);

    // A later receive of the consumer ends it, also while it is held back.
    private async Task<QueueDelivery?> ReceiveAtPaceAsync(SessionPace pace, TopicPartition partition, Guid consumer, int maxRecords,
        TimeSpan maxWait, CancellationToken cancellationToken)
    {
        var later = session.Receives.Begin(consumer);
        using var ending = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, later.Token);
        try
        {
            var (read, held, owed) = await BeginAsync(pace, partition, consumer, ending.Token).ConfigureAwait(false);
            // An error would have the consumer attach again, which gives back what it holds.
            if (owed is { } refused && maxWait <= TimeSpan.Zero)
                throw Exceeded(refused);
            if (owed is not null)
                return null;
            if (read is not null)
            {
                var ready = await ReadAsync(read, partition, consumer, maxRecords, waits: maxWait > TimeSpan.Zero, ending.Token)
                    .ConfigureAwait(false);
                if (ready is not null || maxWait <= TimeSpan.Zero)
                    return ready;
                // Any number may wait, and receive at the same moment: each gets one record, and the rest by its next receive.
                maxRecords = 1;
            }
            var left = maxWait - held;
            maxWait = left > ShortestWait ? left : maxWait < ShortestWait ? maxWait : ShortestWait;
            var delivery = await queues.ReceiveAsync(partition, consumer, maxRecords, maxWait, ending.Token).ConfigureAwait(false);
            if (delivery is not null)
                Count(partition, delivery.Records);
            return delivery;
        }
        catch (OperationCanceledException) when (later.IsCancellationRequested && !cancellationToken.IsCancellationRequested)
        {
            return null;
        }
        finally
        {
            session.Receives.Leave(consumer, later);
        }
    }

    // Waits until the client owes nothing, and the reads of its quota in progress leave room. Read: what has begun; null where no quota
    // limits the client any more, or where it owes too much.
    private async ValueTask<(QuotaAccount? Read, TimeSpan Held, TimeSpan? Owed)> BeginAsync(SessionPace pace, TopicPartition partition,
        Guid consumer, CancellationToken cancellationToken)
    {
        var held = TimeSpan.Zero;
        while (pace.Reads is { } account)
        {
            if (account.TryBeginRead(CursorAttachment.MostBytes, out var owed))
                return (account, held, null);
            var left = pace.Most - held;
            if (left <= TimeSpan.Zero)
                return (null, held, owed > Slice ? owed : Slice);
            if (owed > TimeSpan.Zero)
            {
                // A timer may be a little early.
                var time = owed > ShortestWait ? owed : ShortestWait;
                time = time < left ? time : left;
                await HoldAsync(pace, time, partition, consumer, cancellationToken).ConfigureAwait(false);
                held += time;
                continue;
            }
            await queues.SettleAsync(partition, consumer, [], cancellationToken).ConfigureAwait(false);
            held += await account.WaitForReadAsync(left < Slice ? left : Slice, cancellationToken).ConfigureAwait(false);
        }
        return (null, held, null);
    }

    // Other receives of the quota may wait for the end of the read. A leader that does not answer in time does not block them: its
    // delivery is charged when it arrives.
    private async Task<QueueDelivery?> ReadAsync(QuotaAccount read, TopicPartition partition, Guid consumer, int maxRecords, bool waits,
        CancellationToken cancellationToken)
    {
        var receiving = ReceiveReadyAsync(partition, consumer, maxRecords, waits, cancellationToken);
        // The outcome is observed below, also a failure.
        await ((Task)receiving).WaitAsync(Slice, read.Clock, CancellationToken.None)
            .ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        if (!receiving.IsCompleted)
        {
            read.EndRead(0);
            var late = await receiving.ConfigureAwait(false);
            if (late is not null)
                Count(partition, late.Records);
            return late;
        }
        QueueDelivery? ready = null;
        try
        {
            ready = await receiving.ConfigureAwait(false);
        }
        finally
        {
            read.EndRead(BytesOf(ready?.Records ?? []));
        }
        if (ready is not null)
            session.GrantOf(partition.Topic).Counts.Count(ready.Records);
        return ready;
    }

    // Returns the records that are there now, without a wait for more.
    private async Task<QueueDelivery?> ReceiveReadyAsync(TopicPartition partition, Guid consumer, int maxRecords, bool waits,
        CancellationToken cancellationToken)
    {
        try
        {
            return await queues.ReceiveAsync(partition, consumer, maxRecords, TimeSpan.Zero, cancellationToken).ConfigureAwait(false);
        }
        catch (BrokerException blind) when (blind.Code == ErrorCode.LeaderNotAvailable && waits)
        {
            // The wait for records lasts until the leader can tell.
            return null;
        }
    }

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
            pace.Charge(QuotaKey.ConsumerByteRate, BytesOf(records));
    }

    private static long BytesOf(IReadOnlyList<QueueRecord> records) => records.Sum(static record => RecordBytes.Of(record));

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
