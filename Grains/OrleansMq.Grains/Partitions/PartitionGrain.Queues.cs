using OrleansMq.Access;
using OrleansMq.Api;
using OrleansMq.Brokers;

namespace OrleansMq.Grains.Partitions;

// The queues of the partition, for clients, which are authorized and counted here, and for brokers, which did both.
internal sealed partial class PartitionGrain
{
    // A call to a partition times out after 10 seconds. What is left of them is for the peek.
    private static readonly TimeSpan PeekTurnWait = TimeSpan.FromSeconds(4);

    private IQueues? _queues;

    private IQueues Queues => _queues ??= new LocalQueues(_ => Existing());

    private IQueues QueuesOfBrokers
    {
        get
        {
            door.DemandBroker<IQueueForwardGrain>();
            return Queues;
        }
    }

    // Of the call that is carried out.
    private IQueues QueuesOfClients => new SessionQueues(Queues, door.CallerOf<IQueueGrain>());

    private TopicPartition Name => Existing().TopicPartition;

    /// <inheritdoc/>
    Task<QueueDescription> IQueueGrain.CreateAsync(NewQueue queue, CancellationToken cancellationToken) =>
        QueuesOfClients.CreateAsync(Name, queue, cancellationToken).AsTask();

    /// <inheritdoc/>
    Task IQueueGrain.DeleteAsync(string name, Guid? id, CancellationToken cancellationToken) =>
        QueuesOfClients.DeleteAsync(Name, name, id, cancellationToken).AsTask();

    /// <inheritdoc/>
    Task<QueueDescription> IQueueGrain.DescribeAsync(string name, CancellationToken cancellationToken) =>
        QueuesOfClients.DescribeAsync(Name, name, cancellationToken).AsTask();

    /// <inheritdoc/>
    async Task<QueueDescription[]> IQueueGrain.ListAsync(CancellationToken cancellationToken) =>
        [.. await QueuesOfClients.ListAsync(Name, cancellationToken)];

    /// <inheritdoc/>
    async Task<QueueHandler[]> IQueueGrain.ListHandlersAsync(string name, int maxRecords, CancellationToken cancellationToken) =>
        [.. await QueuesOfClients.ListHandlersAsync(Name, name, maxRecords, cancellationToken)];

    /// <inheritdoc/>
    Task<QueueDescription> IQueueGrain.ResetAsync(string name, OffsetSpec start, Guid? id, CancellationToken cancellationToken) =>
        QueuesOfClients.ResetAsync(Name, name, start, id, cancellationToken).AsTask();

    /// <inheritdoc/>
    Task<QueueDescription> IQueueGrain.AlterAsync(string name, QueueOptions options, Guid? id, CancellationToken cancellationToken) =>
        QueuesOfClients.AlterAsync(Name, name, options, id, cancellationToken).AsTask();

    /// <inheritdoc/>
    Task IQueueGrain.PurgeAsync(string name, long? below, CancellationToken cancellationToken) =>
        QueuesOfClients.PurgeAsync(Name, name, below, cancellationToken).AsTask();

    /// <inheritdoc/>
    async Task<QueueRecord[]> IQueueGrain.PeekAsync(string name, int maxRecords, CancellationToken cancellationToken)
    {
        // Asked before anything is awaited.
        var caller = door.CallerOf<IQueueGrain>();
        // The turn comes outside of the grain's scheduler.
        var served = Existing();
        var queues = new SessionQueues(new LocalQueues(_ => served), caller);
        return await caller.Peeks.TryPeekAsync(PeekTurnWait,
            async token => [.. await queues.PeekAsync(served.TopicPartition, name, maxRecords, token)], cancellationToken)
            ?? throw new BrokerException(ErrorCode.RequestTimedOut,
                "The broker peeks into queues for other clients, one at a time. Retry.");
    }

    /// <inheritdoc/>
    Task<Guid> IQueueGrain.AttachAsync(string name, QueueAttachOptions options, CancellationToken cancellationToken) =>
        QueuesOfClients.AttachAsync(Name, name, options, cancellationToken).AsTask();

    /// <inheritdoc/>
    Task<QueueDelivery?> IQueueGrain.ReceiveAsync(Guid consumer, int maxRecords, TimeSpan maxWait, CancellationToken cancellationToken) =>
        ReceiveAsync(QueuesOfClients, consumer, maxRecords, maxWait, cancellationToken);

    /// <inheritdoc/>
    async Task<ErrorCode[]> IQueueGrain.SettleAsync(Guid consumer, QueueSettlement[] settlements, CancellationToken cancellationToken) =>
        [.. await QueuesOfClients.SettleAsync(Name, consumer, settlements, cancellationToken)];

