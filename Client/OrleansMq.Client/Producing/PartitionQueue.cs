using OrleansMq.Api;

namespace OrleansMq.Client;

/// <summary>
/// One partition: the batch that records go into, and the loop that hands batches to the broker.
/// <para>The loop (<see cref="Pump"/>) is run by at most one thread at a time: whoever changes something while nobody runs it. It sends
/// first and reports afterwards, so that callbacks hold up no batch.</para>
/// </summary>
internal sealed partial class PartitionQueue : IThreadPoolWorkItem
{
    // A thread that sends runs the loop for its own batch; what is left after so many steps goes to the pool.
    private const int StepsOnCallersThread = 4;
    private const int StepsOnPoolThread = 64;

    private readonly ProducerCore _producer;
    private readonly TopicQueue _topic;
    private readonly TopicPartition _topicPartition;
    private readonly Lock _gate = new();
    private readonly SendQueue _queue;
    private readonly List<(ProduceBatch Batch, ProduceResult Result)> _ended = [];
    private readonly List<Resolution> _reports = []; // The loop's own.
    private readonly bool _lingers;
    // As the options say, until the topic finds a batch too large: then batches of half its size, and so on.
    private int _batchSize;
    private ProduceBatch? _open;
    private bool _pumping;
    private bool _identityAsked;
    private ITimer? _timer;
    private long _wakeAt = long.MaxValue;

    public PartitionQueue(ProducerCore producer, TopicQueue topic, int partition)
    {
        _producer = producer;
        _topic = topic;
        _topicPartition = new TopicPartition(topic.Name, partition);
        _lingers = producer.Options.Linger > TimeSpan.Zero;
        var idempotent = producer.Options.IsIdempotent;
        _queue = new SendQueue(idempotent, retries: producer.Options.Acks != Acks.None, idempotent ? producer.Options.MaxInFlight : 1,
            producer.Clock.Ticks(ProducerCore.ProducerRest), Split);
        _batchSize = producer.Options.BatchSize;
    }

    /// <summary>Puts a record, for which room was taken, into the open batch, and sees to it that the batch leaves.</summary>
    /// <param name="record">The record.</param>
    /// <param name="waited">Where the record waited until now; null where it comes straight from its sender, whose thread holds no
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
        // Who awaits wants the shortest way. Who does not gets the thread back at once, and sealing and sending run beside it.
        if (waited is null && record.Recipient.IsAwaited)
            Pump(StepsOnCallersThread);
        else
            ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: false);
    }

    /// <summary>The open batch lingers no longer.</summary>
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

    /// <summary>Runs the loop, on a thread of the pool, unless it runs already.</summary>
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

    /// <summary>When the oldest unreported record was sent; null where there is none.</summary>
    public long? OldestSentAt
    {
        get
        {
            lock (_gate)
                return _queue.OldestSentAt ?? _open?.SentAt;
        }
    }

    /// <summary>Takes over a producer id that was asked for.</summary>
    public void OnIdentity(ProducerIdentity identity)
    {
        lock (_gate)
        {
            _identityAsked = false;
            _queue.SetIdentity(identity);
        }
        Start();
    }

    /// <summary>There will be no producer id: what waits for it has failed.</summary>
    public void OnIdentityRefused(ProduceResult error)
    {
        lock (_gate)
        {
            _identityAsked = false;
            _queue.FailAll(error.Error, $"No producer id: {error.Message}");
        }
        Start();
    }

    /// <summary>Whether anything waits for a producer id; if not, it is not asked for again.</summary>
    public bool StillWantsIdentity()
    {
        lock (_gate)
        {
            _identityAsked = _queue.Count > 0;
            return _identityAsked;
        }
    }

    /// <summary>A call to the broker ended. Runs on the broker's thread.</summary>
    public void OnCallEnded(ProduceBatch batch)
    {
        if (!End(batch, batch.TakeResult()))
            return;
        // Callbacks and compression have no business on a thread that is not of the pool: that would be one of the broker's own.
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

    /// <summary>Whether what was just appended gives the loop something to do. While a batch is in flight its end does, and runs the
    /// loop.</summary>
    private bool WantsPump(bool closed)
    {
        if (!_queue.IsIdle)
            return closed && !_queue.IsSaturated;
        // The first record of a batch that lingers starts the timer, an urgent one ends it; those in between are only added.
        return _open is { } open && (!_lingers || open.IsUrgent || open.RecordCount == 1);
    }
}
