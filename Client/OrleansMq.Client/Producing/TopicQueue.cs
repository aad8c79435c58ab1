using OrleansMq.Api;

namespace OrleansMq.Client;

/// <summary>One topic's partitions as the producer sees them, and the records that wait until their number is known.</summary>
internal sealed class TopicQueue(ProducerCore producer, string name)
{
    private readonly Lock _gate = new();
    private readonly Queue<PendingRecord> _pending = new();
    private PartitionQueue[]? _partitions;
    private bool _loading;
    private long _refreshAt;

    public string Name { get; } = name;

    public ProducerCore Producer { get; } = producer;

    /// <summary>The partitions; null until their number is known and who waited for it is in them.</summary>
    public PartitionQueue[]? Partitions => Volatile.Read(ref _partitions);

    /// <summary>The partition a record goes to.</summary>
    /// <exception cref="ProduceException">There is no such partition.</exception>
    public PartitionQueue Choose(PartitionQueue[] partitions, in RecordData record)
    {
        var partition = record.Partition >= 0
            ? record.Partition
            : Producer.Partitioner.Choose(Name, record.Key, record.HasKey, partitions.Length);
        if ((uint)partition < (uint)partitions.Length)
            return partitions[partition];
        Refresh();
        throw new ProduceException(ErrorCode.UnknownTopicOrPartition,
            $"Topic '{Name}' has the partitions 0 to {partitions.Length - 1}; the record asks for {partition}.",
            new TopicPartition(Name, partition));
    }

    /// <summary>Takes a record for which there is room: into its partition, or in line until the partitions are known.</summary>
    public void Append(PendingRecord record)
    {
        ProduceException? error = null;
        lock (_gate)
        {
            if (_partitions is null)
            {
                _pending.Enqueue(record);
                StartLoading();
                Producer.ArmDeadline(record.SentAt);
            }
            else
            {
                error = TryAppend(_partitions, record);
            }
        }
        record.SetAccepted();
        if (error is not null)
            Producer.FailLater(record, error);
    }

    /// <summary>Fails who has waited for the partitions since a time or longer.</summary>
    public void Expire(long sentBefore, List<PendingRecord> expired)
    {
        lock (_gate)
        {
            while (_pending.TryPeek(out var first) && first.SentAt <= sentBefore)
                expired.Add(_pending.Dequeue());
        }
    }

    /// <summary>When the first of those who wait was sent; null where nobody waits.</summary>
    public long? OldestSentAt
    {
        get
        {
            lock (_gate)
                return _pending.TryPeek(out var first) ? first.SentAt : null;
        }
    }

    /// <summary>A batch was closed: another partition may be the better choice now, and the number of partitions may be old.</summary>
    public void OnBatchClosed(int partition, long now)
    {
        if (Partitions is not { } partitions)
            return;
        Producer.Partitioner.OnBatchClosed(Name, partition, partitions.Length);
        if (now >= Volatile.Read(ref _refreshAt))
            Refresh();
    }

    private void Refresh()
    {
        lock (_gate)
            StartLoading();
    }

    private void StartLoading()
    {
        if (_loading)
            return;
        _loading = true;
        // Not here: a lock is held, and a broker may do some of its work before it returns.
        ThreadPool.UnsafeQueueUserWorkItem(static topic => _ = topic.LoadAsync(), this, preferLocal: false);
    }

    private async Task LoadAsync()
    {
        for (var attempt = 1; ; attempt++)
        {
            var answer = await AskAsync().ConfigureAwait(false);
            if (answer.Partitions is { } count)
            {
                OnLoaded(count);
                return;
            }
            if (answer.Error.Error.Action() != ErrorAction.Retry)
            {
                OnRefused(answer.Error);
                return;
            }
            await Producer.BackoffAsync(attempt).ConfigureAwait(false);
            if (!IsStillWanted())
                return;
        }
    }

    private async ValueTask<(int? Partitions, ProduceResult Error)> AskAsync()
    {
        try
        {
            var listing = await Producer.Broker.GetTopicAsync(Name).ConfigureAwait(false);
            return (listing.Partitions, default);
        }
        catch (Exception e)
        {
            return (null, ProduceBatch.ResultOf(e));
        }
    }

    private void OnLoaded(int count)
    {
        List<(PendingRecord, ProduceException)>? failed = null;
        lock (_gate)
        {
            var known = _partitions ?? [];
            var partitions = new PartitionQueue[count];
            for (var i = 0; i < count; i++)
                partitions[i] = i < known.Length ? known[i] : new PartitionQueue(Producer, this, i);
            Producer.Register(partitions.AsSpan(Math.Min(known.Length, count)));
            while (_pending.TryDequeue(out var record))
            {
                if (TryAppend(partitions, record) is { } error)
                    (failed ??= []).Add((record, error));
            }
            _loading = false;
            Volatile.Write(ref _refreshAt, Producer.Clock.After(Producer.Clock.Now, Producer.Options.MetadataMaxAge));
            // Only now: who comes after those that waited goes behind them.
            Volatile.Write(ref _partitions, partitions);
        }
        foreach (var (record, error) in failed ?? [])
            Producer.Fail(record, error);
    }

    private void OnRefused(ProduceResult error)
    {
        PendingRecord[] refused;
        lock (_gate)
        {
            refused = [.. _pending];
            _pending.Clear();
            _loading = false;
            Volatile.Write(ref _refreshAt, Producer.Clock.After(Producer.Clock.Now, Producer.Options.RetryBackoffMax));
        }
        foreach (var record in refused)
            Producer.Fail(record, new ProduceException(error.Error, $"Topic '{Name}': {error.Message}", record.TopicPartition, record.Key));
    }

    /// <summary>Whether it is worth to ask again. If not, the next record (or the next closed batch) asks.</summary>
    private bool IsStillWanted()
    {
        lock (_gate)
        {
            if (_pending.Count > 0)
                return true;
            _loading = false;
            return false;
        }
    }

    private ProduceException? TryAppend(PartitionQueue[] partitions, PendingRecord record)
    {
        try
        {
            Choose(partitions, record.Data).Append(record.Data, record);
            return null;
        }
        catch (ProduceException e)
        {
            return e;
        }
    }
}