    /// <inheritdoc/>
    Task IQueueGrain.DetachAsync(Guid consumer, CancellationToken cancellationToken) =>
        QueuesOfClients.DetachAsync(Name, consumer, cancellationToken).AsTask();

    /// <inheritdoc/>
    Task<QueueDescription> IQueueForwardGrain.CreateAsync(NewQueue queue, CancellationToken cancellationToken) =>
        QueuesOfBrokers.CreateAsync(Name, queue, cancellationToken).AsTask();

    /// <inheritdoc/>
    Task IQueueForwardGrain.DeleteAsync(string name, Guid? id, CancellationToken cancellationToken) =>
        QueuesOfBrokers.DeleteAsync(Name, name, id, cancellationToken).AsTask();

    /// <inheritdoc/>
    Task<QueueDescription> IQueueForwardGrain.DescribeAsync(string name, CancellationToken cancellationToken) =>
        QueuesOfBrokers.DescribeAsync(Name, name, cancellationToken).AsTask();

    /// <inheritdoc/>
    async Task<QueueDescription[]> IQueueForwardGrain.ListAsync(CancellationToken cancellationToken) =>
        [.. await QueuesOfBrokers.ListAsync(Name, cancellationToken)];

    /// <inheritdoc/>
    Task<QueueDescription?> IQueueForwardGrain.DescribeShareAsync(string groupId, CancellationToken cancellationToken) =>
        QueuesOfBrokers.DescribeShareAsync(Name, groupId, cancellationToken).AsTask();

    /// <inheritdoc/>
    async Task<QueueHandler[]> IQueueForwardGrain.ListHandlersAsync(string name, int maxRecords, CancellationToken cancellationToken) =>
        [.. await QueuesOfBrokers.ListHandlersAsync(Name, name, maxRecords, cancellationToken)];

    /// <inheritdoc/>
    Task<QueueDescription> IQueueForwardGrain.ResetAsync(string name, OffsetSpec start, Guid? id, CancellationToken cancellationToken) =>
        QueuesOfBrokers.ResetAsync(Name, name, start, id, cancellationToken).AsTask();

    /// <inheritdoc/>
    Task<QueueDescription> IQueueForwardGrain.AlterAsync(string name, QueueOptions options, Guid? id,
        CancellationToken cancellationToken) =>
        QueuesOfBrokers.AlterAsync(Name, name, options, id, cancellationToken).AsTask();

    /// <inheritdoc/>
    Task IQueueForwardGrain.PurgeAsync(string name, long? below, CancellationToken cancellationToken) =>
        QueuesOfBrokers.PurgeAsync(Name, name, below, cancellationToken).AsTask();

    /// <inheritdoc/>
    async Task<QueueRecord[]> IQueueForwardGrain.PeekAsync(string name, int maxRecords, CancellationToken cancellationToken) =>
        [.. await QueuesOfBrokers.PeekAsync(Name, name, maxRecords, cancellationToken)];

    /// <inheritdoc/>
    Task<Guid> IQueueForwardGrain.AttachAsync(string name, QueueAttachOptions options, CancellationToken cancellationToken) =>
        QueuesOfBrokers.AttachAsync(Name, name, options, cancellationToken).AsTask();

    /// <inheritdoc/>
    Task<QueueDelivery?> IQueueForwardGrain.ReceiveAsync(Guid consumer, int maxRecords, TimeSpan maxWait,
        CancellationToken cancellationToken) =>
        ReceiveAsync(QueuesOfBrokers, consumer, maxRecords, maxWait, cancellationToken);

    /// <inheritdoc/>
    async Task<ErrorCode[]> IQueueForwardGrain.SettleAsync(Guid consumer, QueueSettlement[] settlements,
        CancellationToken cancellationToken) =>
        [.. await QueuesOfBrokers.SettleAsync(Name, consumer, settlements, cancellationToken)];

    /// <inheritdoc/>
    Task IQueueForwardGrain.DetachAsync(Guid consumer, CancellationToken cancellationToken) =>
        QueuesOfBrokers.DetachAsync(Name, consumer, cancellationToken).AsTask();

    private async Task<QueueDelivery?> ReceiveAsync(IQueues queues, Guid consumer, int maxRecords, TimeSpan maxWait,
        CancellationToken cancellationToken)
    {
        // A stopping silo waits for its grains' requests, so a long poll must end early.
        using var ending = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, broker.Stopping);
        try
        {
            return await queues.ReceiveAsync(Name, consumer, maxRecords, maxWait, ending.Token);
        }
        catch (OperationCanceledException) when (broker.Stopping.IsCancellationRequested)
        {
            throw new BrokerException(ErrorCode.NotLeaderOrFollower,
                $"The broker that leads partition '{Name}' is stopping. Attach again.");
        }
    }
}
