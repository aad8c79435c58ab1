using OrleansMq.Api;
using OrleansMq.Partitioning;
using OrleansMq.Records;

namespace OrleansMq.Silo.Http.Lines;

/// <summary>
/// Builds the batches of a produce stream and sends them, one at a time to each partition. Used by the stream's loop alone; only
/// completions come from other threads, and they do nothing but note the result and wake the loop.
/// </summary>
internal sealed class BatchSender : IDisposable
{
    /// <summary>A batch is closed at this size: larger ones gain nothing, neither on disk nor in compression.</summary>
    private const int TargetBatchBytes = 1 << 20;

    /// <summary>Bytes being built, over all partitions; beyond, all are sent, so that many partitions do not mean much memory.</summary>
    private const long MaxOpenBytes = 8 << 20;

    /// <summary>Bytes sent and not answered; beyond, the input waits.</summary>
    private const long MaxSentBytes = 8 << 20;

    private static int _nextSticky;

    private readonly IBroker _broker;
    private readonly string _topic;
    private readonly ProduceOptions _options;
    private readonly CompressionCodecs _codecs;
    private readonly WakeUp _wakeUp;
    private readonly ILogger _logger;
    private readonly int _batchBytes;
    private readonly Dictionary<int, PartitionLane> _lanes = [];
    private readonly List<Task> _sending = [];
    private readonly Stack<RecordBatchBuilder> _free = new();
    private long _openBytes;
    private long _sentBytes;
    private int _sticky;

    public BatchSender(IBroker broker, string topic, TopicShape shape, ProduceOptions options, ApiServices api, WakeUp wakeUp)
    {
        _broker = broker;
        _topic = topic;
        _options = options;
        _codecs = api.Codecs;
        _logger = api.Logger;
        _wakeUp = wakeUp;
        PartitionCount = shape.Partitions;
        // Room for what a codec adds to bytes that cannot be made smaller.
        _batchBytes = Math.Min(TargetBatchBytes, shape.MaxMessageBytes - Math.Min(shape.MaxMessageBytes / 16, 4096));
        _sticky = NextSticky();
    }

    /// <summary>How many partitions the topic has.</summary>
    public int PartitionCount { get; }

    /// <summary>Whether a batch that was sent is not answered yet.</summary>
    public bool IsBusy => _lanes.Values.Any(lane => lane.IsBusy);

    /// <summary>How much the record adds to a batch at most.</summary>
    public int SizeOf(RecordLineParser record) => RecordBatchBuilder.MaxRecordSize(record.Key.Length, record.Value.Length, record.Headers);

    /// <summary>The partition asked for; by key as Kafka's producers do; without either, one for as long as its batch is open.</summary>
    public PartitionLane LaneFor(RecordLineParser record)
    {
        var partition = record.Partition ?? (record.HasKey ? Murmur2Partitioner.ForKey(record.Key, PartitionCount) : _sticky);
        if (!_lanes.TryGetValue(partition, out var lane))
            _lanes.Add(partition, lane = new PartitionLane(partition));
        return lane;
    }

    /// <summary>Makes room for <paramref name="size"/> bytes in the lane's open batch; false where something must complete first.</summary>
    public bool TryMakeRoom(PartitionLane lane, int size)
    {
        if (_openBytes > MaxOpenBytes && !TrySendAll())
            return false;
        return lane.Open is not { } open || open.Builder.EstimatedSize + size <= _batchBytes || TrySend(lane);
    }

    /// <summary>Adds the record to the lane's open batch, and returns that.</summary>
    public ProduceBatch Add(PartitionLane lane, RecordLineParser record, long timestamp)
    {
        var batch = lane.Open ??= new ProduceBatch(lane.Partition, NewBuilder());
        var before = batch.Builder.EstimatedSize;
        batch.Builder.Add(timestamp, record.Key, record.HasKey, record.Value, record.HasValue, record.Headers);
        _openBytes += batch.Builder.EstimatedSize - before;
        return batch;
    }

    /// <summary>Sends every open batch whose partition is not busy.</summary>
    public void SendIdle()
    {
        if (_openBytes == 0)
            return;
        foreach (var lane in _lanes.Values)
            TrySend(lane);
    }

    /// <summary>Sends every open batch; false where some partition is still busy with the one before.</summary>
    public bool TrySendAll()
    {
        SendIdle();
        return _openBytes == 0;
    }

    /// <summary>Waits until the broker has answered all that was sent; what became of it is each batch's result.</summary>
    public Task SettleAsync() => Task.WhenAll(_sending);

    /// <summary>Gives the memory back; only when all is settled.</summary>
    public void Dispose()
    {
        foreach (var lane in _lanes.Values)
        {
            lane.Open?.Builder.Dispose();
            lane.Sent?.Builder.Dispose();
        }
        foreach (var builder in _free)
            builder.Dispose();
    }

    private bool TrySend(PartitionLane lane)
    {
        if (lane.Open is not { } batch)
            return true;
        if (lane.IsBusy || Interlocked.Read(ref _sentBytes) > MaxSentBytes)
            return false;
        Recycle(lane);
        batch.SizeInBytes = batch.Builder.EstimatedSize;
        _openBytes -= batch.SizeInBytes;
        Interlocked.Add(ref _sentBytes, batch.SizeInBytes);
        (lane.Sent, lane.Open) = (batch, null);
        if (lane.Partition == _sticky)
            _sticky = NextSticky();
        _sending.RemoveAll(static task => task.IsCompletedSuccessfully);
        _sending.Add(SendAsync(batch));
        return true;
    }

    private async Task SendAsync(ProduceBatch batch)
    {
        try
        {
            // No cancellation: the memory is the broker's until it answers, and what was read is appended.
            batch.Complete(await _broker.ProduceAsync(new TopicPartition(_topic, batch.Partition), batch.Builder.Build(), _options.Acks,
                CancellationToken.None));
        }
        catch (CodecUnavailableException e)
        {
            batch.Complete(ProduceResult.Failed(ErrorCode.UnsupportedCompressionType, e.Message));
        }
        catch (BrokerException e)
        {
            batch.Complete(ProduceResult.Failed(e.Code, e.Message));
        }
        catch (Exception e)
        {
            // A fault of ours is this batch's alone: thrown on, it would cut the answers of those that were appended.
            _logger.BatchFailed(e, _topic, batch.Partition);
            batch.Complete(ProduceResult.Failed(ErrorCode.UnknownServerError,
                $"The broker failed in a way it has no name for ({e.GetType().Name}); its log has the details."));
        }
        finally
        {
            Interlocked.Add(ref _sentBytes, -batch.SizeInBytes);
            _wakeUp.Signal();
        }
    }

    private void Recycle(PartitionLane lane)
    {
        if (lane.Sent is not { } done)
            return;
        done.Builder.Reset();
        _free.Push(done.Builder);
        lane.Sent = null;
    }

    private RecordBatchBuilder NewBuilder()
    {
        if (!_free.TryPop(out var builder))
            builder = new RecordBatchBuilder(_options.Compression, _codecs);
        _openBytes += builder.EstimatedSize;
        return builder;
    }

    /// <summary>Requests in turn begin with another partition, and so do batches of one request.</summary>
    private int NextSticky() => (int)((uint)Interlocked.Increment(ref _nextSticky) % (uint)PartitionCount);
}
