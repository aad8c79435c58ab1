using OrleansMq.Api;

namespace OrleansMq.Client;

/// <summary>The partitions of one topic, and the records that wait until their number is known.</summary>
internal sealed class TopicQueue(ProducerCore producer, string name)
{
    private readonly Lock _gate = new();
    private readonly Queue<PendingRecord> _pending = new();
    private PartitionQueue[]? _partitions;
    private bool _loading;
    private long _refreshAt;

    public string Name { get; } = name;

    public ProducerCore Producer { get; } = producer;

    /// <summary>The size of batches that the topic took before.</summary>
    public int MaxBatchSize { get; } = producer.Target.BatchSizeOf(name);

    /// <summary>The partitions; null until their number is known and the records that waited for it are in them.</summary>
    public PartitionQueue[]? Partitions => Volatile.Read(ref _partitions);

    /// <summary>The partitions, if a record can be added to one of them now. A partition beyond them may be new: null, until the topic
    /// was looked up again.</summary>
    public PartitionQueue[]? PartitionsFor(in RecordData record) =>
        Partitions is { } partitions && record.Partition < partitions.Length ? partitions : null;

    /// <summary>Returns the partition of a record.</summary>
    /// <exception cref="ProduceException">The partition does not exist.</exception>
    public PartitionQueue Choose(PartitionQueue[] partitions, in RecordData record)
    {
        var partition = record.Partition >= 0
            ? record.Partition
            : Producer.Partitioner.Choose(Name, record.Key, record.HasKey, partitions.Length);
        if ((uint)partition < (uint)partitions.Length)
            return partitions[partition];
        throw new ProduceException(ErrorCode.UnknownTopicOrPartition,
            $"Topic '{Name}' has the partitions 0 to {partitions.Length - 1}; the record asks for {partition}.",
            new TopicPartition(Name, partition));
    }

    /// <summary>Adds a record for which room was taken: to its partition, or to the queue until its partition is known.</summary>
    public void Append(PendingRecord record)
    {
        ProduceException? error = null;
        lock (_gate)
        {
            if (PartitionsFor(record.Data) is not { } partitions)
            {
                _pending.Enqueue(record);
                StartLoading();
                Producer.ArmDeadline(record.SentAt);
            }
            else
            {
                error = TryAppend(partitions, record);
            }
        }
        record.SetAccepted();
        if (error is not null)
            Producer.FailLater(record, error);
    }

    /// <summary>Fails the records that were sent at or before a time and still wait for the partitions.</summary>
    public void Expire(long sentBefore, List<PendingRecord> expired)
    {
        lock (_gate)
        {
            while (_pending.TryPeek(out var first) && first.SentAt <= sentBefore)
                expired.Add(_pending.Dequeue());
        }
    }

    /// <summary>When the first waiting record was sent; null for none.</summary>
    public long? OldestSentAt
    {
        get
        {
            lock (_gate)
                return _pending.TryPeek(out var first) ? first.SentAt : null;
        }
    }

    /// <summary>Called when a batch is closed: the partitioner may switch partitions, and the number of partitions may need a
    /// refresh.</summary>
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
        // On another thread: a lock is held here, and a broker may do some work synchronously.
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
            var listing = await Producer.Target.GetTopicAsync(Name).ConfigureAwait(false);
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
            // Published only now, so that later records follow those that waited.
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

    /// <summary>Whether the lookup is worth a retry. If not, the next record (or the next closed batch) triggers it.</summary>
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
            if (record.Others.Count == 0)
            {
                Choose(partitions, record.Data).Append(record.Data, record);
                return null;
            }
            var placed = record.IsPlaced ? record : record.Others.FirstOrDefault(static other => other.IsPlaced) ?? record;
            var partition = Choose(partitions, placed.Data);
            if (record.Others.FirstOrDefault(other => other.IsPlaced && Choose(partitions, other.Data) != partition) is { } elsewhere)
            {
                throw new ProduceException(ErrorCode.InvalidRecord, "Records that are sent together belong to one partition, and one of "
                    + $"these belongs to another than those before it. Give them one key, or name a partition of '{Name}'.",
                    elsewhere.TopicPartition, elsewhere.Key);
            }
            partition.AppendTogether(record);
            return null;
        }
        catch (ProduceException e)
        {
            return e;
        }
        catch (Exception e)
        {
            // Of a partitioner: the record has no partition, and its sender is told.
            return new ProduceException(ErrorCode.InvalidRecord, $"The partitioner failed for topic '{Name}': {e.Message}",
                record.TopicPartition, record.Key, inner: e);
        }
    }
}
