using OrleansMq.Api;
using OrleansMq.Timing;

namespace OrleansMq.Client;

/// <summary>
/// One partition: the open batch that collects records, and the loop that hands batches to the broker.
/// <para>At most one thread at a time runs the loop (<see cref="Pump"/>): the one that changes something while no other runs it. It sends
/// first and reports afterwards, so that callbacks do not delay batches.</para>
/// </summary>
internal sealed partial class PartitionQueue : IThreadPoolWorkItem
{
    // A sending thread runs the loop for its own batch. After this many steps the thread pool takes over.
    private const int StepsOnCallersThread = 4;
    private const int StepsOnPoolThread = 64;

    private readonly ProducerCore _producer;
    private readonly TopicQueue _topic;
    private readonly TopicPartition _topicPartition;
    private readonly Lock _gate = new();
    private readonly SendQueue _queue;
    private readonly List<(ProduceBatch Batch, ProduceResult Result)> _ended = [];
    private readonly List<Resolution> _reports = []; // Used by the loop only.
    private readonly bool _lingers;
    // Initially as configured. When the topic rejects a batch as too large, the size is halved.
    private int _batchSize;
    private ProduceBatch? _open;
    private bool _pumping;
    private bool _identityAsked;
    private WakeTimer? _timer;
    private long _wakeAt = long.MaxValue;

    public PartitionQueue(ProducerCore producer, TopicQueue topic, int partition)
    {
        _producer = producer;
        _topic = topic;
        _topicPartition = new TopicPartition(topic.Name, partition);
        _lingers = producer.Options.Linger > TimeSpan.Zero;
        var idempotent = producer.Options.IsIdempotent;
        _queue = new SendQueue(idempotent, retries: producer.Options.Acks != Acks.None, idempotent ? producer.Options.MaxInFlight : 1,
            producer.Clock.Ticks(ProducerCore.ProducerRest), Split, producer.Target.IsTransactional);
        _batchSize = Math.Min(producer.Options.BatchSize, topic.MaxBatchSize);
    }

    /// <summary>Adds a record, for which room was taken, to the open batch, and has the batch sent when it is due.</summary>
    /// <param name="record">The record.</param>
    /// <param name="waited">The record as it waited until now. Null if it comes directly from its sender, whose thread holds no
    /// lock.</param>
    public void Append(in RecordData record, PendingRecord? waited = null)
    {
        bool start;
        var closed = false;
        lock (_gate)
        {
            if (_open is not null && !_open.HasRoomFor(record.Size, _batchSize))
                closed = Close();
            _open ??= OpenBatch(waited?.SentAt ?? _producer.Clock.Now);
            _open.Add(record);
            if (waited is not null)
                _open.Carry(waited.Generation);
            if (_open.IsFull(_batchSize))
                closed = Close();
            start = !_pumping && WantsPump(closed);
            _pumping |= start;
        }
        if (closed)
            _topic.OnBatchClosed(_topicPartition.Partition, _producer.Clock.Now);
        if (!start)
            return;
        // An awaited record takes the shortest path. Otherwise the caller continues at once, and sealing and sending run in parallel.
        if (waited is null && record.Recipient.IsAwaited)
            Pump(StepsOnCallersThread);
        else
            ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: false);
    }

    /// <summary>Has records sent as one batch, for which room was taken.</summary>
    /// <param name="first">The first record, with the others.</param>
    public void AppendTogether(PendingRecord first)
    {
        lock (_gate)
        {
            if (_open is not null)
                Close();
            var batch = OpenBatch(first.SentAt);
            try
            {
                batch.IsWhole = true;
                batch.Add(first.Data);
                foreach (var other in first.Others)
                    batch.Add(other.Data);
            }
            catch
            {
                batch.CountOff();
                throw;
            }
            batch.Carry(first.Generation);
            _queue.Enqueue(batch);
        }
        _topic.OnBatchClosed(_topicPartition.Partition, _producer.Clock.Now);
        Start();
    }

    /// <summary>Ends the linger of the open batch.</summary>
    public void Urge()
    {
        lock (_gate)
        {
            if (_open is null)
                return;
            _open.IsUrgent = true;
        }
        Start();
    }

    /// <summary>Runs the loop on a pool thread, unless it is running already.</summary>
    public void Start()
    {
        lock (_gate)
        {
            if (_pumping)
                return;
            _pumping = true;
        }
        ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: false);
    }

    /// <summary>When the oldest unreported record was sent; null for none.</summary>
    public long? OldestSentAt
    {
        get
        {
            lock (_gate)
                return _queue.OldestSentAt ?? _open?.SentAt;
        }
    }

    /// <summary>Sets the requested producer id.</summary>
    public void OnIdentity(ProducerIdentity identity)
    {
        lock (_gate)
        {
            _identityAsked = false;
            _queue.SetIdentity(identity);
        }
        Start();
    }

    /// <summary>Fails the batches that need a producer id, since none can be allocated.</summary>
    public void OnIdentityRefused(ProduceResult error)
    {
        lock (_gate)
        {
            _identityAsked = false;
            _queue.FailAll(error.Error, $"No producer id: {error.Message}");
        }
        Start();
    }

    /// <summary>Whether anything waits for a producer id. If not, the request is not retried.</summary>
    public bool StillWantsIdentity()
    {
        lock (_gate)
        {
            _identityAsked = _queue.Count > 0;
            return _identityAsked;
        }
    }

    /// <summary>Handles the end of a call to the broker. Runs on the broker's thread.</summary>
    public void OnCallEnded(ProduceBatch batch)
    {
        if (!End(batch, batch.TakeResult()))
            return;
        // Callbacks and compression must not run on a thread outside the pool, which would be one of the broker's own.
        if (Thread.CurrentThread.IsThreadPoolThread)
            Pump(StepsOnPoolThread);
        else
            ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: false);
    }

    public void Dispose() => _timer?.Dispose();

    private ProduceBatch OpenBatch(long sentAt)
    {
        var batch = _producer.RentBatch();
        batch.Queue = this;
        batch.Open(sentAt, _lingers ? _producer.Clock.After(sentAt, _producer.Options.Linger) : long.MinValue, _producer.JoinGeneration());
        _producer.ArmDeadline(sentAt);
        return batch;
    }

    private (ProduceBatch, ProduceBatch) Split(ProduceBatch tooLarge)
    {
        _batchSize = Math.Max(ProducerOptions.MinBatchSize, Math.Min(_batchSize, tooLarge.EstimatedSize / 2));
        _producer.Target.LearnBatchSize(_topicPartition.Topic, _batchSize);
        var (first, second) = (_producer.RentBatch(), _producer.RentBatch());
        tooLarge.SplitInto(first, second, _producer.Options.Codecs);
        return (first, second);
    }

    private bool Close()
    {
        _queue.Enqueue(_open!);
        _open = null;
        return true;
    }

    private static bool IsReady(ProduceBatch open, long now) => open.IsUrgent || now >= open.LingerUntil;

    /// <summary>Whether the record just appended gives the loop something to do. While a batch is in flight, its completion runs the
    /// loop.</summary>
    private bool WantsPump(bool closed)
    {
        if (!_queue.IsIdle)
            return closed && !_queue.IsSaturated;
        // The first record of a lingering batch starts the timer and an urgent one ends it. Those in between need no loop.
        return _open is { } open && (!_lingers || open.IsUrgent || open.RecordCount == 1);
    }
}
