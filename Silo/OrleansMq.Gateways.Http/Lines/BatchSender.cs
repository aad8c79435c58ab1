using OrleansMq.Api;
using OrleansMq.Partitioning;
using OrleansMq.Records;

namespace OrleansMq.Gateways.Http.Lines;

/// <summary>
/// Builds the batches of a produce stream and sends them, one at a time for each partition. Only the stream's loop uses it; completions on
/// other threads merely store the result and wake the loop.
/// </summary>
internal sealed class BatchSender : IDisposable
{
    /// <summary>The size at which a batch is closed. Larger ones gain nothing on disk or in compression.</summary>
    private const int TargetBatchBytes = 1 << 20;

    /// <summary>The most bytes being built, over all partitions. Beyond it all batches are sent, so that many partitions do not take much
    /// memory.</summary>
    private const long MaxOpenBytes = 8 << 20;

    /// <summary>The most bytes sent but not answered; beyond it the input waits.</summary>
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
        // Leave room for what a codec adds to incompressible bytes.
        _batchBytes = Math.Min(TargetBatchBytes, shape.MaxMessageBytes - Math.Min(shape.MaxMessageBytes / 16, 4096));
        _sticky = NextSticky();
    }

    /// <summary>The topic's number of partitions.</summary>
    public int PartitionCount { get; }

    /// <summary>Whether a sent batch is not answered yet.</summary>
    public bool IsBusy => _lanes.Values.Any(lane => lane.IsBusy);

    /// <summary>Returns the most bytes that the record adds to a batch.</summary>
    public int SizeOf(RecordLineParser record) => RecordBatchBuilder.MaxRecordSize(record.Key.Length, record.Value.Length, record.Headers);

    /// <summary>Returns the lane of the requested partition; else by key, as Kafka's producers do; else one that stays the same until its
    /// batch is sent.</summary>
    public PartitionLane LaneFor(RecordLineParser record)
    {
        var partition = record.Partition ?? (record.HasKey ? Murmur2Partitioner.ForKey(record.Key, PartitionCount) : _sticky);
        if (!_lanes.TryGetValue(partition, out var lane))
            _lanes.Add(partition, lane = new PartitionLane(partition));
        return lane;
    }

    /// <summary>Makes room for <paramref name="size"/> bytes in the lane's open batch. False if a batch must complete first.</summary>
    public bool TryMakeRoom(PartitionLane lane, int size)
    {
        if (_openBytes > MaxOpenBytes && !TrySendAll())
            return false;
        return lane.Open is not { } open || open.Builder.EstimatedSize + size <= _batchBytes || TrySend(lane);
    }

    /// <summary>Adds the record to the lane's open batch and returns the batch.</summary>
    public LineBatch Add(PartitionLane lane, RecordLineParser record, long timestamp)
    {
        var batch = lane.Open ??= new LineBatch(lane.Partition, NewBuilder());
        var before = batch.Builder.EstimatedSize;
        batch.Builder.Add(timestamp, record.Key, record.HasKey, record.Value, record.HasValue, record.Headers);
        batch.IsPersistent |= record.IsPersistent;
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

    /// <summary>Sends every open batch. False if a partition is still busy with the previous one.</summary>
    public bool TrySendAll()
    {
        SendIdle();
        return _openBytes == 0;
    }

    /// <summary>Waits until the broker has answered all sent batches; each batch has its own result.</summary>
    public Task SettleAsync() => Task.WhenAll(_sending);

    /// <summary>Releases the memory. Call it only after <see cref="SettleAsync"/>.</summary>
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

    private async Task SendAsync(LineBatch batch)
    {
        try
        {
            // Not cancellable: the broker owns the memory until it answers, and lines that were read are appended.
            batch.Complete(await _broker.ProduceAsync(new TopicPartition(_topic, batch.Partition), batch.Builder.Build(),
                AcksLevels.Of(_options.Acks, batch.IsPersistent), CancellationToken.None));
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
            // Our own fault fails only this batch: rethrown, it would cut the answers of appended batches.
            _logger.BatchFailed(e, _topic, batch.Partition);
            batch.Complete(ProduceResult.Failed(ErrorCode.UnknownServerError,
                $"The broker failed unexpectedly ({e.GetType().Name}); its log has the details."));
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

    /// <summary>Returns the next partition for records without key, so that requests, and batches of a request, take turns.</summary>
    private int NextSticky() => (int)((uint)Interlocked.Increment(ref _nextSticky) % (uint)PartitionCount);
}
