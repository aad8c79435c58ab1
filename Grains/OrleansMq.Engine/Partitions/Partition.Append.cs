using OrleansMq.Api;
using OrleansMq.Records;
using OrleansMq.Topics;

namespace OrleansMq.Partitions;

// From the caller's thread into the queue: everything that can be checked without knowing the log's end.
public sealed partial class Partition
{
    [ThreadStatic]
    private static AppendRound? t_callersRound;

    private readonly AppendQueue _queue = new();

    /// <summary>Appends one batch. See <see cref="IBroker.ProduceAsync"/>.</summary>
    /// <param name="batch">The batch.</param>
    /// <param name="acks">When it counts as appended.</param>
    /// <param name="cancellationToken">Gives up before it is begun.</param>
    /// <param name="mayWrite">Whether the caller's thread may write to the disk. Then it does, where nobody else is writing to the
    /// partition and nothing is to be flushed, and the append may be complete at once.</param>
    /// <param name="burst">Where it is not null, the append is written when the burst is run.</param>
    public ValueTask<ProduceResult> AppendAsync(Memory<byte> batch, Acks acks, CancellationToken cancellationToken = default,
        bool mayWrite = false,
        AppendBurst? burst = null)
    {
        if (cancellationToken.IsCancellationRequested)
            return ValueTask.FromCanceled<ProduceResult>(cancellationToken);
        if (Refusal(out var refusal) is not ErrorCode.None and var refused)
            return new(ProduceResult.Failed(refused, refusal));
        if (_replication.RefuseEarly(acks, out refusal) is not ErrorCode.None and var unled)
            return new(ProduceResult.Failed(unled, refusal));
        if (acks is < Acks.All or > Acks.Leader)
            return new(ProduceResult.Failed(ErrorCode.InvalidRequiredAcks, $"Acks is {(int)acks}; allowed are 0, 1 and -1 (all)."));
        var config = Config;
        if (AppendChecks.Check(batch, config, _ports.Log.Codecs, _ports.Log.Now, out var header) is { } unfit)
            return new(unfit);

        var operation = _ports.Operations.Rent();
        operation.Batch = batch;
        operation.Header = header;
        operation.Acks = acks;
        if (MustCopy(header, config) && TryCopy(operation, config) is { } failed)
        {
            _ports.Operations.Return(operation);
            return new(failed);
        }
        return Enqueue(operation, mayWrite && FlushDecision.MayCallerWrite(config), burst);
    }

    private ValueTask<ProduceResult> Enqueue(AppendOperation operation, bool mayWrite, AppendBurst? burst)
    {
        var task = operation.Task;
        // From here on another thread may write it.
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
                    $"{AppendQueue.MaxBytes >> 20} MiB wait to be written to {TopicPartition}: the disk is slower than its producers. "
                        + "Nothing was appended; retry."));
                break;
            default:
                var refused = Refusal(out var refusal);
                operation.Decide(ProduceResult.Failed(refused, refusal));
                break;
        }
        operation.Complete();
        return task;
    }

    /// <summary>Writes what a burst has begun, and whatever else waits.</summary>
    internal void RunClaimed(AppendBurst burst, bool mayWrite) => WriteOrSchedule(burst, mayWrite);

    // The thread that holds the turn is the sender's.
    private void WriteOrSchedule(object sender, bool mayWrite)
    {
        if (!mayWrite || !_ports.CallerWrites.TryEnter(out var began))
        {
            _ports.Threads.Schedule(this);
            return;
        }
        // What is completed on this thread might append here, too.
        var round = t_callersRound ?? new AppendRound();
        t_callersRound = null;
        RunTurn(round, sender);
        t_callersRound = round;
        _ports.CallerWrites.Leave(began);
    }

    private static bool MustCopy(in RecordBatchHeader header, TopicConfig config) =>
        config.TimestampType == TimestampType.LogAppendTime || (config.CompressionType is { } wanted && wanted != header.Compression);

    /// <summary>
    /// Copies a batch that is to be changed in more than offset and epoch: the sender may send his bytes again, and then they must be his.
    /// </summary>
    private ProduceResult? TryCopy(AppendOperation operation, TopicConfig config)
    {
        var copy = new PooledBuffer(operation.Batch.Length);
        try
        {
            RecordBatchRewriter.Recompress(operation.Batch.Span, config.CompressionType ?? operation.Header.Compression, _ports.Log.Codecs,
                copy);
        }
        catch (CodecUnavailableException fault)
        {
            copy.Dispose();
            return ProduceResult.Failed(ErrorCode.UnsupportedCompressionType, fault.Message);
        }
        catch (RecordBatchException fault)
        {
            copy.Dispose();
            return ProduceResult.Failed(fault.Error.ToErrorCode(), fault.Message);
        }
        operation.Owned = copy;
        operation.Batch = copy.WrittenMemory;
        operation.Header = RecordBatchHeader.Read(copy.WrittenSpan);
        return null;
    }
}
