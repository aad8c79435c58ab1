using System.Collections.Concurrent;
using System.Globalization;
using OrleansMq.Api;
using OrleansMq.Client;
using OrleansMq.Tests.Chaos.Verification;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Chaos.Queues;

/// <summary>A broker between a consumer and the cluster that reports deliveries and settlements as the consumer sees them.</summary>
/// <param name="inner">The cluster.</param>
/// <param name="report">Receives each event: a delivery before the consumer has it, a settlement before the consumer has its
/// answer.</param>
internal sealed class ObservedBroker(IBroker inner, Action<QueueEvent> report) : ForwardingBroker(inner)
{
    public override IQueues Queues { get; } = new ObservedQueues(inner.Queues, report);
}

/// <inheritdoc cref="ObservedBroker"/>
internal sealed class ObservedQueues(IQueues inner, Action<QueueEvent> report) : IQueues
{
    private readonly ConcurrentDictionary<Guid, string> _queues = new();

    public async ValueTask<Guid> AttachAsync(TopicPartition partition, string name, QueueAttachOptions options,
        CancellationToken cancellationToken = default)
    {
        var consumer = await inner.AttachAsync(partition, name, options, cancellationToken);
        _queues[consumer] = name;
        return consumer;
    }

    public async ValueTask<QueueDelivery?> ReceiveAsync(TopicPartition partition, Guid consumer, int maxRecords, TimeSpan maxWait,
        CancellationToken cancellationToken = default)
    {
        var delivery = await inner.ReceiveAsync(partition, consumer, maxRecords, maxWait, cancellationToken);
        foreach (var record in delivery?.Records ?? [])
        {
            RecordId? id = record.Value is { } value && RecordValue.TryRead(value.Span, out var read) ? read : null;
            report(new QueueEvent(QueueEventKind.Delivered, _queues[consumer], partition.Partition, LockPlace.Of(delivery!.Lock),
                record.Offset, record.Offset)
            {
                Id = id,
                At = DateTimeOffset.UtcNow.ToUnixTimeMilliseconds(),
                DeliverAt = DeliverAtOf(record),
            });
        }
        return delivery;
    }

    private static long DeliverAtOf(QueueRecord record) =>
        record.Headers.FirstOrDefault(static header => header.Name() == QueueHeaders.DeliverAt).TextValue() is { } text
            ? long.Parse(text, CultureInfo.InvariantCulture) : 0;

    public async ValueTask<IReadOnlyList<ErrorCode>> SettleAsync(TopicPartition partition, Guid consumer,
        IReadOnlyList<QueueSettlement> settlements, CancellationToken cancellationToken = default)
    {
        foreach (var settlement in settlements)
            Report(QueueEventKind.Tried, settlement);
        var errors = await inner.SettleAsync(partition, consumer, settlements, cancellationToken);
        for (var i = 0; i < settlements.Count; i++)
        {
            if (errors[i] == ErrorCode.None)
                Report(QueueEventKind.Settled, settlements[i]);
        }
        return errors;

        void Report(QueueEventKind kind, QueueSettlement settlement)
        {
            if (settlement.Action is QueueAction.Accept or QueueAction.Reject)
                report(new QueueEvent(kind, _queues[consumer], partition.Partition, LockPlace.Of(settlement.Lock), settlement.First,
                    settlement.Last) { Action = settlement.Action });
        }
    }

    public ValueTask DetachAsync(TopicPartition partition, Guid consumer, CancellationToken cancellationToken = default) =>
        inner.DetachAsync(partition, consumer, cancellationToken);

    public ValueTask<QueueDescription> CreateAsync(TopicPartition partition, NewQueue queue,
        CancellationToken cancellationToken = default) => inner.CreateAsync(partition, queue, cancellationToken);

    public ValueTask DeleteAsync(TopicPartition partition, string name, Guid? id = null, CancellationToken cancellationToken = default) =>
        inner.DeleteAsync(partition, name, id, cancellationToken);

    public ValueTask<QueueDescription> DescribeAsync(TopicPartition partition, string name,
        CancellationToken cancellationToken = default) => inner.DescribeAsync(partition, name, cancellationToken);

    public ValueTask<IReadOnlyList<QueueDescription>> ListAsync(TopicPartition partition, CancellationToken cancellationToken = default) =>
        inner.ListAsync(partition, cancellationToken);

    public ValueTask<QueueDescription> ResetAsync(TopicPartition partition, string name, OffsetSpec start, Guid? id = null,
        CancellationToken cancellationToken = default) => inner.ResetAsync(partition, name, start, id, cancellationToken);

    public ValueTask<QueueDescription> AlterAsync(TopicPartition partition, string name, QueueOptions options, Guid? id = null,
        CancellationToken cancellationToken = default) => inner.AlterAsync(partition, name, options, id, cancellationToken);

    public ValueTask PurgeAsync(TopicPartition partition, string name, long? below = null,
        CancellationToken cancellationToken = default) => inner.PurgeAsync(partition, name, below, cancellationToken);

    public ValueTask<IReadOnlyList<QueueRecord>> PeekAsync(TopicPartition partition, string name, int maxRecords,
        CancellationToken cancellationToken = default) => inner.PeekAsync(partition, name, maxRecords, cancellationToken);
}
