using OrleansMq.Api;
using OrleansMq.Dedupe;
using OrleansMq.Diagnostics;
using OrleansMq.Producers;
using OrleansMq.Records;

namespace OrleansMq.Partitions;

/// <summary>
/// A partition's appends: the checks on the caller's thread, the queue, and the rounds of group commit on the thread that has the turn.
/// </summary>
/// <remarks>
/// State: the queue, under a lock of its own, and the turn. A batch that finds the queue empty brings the turn to its thread, which writes
/// the round if it may, or schedules an append thread. So one thread at a time runs rounds. A round holds the log's append lock.
/// <para>Failures: a batch that the checks or the replication refuse is not appended. A write that fails and is undone fails its group
/// (<see cref="RoundWriter"/>). Any other fault in a round takes the partition offline and fails the whole round.</para>
/// </remarks>
internal sealed class AppendLoop(Partition partition) : IAppendWork
{
    [ThreadStatic]
    private static AppendRound? t_callersRound;

    private readonly AppendQueue _queue = new();
    private readonly RoundWriter _writer = new(partition);
    private volatile bool _flushesBeside;

    /// <summary>Whether rounds do not wait for their flush: since a sender appended that waits for none. Otherwise a round includes its
    /// flush, so that what arrives meanwhile shares the next one.</summary>
    public bool FlushesBeside => _flushesBeside && FlushDecision.MustFlushRound(partition.Config);

    /// <inheritdoc cref="Partition.AppendAsync"/>
    public ValueTask<ProduceResult> AppendAsync(Memory<byte> batch, Acks acks, CancellationToken cancellationToken, bool mayWrite,
        AppendBurst? burst, DecompressionAllowance? allowance, in VerifiedTransaction verified = default)
    {
        if (cancellationToken.IsCancellationRequested)
            return ValueTask.FromCanceled<ProduceResult>(cancellationToken);
        if (partition.Availability.Refuse(out var refusal) is not ErrorCode.None and var refused)
            return new(ProduceResult.Failed(refused, refusal));
        if (partition.Replication.RefuseEarly(acks, out refusal) is not ErrorCode.None and var unled)
            return new(ProduceResult.Failed(unled, refusal));
        if (!acks.IsKnown())
            return new(ProduceResult.Failed(ErrorCode.InvalidRequiredAcks, $"Acks is {(int)acks}; allowed are {AcksLevels.Allowed}."));
        if (acks == Acks.Replicated && !_flushesBeside)
            _flushesBeside = true;
        var config = partition.Config;
        var ports = partition.Ports;
        if (AppendChecks.Check(batch, config, ports.Log.Codecs, ports.VerifyCompressed, ports.Log.Now, allowance, out var header)
            is { } unfit)
            return RefuseUnlessWritten(unfit, header, acks, burst);
        var ids = default((UInt128[]? Ids, int Count, int RecordBytes));
        // The ids of records that are aborted would keep their repetitions out. A transaction repeats nothing.
        if (config.DedupeWindowMs > 0 && !header.IsTransactional
            && ReadIds(batch, header, config.DedupeMaxIds, allowance, out ids) is { } badIds)
            return RefuseUnlessWritten(badIds, header, acks, burst);

        var operation = ports.Operations.Rent();
        operation.Batch = batch;
        operation.Header = header;
        operation.Acks = acks;
        operation.Verified = verified;
        operation.Ids = ids.Ids;
        operation.ClaimBytes = ids.Ids is null ? 0 : DedupeRecord.MostBytes(ids.Count);
        if (BatchConversion.IsNeeded(header, config)
            && BatchConversion.TryConvert(operation, config, ports.Log.Codecs, allowance) is { } failed)
        {
            operation.Abandon();
            return RefuseUnlessWritten(failed, header, acks, burst);
        }
        if (ids.Ids is not null && ids.RecordBytes > FilteredBatch.MostBytesUnderLock
            && FilteredBatch.TryPrepare(operation, partition, ids.RecordBytes, allowance) is { } unfiltered)
        {
            operation.Abandon();
            return RefuseUnlessWritten(unfiltered, header, acks, burst);
        }
        return Enqueue(operation, mayWrite && FlushDecision.MayCallerWrite(config), burst);
    }

    /// <summary>Appends a control batch with <see cref="Acks.All"/>. It joins the round of other appends.</summary>
    /// <param name="batch">The batch; its memory is the broker's until the call completes.</param>
    /// <param name="control">The sender.</param>
    public ValueTask<ProduceResult> AppendControlAsync(Memory<byte> batch, IControlAppend control)
    {
        if (partition.Availability.Refuse(out var refusal) is not ErrorCode.None and var refused)
            return new(ProduceResult.Failed(refused, refusal));
        var operation = partition.Ports.Operations.Rent();
        operation.Batch = batch;
        operation.Header = RecordBatchHeader.Read(batch.Span);
        operation.Acks = Acks.All;
        operation.Control = control;
        return Enqueue(operation, FlushDecision.MayCallerWrite(partition.Config), burst: null);
    }

