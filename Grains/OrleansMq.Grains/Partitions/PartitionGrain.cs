using System.Runtime.InteropServices;
using Orleans.Concurrency;
using Orleans.GrainDirectory;
using Orleans.Placement;
using OrleansMq.Access;
using OrleansMq.Api;
using OrleansMq.Brokers;
using OrleansMq.Grains.Access;
using OrleansMq.Grains.Brokers;
using OrleansMq.Grains.Hosting;
using OrleansMq.Partitions;
using OrleansMq.Producers;
using OrleansMq.Quotas;
using OrleansMq.Replication;

namespace OrleansMq.Grains.Partitions;

/// <summary>
/// One partition where it is led: a thin shell around the engine's <see cref="Partition"/>. It never idles out and never migrates.
/// Reentrant, since the engine's partition is thread safe: reads proceed while appends wait for the disk.
/// <para>In a replicated cluster an activation leads: it claims leadership when it starts, and ends with its leadership. An activation that
/// may not lead, or has no such partition (a deleted topic, an invented key), answers with the reason and deactivates.</para>
/// </summary>
[GrainType(TypeName)]
[KeepAlive, Immovable, Reentrant]
[LeaderPlacement, GrainDirectory(BrokerDirectories.Partitions)]
internal sealed partial class PartitionGrain(SiloBroker broker, ServedPartitions served, GrainDoor door, IServiceProvider services)
    : Grain, IPartitionGrain, IPartitionAppendGrain, IPartitionForwardGrain, IQueueGrain, IQueueForwardGrain, IScheduleForwardGrain,
        IPartitionOwnerGrain, IPartitionLeaderGrain
{
    /// <summary>The grain's type: the first half of its id.</summary>
    public const string TypeName = "omq.partition";

    private ReplicaKey _key = new(Guid.Empty, -1);
    // Null until the partition is found or opened, and after it is dropped.
    private Partition? _partition;

    /// <inheritdoc/>
    public override async Task OnActivateAsync(CancellationToken cancellationToken)
    {
        if (!GrainKeys.TryParsePartition(this.GetPrimaryKeyString(), out var topicId, out var number))
            return;
        _key = new ReplicaKey(topicId, number);
        if (_leadership is not null)
            await LeadAsync(cancellationToken);
        else if (broker.Find(topicId, number) is { } found)
            Serve(found);
    }

    /// <inheritdoc/>
    /// <remarks>Orleans calls this after the last request, so no grain call is left to drain. Direct calls are in the engine's append loop,
    /// which the silo closes after all grains. A leading replica keeps its leadership.</remarks>
    public override Task OnDeactivateAsync(DeactivationReason reason, CancellationToken cancellationToken)
    {
        StopServing();
        return Task.CompletedTask;
    }

    /// <inheritdoc/>
    /// <remarks>The runtime has copied the argument (or read it from the wire), so the engine may stamp it in place.</remarks>
    public async Task<ProduceResult> AppendAsync(ReadOnlyMemory<byte> batch, Acks acks, CancellationToken cancellationToken)
    {
        var caller = door.CallerOf<IPartitionGrain>();
        var opening = OpenFor(caller, AccessOperation.Write);
        var bytes = MemoryMarshal.AsMemory(batch);
        return caller.PaceOf(QuotaKey.ProducerByteRate) is { } pace
            ? await AppendAtPaceAsync(pace, opening, bytes, owner: null, acks, cancellationToken)
            : await Append(opening, bytes, acks, burst: null);
    }

    /// <inheritdoc/>
    public Task<ProduceResult> AppendAsync(BatchInCall batch, Acks acks)
    {
        var caller = door.CallerOf<IPartitionAppendGrain>();
        var opening = OpenFor(caller, AccessOperation.Write);
        return caller.PaceOf(QuotaKey.ProducerByteRate) is { } pace ? AppendAtPaceAsync(pace, opening, batch, acks)
            : AppendAsync(opening, batch, acks, burst: null);
    }

    /// <inheritdoc/>
    public Task<ProduceResult[]> AppendManyAsync(BatchInCall[] batches, Acks acks)
    {
        var caller = door.CallerOf<IPartitionAppendGrain>();
        var opening = OpenFor(caller, AccessOperation.Write);
        return caller.PaceOf(QuotaKey.ProducerByteRate) is { } pace
            ? AppendManyAtPaceAsync(pace, opening, batches, acks) : AppendManyAsync(opening, batches, acks);
    }

    // Refuses batches by their size; null: none.
    private static Task<ProduceResult[]> AppendManyAsync(Opening opening, BatchInCall[] batches, Acks acks,
        Func<int, ProduceResult?>? refuses = null)
    {
        var burst = new AppendBurst();
        var appends = new Task<ProduceResult>[batches.Length];
        for (var i = 0; i < batches.Length; i++)
        {
            if (burst.IsFull)
                burst.Run();
            appends[i] = AppendAsync(opening, batches[i], acks, burst, refuses: refuses);
        }
        // There is no await before this line.
        burst.Run();
        return Task.WhenAll(appends);
    }

    /// <inheritdoc/>
    public async Task<ProduceResult> AppendInTransactionAsync(BatchInCall batch, string transactionalId, long transaction)
    {
        var caller = door.CallerOf<IPartitionAppendGrain>();
        var opening = OpenFor(caller, AccessOperation.Write);
        var pace = caller.PaceOf(QuotaKey.ProducerByteRate);
        var began = Time.GetTimestamp();
        var bytes = batch.Own(out var owner);
        TimeSpan wait;
        ProduceResult result;
        using (owner)
        {
            if (!opening.Partition.IsOpen)
                return ProduceResult.Failed(opening.Error, opening.Message!);
            if (pace?.Refuses(QuotaKey.ProducerByteRate) is { } refusal)
                return ProduceResult.Failed(ErrorCode.ThrottlingQuotaExceeded, refusal);
            wait = pace?.Charge(QuotaKey.ProducerByteRate, bytes.Length) ?? TimeSpan.Zero;
            var (partition, producer) = (opening.Partition, TransactionDoor.ProducerOf(bytes.Span));
            result = await caller.AppendInTransactionAsync(partition.TopicPartition, _key.TopicId, producer,
                new BatchTransaction(transactionalId, transaction), async verified =>
                    await partition.AppendAsync(bytes, Acks.All, verified: verified));
        }
        if (pace is not null)
            await HoldAsync(pace, QuotaKey.ProducerByteRate, wait, began, CancellationToken.None);
        return result;
    }

    private static async Task<ProduceResult> AppendAsync(Opening opening, BatchInCall batch, Acks acks, AppendBurst? burst,
        VerifiedTransaction verified = default, Func<int, ProduceResult?>? refuses = null)
    {
        var bytes = batch.Own(out var owner);
        using (owner)
            return refuses?.Invoke(bytes.Length) ?? await Append(opening, bytes, acks, burst, verified);
    }

    private static CountedAppend Append(in Opening opening, Memory<byte> batch, Acks acks, AppendBurst? burst,
        in VerifiedTransaction verified = default) =>
        opening.Partition.IsOpen
            ? opening.Partition.AppendAsync(batch, acks, burst, verified: verified)
            : CountedAppend.Uncounted(ProduceResult.Failed(opening.Error, opening.Message!));

    /// <inheritdoc/>
    public Task<FetchResult> ReadAsync(PartitionRead read, CancellationToken cancellationToken)
    {
        var caller = door.CallerOf<IPartitionGrain>();
        var opening = OpenFor(caller, AccessOperation.Read);
        return caller.PaceOf(QuotaKey.ConsumerByteRate) is { } pace && opening.Partition.IsOpen
            ? ReadAtPaceAsync(pace, opening, read, cancellationToken) : ReadAsync(opening, read, cancellationToken);
    }

    private async Task<FetchResult> ReadAsync(Opening opening, PartitionRead read, CancellationToken cancellationToken)
    {
        if (!opening.Partition.IsOpen)
            return FetchResult.Failed(opening.Error, opening.Message!);
        var partition = opening.Partition;
        // A stopping silo waits for its grains' requests, so a long poll must end early.
        using var ending = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, broker.Stopping);
        try
        {
            var request = new FetchRequest(partition.TopicPartition, read.Offset, read.MaxBytes, read.MaxWait, read.MinBytes,
                read.Isolation);
            using var result = await partition.ReadAsync(request, ending.Token);
            partition.Delivered(result);
            // The answer is serialized after this method has returned, so it must not use pooled memory.
            return new FetchResult(result.Error, result.HighWatermark, result.LastStableOffset, result.LogStartOffset,
                result.Records.ToArray(), owner: null, result.Message)
            {
                LeaderEpoch = result.LeaderEpoch,
            };
        }
        catch (OperationCanceledException) when (broker.Stopping.IsCancellationRequested)
        {
            return FetchResult.Failed(ErrorCode.NotLeaderOrFollower,
                $"The broker that leads partition '{partition.TopicPartition}' is stopping. Retry.");
        }
    }

    /// <inheritdoc/>
    public Task<OffsetResult> FindOffsetAsync(OffsetSpec spec, CancellationToken cancellationToken) =>
        Task.FromResult(FindOffset(OpenForClient(AccessOperation.Describe), spec));

    private static OffsetResult FindOffset(in Opening opening, OffsetSpec spec) => opening.Partition.IsOpen
        ? opening.Partition.FindOffset(spec)
        : new OffsetResult(opening.Error, -1, Message: opening.Message);

    /// <inheritdoc/>
    public Task<long> DeleteRecordsAsync(long beforeOffset, CancellationToken cancellationToken) =>
        DeleteRecordsAsync(OpenForClient(AccessOperation.Delete), beforeOffset, cancellationToken);

    private static async Task<long> DeleteRecordsAsync(Opening opening, long beforeOffset, CancellationToken cancellationToken) =>
        opening.Partition.IsOpen
        ? await opening.Partition.DeleteRecordsAsync(beforeOffset, cancellationToken)
        : throw new BrokerException(opening.Error, opening.Message!);

    /// <inheritdoc/>
    public Task<PartitionDescription> DescribeAsync(CancellationToken cancellationToken) =>
        OpenForClient(AccessOperation.Describe) is { Partition.IsOpen: false } refused
        ? throw new BrokerException(refused.Error, refused.Message!)
        : Task.FromResult(Describe());

    private PartitionDescription Describe() => _replica is not null
        ? DescribeReplica(Existing())
        : PartitionDescriptions.Describe(Existing(), broker.Options.BrokerId);

    /// <inheritdoc/>
    public async Task OpenAsync(PartitionSpec spec)
    {
        door.DemandBroker<IPartitionOwnerGrain>();
        if (_partition is null)
            Serve(await broker.OpenAsync(new TopicPartition(spec.Topic, _key.Partition), _key.TopicId, spec.Configs));
    }

    /// <inheritdoc/>
    public Task ConfigureAsync(Dictionary<string, string> configs)
    {
        door.DemandBroker<IPartitionOwnerGrain>();
        _partition?.UpdateConfig(broker.Parse(configs));
        return Task.CompletedTask;
    }

    /// <inheritdoc/>
    public async Task DropAsync(string topic)
    {
        door.DemandBroker<IPartitionOwnerGrain>();
        StopServing();
        await broker.DropAsync(new TopicPartition(topic, _key.Partition), _key.TopicId);
        DeactivateOnIdle();
    }

    private void Serve(Partition partition)
    {
        _partition = partition;
        served.Add(partition);
    }

    private void StopServing()
    {
        // A replica is served as long as it leads, independent of the activation.
        if (_leadership is null && _partition is { } partition)
            served.Remove(partition);
        _partition = null;
    }

    private Partition Existing() => _partition ?? throw new BrokerException(WhyNot(out var message), message);

    /// <summary>Returns why the partition is not here. The activation ends, so that invented keys leave nothing behind.</summary>
    private ErrorCode WhyNot(out string message)
    {
        if (_refusal is { Error: not ErrorCode.None } refusal)
        {
            message = refusal.Message!;
            return refusal.Error;
        }
        DeactivateOnIdle();
        if (broker.WhyMissing(_key.TopicId, _key.Partition) is { } missing)
        {
            message = missing;
            return ErrorCode.KafkaStorageError;
        }
        message = $"No topic with id {_key.TopicId} has a partition {_key.Partition}: it was deleted. Look the topic up again.";
        return ErrorCode.UnknownTopicId;
    }
}
