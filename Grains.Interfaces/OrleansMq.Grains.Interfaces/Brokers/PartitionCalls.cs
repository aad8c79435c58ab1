using OrleansMq.Api;

namespace OrleansMq.Grains.Brokers;

/// <summary>The calls to one partition's grain.</summary>
internal abstract class PartitionCalls
{
    /// <summary>See <see cref="IPartitionAppendGrain.AppendAsync"/>.</summary>
    public abstract Task<ProduceResult> AppendAsync(BatchInCall batch, Acks acks);

    /// <summary>See <see cref="IPartitionAppendGrain.AppendManyAsync"/>.</summary>
    public abstract Task<ProduceResult[]> AppendManyAsync(BatchInCall[] batches, Acks acks);

    /// <summary>See <see cref="IPartitionAppendGrain.AppendInTransactionAsync"/>.</summary>
    public abstract Task<ProduceResult> AppendInTransactionAsync(BatchInCall batch, BatchTransaction transaction);

    /// <summary>See <see cref="IPartitionGrain.ReadAsync"/>.</summary>
    public abstract Task<FetchResult> ReadAsync(PartitionRead read, CancellationToken cancellationToken);

    /// <summary>See <see cref="IPartitionGrain.FindOffsetAsync"/>.</summary>
    public abstract Task<OffsetResult> FindOffsetAsync(OffsetSpec spec, CancellationToken cancellationToken);

    /// <summary>See <see cref="IPartitionGrain.DeleteRecordsAsync"/>.</summary>
    public abstract Task<long> DeleteRecordsAsync(long beforeOffset, CancellationToken cancellationToken);

    /// <summary>The calls to its queues. Looked for at the first use: brokers of an earlier version have none.</summary>
    public abstract QueueCalls Queues { get; }

    /// <summary>Its schedules, if it has some, for brokers alone. Looked for at the first use, as its queues are.</summary>
    public abstract IScheduleForwardGrain Schedules { get; }

    /// <summary>The calls of a client, which the leader authorizes and counts.</summary>
    public static PartitionCalls OfClient(IGrainFactory grains, string key) =>
        new ClientCalls(grains.GetBrokerGrain<IPartitionGrain>(key), grains.GetBrokerGrain<IPartitionAppendGrain>(key),
            () => grains.GetBrokerGrain<IQueueGrain>(key));

    /// <summary>The calls of a broker, which has authorized the requests and counts them.</summary>
    public static PartitionCalls OfBroker(IGrainFactory grains, string key) =>
        new ForwardedCalls(grains.GetBrokerGrain<IPartitionForwardGrain>(key),
            () => grains.GetBrokerGrain<IQueueForwardGrain>(key),
            () => grains.GetBrokerGrain<IScheduleForwardGrain>(key));
}

/// <summary>The calls of a client.</summary>
internal sealed class ClientCalls(IPartitionGrain grain, IPartitionAppendGrain appends, Func<IQueueGrain> queues) : PartitionCalls
{
    public override QueueCalls Queues => field ??= new ClientQueueCalls(queues());

    public override IScheduleForwardGrain Schedules =>
        throw new BrokerException(ErrorCode.UnsupportedVersion, "A client reaches schedules through any silo.");

    public override Task<ProduceResult> AppendAsync(BatchInCall batch, Acks acks) => appends.AppendAsync(batch, acks);

    public override Task<ProduceResult[]> AppendManyAsync(BatchInCall[] batches, Acks acks) => appends.AppendManyAsync(batches, acks);

    public override Task<ProduceResult> AppendInTransactionAsync(BatchInCall batch, BatchTransaction transaction) =>
        appends.AppendInTransactionAsync(batch, transaction.TransactionalId, transaction.Number);

    public override Task<FetchResult> ReadAsync(PartitionRead read, CancellationToken cancellationToken) =>
        grain.ReadAsync(read, cancellationToken);

    public override Task<OffsetResult> FindOffsetAsync(OffsetSpec spec, CancellationToken cancellationToken) =>
        grain.FindOffsetAsync(spec, cancellationToken);

    public override Task<long> DeleteRecordsAsync(long beforeOffset, CancellationToken cancellationToken) =>
        grain.DeleteRecordsAsync(beforeOffset, cancellationToken);
}

/// <summary>The calls of a broker.</summary>
internal sealed class ForwardedCalls(IPartitionForwardGrain grain, Func<IQueueForwardGrain> queues, Func<IScheduleForwardGrain> schedules)
    : PartitionCalls
{
    public override IScheduleForwardGrain Schedules => field ??= schedules();

    public override QueueCalls Queues => field ??= new ForwardedQueueCalls(queues());

    public override Task<ProduceResult> AppendAsync(BatchInCall batch, Acks acks) => grain.AppendAsync(batch, acks);

    public override Task<ProduceResult[]> AppendManyAsync(BatchInCall[] batches, Acks acks) => grain.AppendManyAsync(batches, acks);

    public override Task<ProduceResult> AppendInTransactionAsync(BatchInCall batch, BatchTransaction transaction) =>
        grain.AppendInTransactionAsync(batch, transaction.Number);

    public override Task<FetchResult> ReadAsync(PartitionRead read, CancellationToken cancellationToken) =>
        grain.ReadAsync(read, cancellationToken);

    public override Task<OffsetResult> FindOffsetAsync(OffsetSpec spec, CancellationToken cancellationToken) => grain.FindOffsetAsync(spec);

    public override Task<long> DeleteRecordsAsync(long beforeOffset, CancellationToken cancellationToken) =>
        grain.DeleteRecordsAsync(beforeOffset);
}
