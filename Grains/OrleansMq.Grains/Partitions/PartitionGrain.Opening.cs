using OrleansMq.Access;
using OrleansMq.Api;
using OrleansMq.Producers;

namespace OrleansMq.Grains.Partitions;

// The two ways to the partition: a client's, authorized and counted here, and a broker's, authorized and counted there.
internal sealed partial class PartitionGrain
{
    /// <inheritdoc/>
    Task<ProduceResult> IPartitionForwardGrain.AppendAsync(BatchInCall batch, Acks acks) =>
        AppendAsync(OpenForBroker(AccessOperation.Write), batch, acks, burst: null);

    /// <inheritdoc/>
    Task<ProduceResult[]> IPartitionForwardGrain.AppendManyAsync(BatchInCall[] batches, Acks acks) =>
        AppendManyAsync(OpenForBroker(AccessOperation.Write), batches, acks);

    /// <inheritdoc/>
    Task<ProduceResult> IPartitionForwardGrain.AppendInTransactionAsync(BatchInCall batch, long transaction) =>
        AppendAsync(OpenForBroker(AccessOperation.Write), batch, Acks.All, burst: null, new VerifiedTransaction(transaction));

    /// <inheritdoc/>
    Task<FetchResult> IPartitionForwardGrain.ReadAsync(PartitionRead read, CancellationToken cancellationToken) =>
        ReadAsync(OpenForBroker(AccessOperation.Read), read, cancellationToken);

    /// <inheritdoc/>
    Task<OffsetResult> IPartitionForwardGrain.FindOffsetAsync(OffsetSpec spec) =>
        Task.FromResult(FindOffset(OpenForBroker(AccessOperation.Describe), spec));

    /// <inheritdoc/>
    Task<long> IPartitionForwardGrain.DeleteRecordsAsync(long beforeOffset) =>
        DeleteRecordsAsync(OpenForBroker(AccessOperation.Delete), beforeOffset, CancellationToken.None);

    /// <inheritdoc/>
    Task<PartitionDescription> IPartitionForwardGrain.DescribeAsync()
    {
        door.DemandBroker<IPartitionForwardGrain>();
        return Task.FromResult(Describe());
    }

    private Opening OpenForClient(AccessOperation operation) => OpenForClient<IPartitionGrain>(operation);

    private Opening OpenForClient<T>(AccessOperation operation)
        where T : IGrain => OpenFor(door.CallerOf<T>(), operation);

    private Opening OpenFor(SessionAccess caller, AccessOperation operation)
    {
        if (_partition is not { } partition)
            return new Opening(default, WhyNot(out var message), message);
        return caller.TryOpenServed(partition, operation, out var opened, out var refusal)
            ? new Opening(opened, ErrorCode.None, null)
            : new Opening(default, refusal, caller.RefusalOf(operation, ResourceType.Topic, partition.TopicPartition.Topic));
    }

    private Opening OpenForBroker(AccessOperation operation)
    {
        door.DemandBroker<IPartitionForwardGrain>();
        return _partition is { } partition
            ? new Opening(OpenedPartition.Forwarded(partition, operation), ErrorCode.None, null)
            : new Opening(default, WhyNot(out var message), message);
    }

    /// <summary>The partition, open for one request, or why it is not.</summary>
    private readonly record struct Opening(OpenedPartition Partition, ErrorCode Error, string? Message);
}
