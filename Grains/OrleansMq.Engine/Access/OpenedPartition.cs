using OrleansMq.Api;
using OrleansMq.Diagnostics;
using OrleansMq.Groups.Share;
using OrleansMq.Log;
using OrleansMq.Partitions;
using OrleansMq.Producers;
using OrleansMq.Records;
using OrleansMq.Shares;

namespace OrleansMq.Access;

/// <summary>
/// A partition that a session has opened for one operation. Its authorization was checked; appends and deliveries through it are counted.
/// The default value is closed. It holds for one request.
/// </summary>
internal readonly struct OpenedPartition
{
    private readonly Partition? _partition;
    // Null where the requests are counted elsewhere.
    private readonly TopicGrant? _grant;
    private readonly AccessOperation _operation;

    internal OpenedPartition(Partition partition, TopicGrant? grant, AccessOperation operation)
    {
        _partition = partition;
        _grant = grant;
        _operation = operation;
    }

    /// <summary>A partition for a request that another broker has authorized and counts.</summary>
    internal static OpenedPartition Forwarded(Partition partition, AccessOperation operation) => new(partition, null, operation);

    /// <summary>Whether it was opened.</summary>
    public bool IsOpen => _partition is not null;

    /// <summary>Topic and number.</summary>
    public TopicPartition TopicPartition => _partition!.TopicPartition;

    /// <summary>See <see cref="Partition.LeaderEpoch"/>.</summary>
    public int LeaderEpoch => _partition!.LeaderEpoch;

    /// <summary>See <see cref="Partition.HighWatermark"/>.</summary>
    public long HighWatermark => _partition!.HighWatermark;

    /// <summary>See <see cref="Partition.LastStableOffset"/>.</summary>
    public long LastStableOffset => _partition!.LastStableOffset;

    /// <summary>See <see cref="Partition.LogStartOffset"/>.</summary>
    public long LogStartOffset => _partition!.LogStartOffset;

    /// <summary>Appends one batch, which the caller's thread may write. The append is counted when it is awaited.</summary>
    /// <param name="batch">The batch. Its memory is the broker's until the append is complete.</param>
    /// <param name="acks">When it counts as appended.</param>
    /// <param name="burst">Where it is not null, the append is written when the burst is run.</param>
    /// <param name="allowance">Where it is not null, it bounds what the batches of its request decompress to.</param>
    /// <param name="verified">What the coordinator said of the batch's transaction.</param>
    public CountedAppend AppendAsync(Memory<byte> batch, Acks acks, AppendBurst? burst = null, DecompressionAllowance? allowance = null,
        in VerifiedTransaction verified = default)
    {
        Demand(AccessOperation.Write);
        if (_grant is not null && BatchProducers.Refuses(_grant.Session, _grant.Quotas, batch.Span, out var refusal))
            return Refuse(refusal);
        // Read before the memory is the engine's.
        var records = RecordCounts.OfBatch(batch.Span);
        var append = _partition!.AppendAsync(batch, acks, mayWrite: true, burst: burst, allowance: allowance, verified: verified);
        return new CountedAppend(append, _grant, records, batch.Length);
    }

    /// <summary>See <see cref="Partition.IsInTransaction"/>.</summary>
    public bool IsInTransaction(long producerId, short epoch) => _partition!.IsInTransaction(producerId, epoch);

    /// <summary>The partition as one of a transaction.</summary>
    public TransactionPartition InTransaction =>
        new(_partition!.TopicPartition.Topic, _partition.TopicPartition.Partition, _partition.TopicId);

    /// <summary>Ends whatever transaction a producer has open here, without its coordinator: an operator's way. See
    /// <see cref="AppendLoop.AppendMarkerAsync"/>.</summary>
    /// <param name="producerId">The producer; refused for those of brokers and outboxes, which have no transactions.</param>
    /// <param name="producerEpoch">The epoch that the marker carries: 0 or above.</param>
    /// <param name="marker">The marker.</param>
    /// <param name="raisesEpoch">Whether that epoch is above that of the transaction's batches (KIP-890).</param>
    public ValueTask<ProduceResult> AppendMarkerAsync(long producerId, short producerEpoch, in TransactionMarker marker, bool raisesEpoch)
    {
        Demand(AccessOperation.Alter);
        return producerId is < 0 or >= LetterProducers.FirstId || producerEpoch < 0
            ? new(ProduceResult.Failed(ErrorCode.InvalidRequest, $"Producer {producerId} with epoch {producerEpoch} has no transactions: "
                + $"ids are 0 to {LetterProducers.FirstId - 1}, epochs 0 to {short.MaxValue}."))
            : _partition!.Appends.AppendMarkerAsync(producerId, producerEpoch, marker, raisesEpoch);
    }

    /// <summary>See <see cref="Partition.DescribeProducers"/>.</summary>
    public IReadOnlyList<ActiveProducer> DescribeProducers()
    {
        Demand(AccessOperation.Read);
        return _partition!.DescribeProducers();
    }

    /// <summary>An append that the gateway refuses before it reaches the log. It is counted as a refusal.</summary>
    public CountedAppend Refuse(in ProduceResult refusal) => new(new(refusal), _grant, 0, 0);

    /// <summary>Reads batches. See <see cref="IBroker.FetchAsync"/>. They are counted by <see cref="Delivered"/>, since a long poll reads
    /// more often than it answers.</summary>
    public ValueTask<FetchResult> ReadAsync(in FetchRequest request, CancellationToken cancellationToken = default)
    {
        Demand(AccessOperation.Read);
        return _partition!.ReadAsync(request, cancellationToken);
    }

    /// <summary>Opens a reader for a member of a share group.</summary>
    /// <param name="groupId">The group.</param>
    /// <param name="cursors">What the group's coordinator says of the topic.</param>
    /// <param name="config">The group's configuration.</param>
    /// <exception cref="BrokerException"><see cref="ErrorCode.NotLeaderOrFollower"/>; <see cref="ErrorCode.LeaderNotAvailable"/>: retry.
    /// </exception>
    public Task<ShareReader> OpenShareAsync(string groupId, ShareTopicCursors cursors, ShareGroupConfig config)
    {
        ArgumentNullException.ThrowIfNull(cursors);
        ArgumentNullException.ThrowIfNull(config);
        Demand(AccessOperation.Read);
        return ShareReader.OpenAsync(_partition!, groupId, cursors, config);
    }

    /// <summary>Counts what answers a request.</summary>
    public void Delivered(FetchResult fetched)
    {
        ArgumentNullException.ThrowIfNull(fetched);
        if (TopicCounts.IsCounted(fetched))
            _grant?.Counts.Count(fetched);
    }

    /// <summary>Finds an offset.</summary>
    public OffsetResult FindOffset(OffsetSpec spec) => _partition!.FindOffset(spec);

    /// <summary>See <see cref="Partition.EndOffsetOf"/>.</summary>
    public LeaderEpochEntry EndOffsetOf(int epoch) => _partition!.EndOffsetOf(epoch);

    /// <summary>See <see cref="Partition.CheckEpoch"/>.</summary>
    public ErrorCode CheckEpoch(int readerEpoch) => _partition!.CheckEpoch(readerEpoch);

    /// <summary>See <see cref="Partition.CanRead"/>.</summary>
    public ErrorCode CanRead(out string message) => _partition!.CanRead(out message);

    /// <summary>Moves the log start offset. See <see cref="IBroker.DeleteRecordsAsync"/>.</summary>
    public ValueTask<long> DeleteRecordsAsync(long beforeOffset, CancellationToken cancellationToken = default)
    {
        Demand(AccessOperation.Delete);
        return _partition!.DeleteRecordsAsync(beforeOffset, cancellationToken);
    }

    /// <summary>Adds the partition to a wait for records.</summary>
    public void AddTo(FetchWait wait)
    {
        ArgumentNullException.ThrowIfNull(wait);
        wait.Add(_partition!);
    }

    private void Demand(AccessOperation operation) =>
        Invariant.Check(_operation == operation, "A partition is used for the operation that it was opened for");
}