    /// <summary>Appends the marker that ends a producer's transaction, with <see cref="Acks.All"/>. Only for the transaction's
    /// coordinator: a producer's control batch is refused.</summary>
    /// <param name="producerId">The producer.</param>
    /// <param name="producerEpoch">The epoch that the marker carries.</param>
    /// <param name="marker">The marker.</param>
    /// <param name="raisesEpoch">Whether that epoch is above that of the transaction's batches (KIP-890).</param>
    /// <returns>Success also where this transaction has ended before: then nothing is written, and the base offset is -1.</returns>
    public ValueTask<ProduceResult> AppendMarkerAsync(long producerId, short producerEpoch, in TransactionMarker marker, bool raisesEpoch)
    {
        if (partition.Replication.Leadership is not { } leadership)
            return new(ProduceResult.Failed(ErrorCode.NotLeaderOrFollower, $"This broker does not lead {partition.TopicPartition}."));
        return AppendControlAsync(marker.ToBatch(producerId, producerEpoch, partition.Ports.Log.Now),
            new MarkerAppend(leadership.Epoch, marker, raisesEpoch));
    }

    /// <summary>Appends the marker that aborts a transaction which nothing else will end, with <see cref="Acks.All"/>. Where it has ended
    /// meanwhile, nothing is written.</summary>
    public ValueTask<ProduceResult> AbortHangingAsync(OpenTransaction transaction)
    {
        if (partition.Replication.Leadership is not { } leadership)
            return new(ProduceResult.Failed(ErrorCode.NotLeaderOrFollower, $"This broker does not lead {partition.TopicPartition}."));
        var known = default(ProducerState);
        lock (partition.Log!.AppendLock)
        {
            if (!partition.Log.State.Producers.TryGet(transaction.ProducerId, out known))
                known = new ProducerState();
        }
        var marker = new TransactionMarker(IsCommit: false, Math.Max(known.CoordinatorEpoch, 0));
        return AppendControlAsync(marker.ToBatch(transaction.ProducerId, transaction.Epoch, partition.Ports.Log.Now),
            new MarkerAppend(leadership.Epoch, marker, raisesEpoch: false) { First = transaction.First });
    }

    /// <summary>Runs the turn on an append thread.</summary>
    public void Run(AppendRound round) => RunTurn(round, sender: null);

    /// <summary>Runs the turn of a burst: its appends, and others that wait.</summary>
    public void RunClaimed(AppendBurst burst, bool mayWrite) => WriteOrSchedule(burst, mayWrite);

    /// <summary>Accepts no more appends; completes when the queue is written.</summary>
    public Task CloseAsync() => _queue.CloseAsync();

    // Dead letters and scheduled records have sequences of their own. A redriven letter has the id of its first publish.
    private ProduceResult? ReadIds(ReadOnlyMemory<byte> batch, in RecordBatchHeader header, int maxIds,
        DecompressionAllowance? allowance, out (UInt128[]? Ids, int Count, int RecordBytes) ids)
    {
        ids = default;
        if (LetterProducers.IsLetter(header.ProducerId, header.ProducerEpoch))
            return null;
        try
        {
            ids = MessageIds.Read(batch, maxIds, partition.Ports.Log.Codecs, allowance);
            return null;
        }
        catch (CodecUnavailableException fault)
        {
            return ProduceResult.Failed(ErrorCode.UnsupportedCompressionType, fault.Message);
        }
        catch (RecordBatchException fault)
        {
            return ProduceResult.Failed(fault.Error.ToErrorCode(), fault.Message);
        }
    }

    // A missing codec is the operator's fault, not the producer's.
    private ProduceResult Refused(ProduceResult refusal)
    {
        if (refusal.Error == ErrorCode.UnsupportedCompressionType)
            partition.Ports.MissingCodecs.Write(EngineLogLevel.Error, $"Partition {partition.TopicPartition} refused a batch: "
                + refusal.Message);
        return refusal;
    }

    // The topic may have taken the batch before its configuration or the time changed. A producer that has missed the answer sends it
    // again. Refused, it would append the records a second time, in batches that the topic takes.
    private ValueTask<ProduceResult> RefuseUnlessWritten(ProduceResult refusal, in RecordBatchHeader header, Acks acks,
        AppendBurst? burst)
    {
        if (header is not { HasProducer: true, RecordCount: > 0 })
            return new(Refused(refusal));
        var operation = partition.Ports.Operations.Rent();
        operation.Header = header;
        operation.Acks = acks;
        operation.Refusal = Refused(refusal);
        return Enqueue(operation, mayWrite: false, burst);
    }

    private ValueTask<ProduceResult> Enqueue(AppendOperation operation, bool mayWrite, AppendBurst? burst)
    {
        var task = operation.Task;
        // Another thread may write the operation as soon as it is queued.
        var bytes = operation.Batch.Length;
        operation.Sender = burst ?? (object)operation;
        switch (_queue.TryAdd(operation))
        {
            case QueueOutcome.AddedFirst when burst is not null:
                burst.Added(bytes);
                burst.Claim(this, mayWrite);
                return task;
            case QueueOutcome.AddedFirst:
                WriteOrSchedule(operation, mayWrite);
                return task;
            case QueueOutcome.Added:
                burst?.Added(bytes);
                return task;
            case QueueOutcome.Full:
                operation.Decide(ProduceResult.Failed(ErrorCode.KafkaStorageError,
                    $"{AppendQueue.MaxBytes >> 20} MiB wait to be written to {partition.TopicPartition}: the disk is slower than its "
                        + "producers. Nothing was appended; retry."));
                break;
            default:
                var refused = partition.Availability.Refuse(out var refusal);
                operation.Decide(ProduceResult.Failed(refused, refusal));
                break;
        }
        operation.Complete();
        return task;
    }

    // This thread has the turn; the sender's appends are completed on it.
    private void WriteOrSchedule(object sender, bool mayWrite)
    {
        var ports = partition.Ports;
        if (!mayWrite || !ports.CallerWrites.TryEnter(out var began))
        {
            ports.Threads.Schedule(this);
            return;
        }
        // Taken out meanwhile: an append that is completed on this thread may begin another one here.
        var round = t_callersRound ?? new AppendRound();
        t_callersRound = null;
        RunTurn(round, sender);
        t_callersRound = round;
        ports.CallerWrites.Leave(began);
    }

    /// <summary>Runs one round, then hands the turn on if more waits.</summary>
    /// <param name="round">Memory for the round.</param>
    /// <param name="sender">The sender of this thread, whose appends are completed on it; null on an append thread.</param>
    private void RunTurn(AppendRound round, object? sender)
    {
        _queue.TakeRound(round);
        var replication = partition.Replication;
        var visible = RunRound(round, replication);
        replication.AfterRound(round);
        Complete(round.Operations, sender);
        round.Clear();
        if (visible > 0)
            partition.Waiters.Advance(visible);
        if (_queue.EndTurn())
            partition.Ports.Threads.Schedule(this);
    }

    /// <summary>Completes decided operations.</summary>
    /// <param name="operations">One work item completes several: each takes an instant, less than a work item costs.</param>
    /// <param name="sender">The sender of this thread, whose appends are completed on it; null on an append thread.</param>
    internal static void Complete(List<AppendOperation> operations, object? sender)
    {
        const int together = 16;
        AppendOperation? first = null, last = null;
        var count = 0;
        foreach (var operation in operations)
        {
            if (sender is not null && ReferenceEquals(operation.Sender, sender))
            {
                operation.CompleteNow();
                continue;
            }
            if (first is not null && (operation.Home is { } home ? home != first.Home : count == together || first.Home is not null))
            {
                first.Complete();
                (last, count) = (null, 0);
            }
            if (last is null)
                first = operation;
            else
                last.Next = operation;
            last = operation;
            count++;
        }
        first?.Complete();
    }

    /// <summary>Decides every operation of the round: the <see cref="RoundWriter"/> deduplicates, stamps, writes, and hands the written
    /// batches to the replication.</summary>
    /// <returns>The bytes that became visible to readers.</returns>
    private long RunRound(AppendRound round, IPartitionReplication replication)
    {
        var log = partition.Log!;
        try
        {
            lock (log.AppendLock)
            {
                if (RefuseAll(round))
                    return 0;
                return _writer.Run(round, replication, partition.Ports.Log.Now, RoomFor(round));
            }
        }
        catch (Exception fault)
        {
            // After a storage fault that gets here the state of the file is unknown; any other fault is a bug.
            round.Fail(partition, fault);
            return 0;
        }
    }

    private bool RefuseAll(AppendRound round)
    {
        var error = partition.Availability.RefuseQueued(out var message);
        if (error == ErrorCode.None)
            return false;
        foreach (var operation in round.Operations)
            operation.Decide(ProduceResult.Failed(error, message));
        return true;
    }

    // What settles records frees the volume that producers have filled.
    private RoundRoom RoomFor(AppendRound round)
    {
        var (produced, control) = (0L, 0L);
        foreach (var operation in round.Operations)
        {
            if (operation.Header.IsControl)
                control += operation.Bytes;
            else
                produced += operation.Bytes;
        }
        var space = partition.Ports.Space;
        return new RoundRoom(produced > 0 ? space.Check(produced, SpaceUse.Produced) : null,
            control > 0 ? space.Check(control, SpaceUse.Control) : null);
    }
}
