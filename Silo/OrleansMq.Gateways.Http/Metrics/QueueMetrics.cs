using System.Collections.Concurrent;
using System.Diagnostics.Metrics;
using OrleansMq.Api;

namespace OrleansMq.Gateways.Http.Metrics;

/// <summary>
/// The queues of the partitions that this broker leads, as of the last look at them. A reader of metrics causes a look: at most one at a
/// time, and at most every <see cref="LeastInterval"/>.
/// </summary>
/// <param name="time">The clock.</param>
/// <param name="source">The partitions of this broker.</param>
internal sealed class QueueMetrics(TimeProvider time, MetricSource source)
{
    /// <summary>Between two looks at least.</summary>
    public static readonly TimeSpan LeastInterval = TimeSpan.FromSeconds(5);

    // A reader of metrics waits no longer than this; it gets what was seen before.
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(2);

    private readonly Lock _gate = new();
    private readonly ConcurrentDictionary<TopicPartition, IReadOnlyList<QueueDescription>> _queues = new();
    // Of queues whose consumers hold records.
    private readonly ConcurrentDictionary<(TopicPartition Partition, string Queue), double> _longestHeld = new();
    private Task _look = Task.CompletedTask;
    private long? _lookedAt;

    /// <summary>Looks at the queues where it is time to, and waits a moment for what is seen.</summary>
    /// <param name="queues">The queues of all partitions.</param>
    /// <param name="ended">The reader has gone, or the broker stops.</param>
    public async ValueTask RefreshAsync(IQueues queues, CancellationToken ended)
    {
        Task look;
        lock (_gate)
        {
            if (_look.IsCompleted && (_lookedAt is not { } at || time.GetElapsedTime(at) >= LeastInterval))
                _look = LookAsync(queues, ended);
            look = _look;
        }
        try
        {
            await look.WaitAsync(Patience, time, ended);
        }
        catch (Exception e) when (e is TimeoutException or OperationCanceledException)
        {
            // What was seen before has to do.
        }
    }

    /// <summary>Adds the instruments.</summary>
    public void AddTo(Meter meter)
    {
        Add(meter, "orleansmq.queue.waiting", "{record}", "Records of a queue that wait for a consumer.",
            static queue => Math.Max(0, queue.Unsettled - queue.Held - queue.Deferred));
        Add(meter, "orleansmq.queue.held", "{record}", "Records of a queue that consumers hold.", static queue => queue.Held);
        Add(meter, "orleansmq.queue.deferred", "{record}", "Records of a queue whose time has not come.", static queue => queue.Deferred);
        meter.CreateObservableGauge("orleansmq.queue.oldest", () => Observe(Age), "s",
            "Age of the first record of a queue that is not settled; 0 where there is none.");
        meter.CreateObservableGauge("orleansmq.queue.longest.held",
            () => Observe((partition, queue) => _longestHeld.GetValueOrDefault((partition, queue.Name))), "s",
            "For how long a consumer of a queue has held a record at most; 0 where none does.");
        AddTotal(meter, "orleansmq.queue.redelivered", "Deliveries of a queue's records that may have been delivered before.",
            static queue => queue.Redelivered);
        AddTotal(meter, "orleansmq.queue.dead.lettered", "Records of a queue in their dead-letter topic.",
            static queue => queue.DeadLettered);
        AddTotal(meter, "orleansmq.queue.filtered", "Records of a queue that its filter does not match.",
            static queue => queue.Filtered);
        AddTotal(meter, "orleansmq.queue.dropped",
            "Records that left a queue without a dead letter: rejected, expired or beyond its length.",
            static queue => queue.Rejected + queue.Expired + queue.Dropped);
    }

    private double Age(QueueDescription queue) =>
        queue.OldestTimestamp is { } oldest ? Math.Max(0, (time.GetUtcNow().ToUnixTimeMilliseconds() - oldest) / 1000.0) : 0;

    private async Task LookAsync(IQueues queues, CancellationToken ended)
    {
        // Not under the caller's lock.
        await Task.Yield();
        try
        {
            var seen = new HashSet<TopicPartition>();
            foreach (var partition in source.Partitions().Where(static partition => partition.HasQueues))
            {
                if (await ListAsync(queues, partition.TopicPartition, ended) is not { Count: > 0 } listed)
                    continue;
                _queues[partition.TopicPartition] = listed;
                seen.Add(partition.TopicPartition);
                foreach (var queue in listed)
                    _longestHeld[(partition.TopicPartition, queue.Name)] =
                        await LongestHeldAsync(queues, partition.TopicPartition, queue, ended);
            }
            foreach (var gone in _queues.Keys.Where(partition => !seen.Contains(partition)))
                _queues.TryRemove(gone, out _);
            foreach (var gone in _longestHeld.Keys.Where(one => !_queues.TryGetValue(one.Partition, out var listed)
                || listed.All(queue => queue.Name != one.Queue)))
                _longestHeld.TryRemove(gone, out _);
        }
        finally
        {
            lock (_gate)
                _lookedAt = time.GetTimestamp();
        }
    }

    private static async ValueTask<double> LongestHeldAsync(IQueues queues, TopicPartition partition, QueueDescription queue,
        CancellationToken ended)
    {
        if (queue.Held == 0)
            return 0;
        try
        {
            var longest = await queues.ListHandlersAsync(partition, queue.Name, 1, ended);
            return longest is [{ IsWaiting: false } first] ? first.Held.TotalSeconds : 0;
        }
        catch (BrokerException)
        {
            // Led elsewhere by now, or deleted.
            return 0;
        }
    }

    private static async ValueTask<IReadOnlyList<QueueDescription>> ListAsync(IQueues queues, TopicPartition partition,
        CancellationToken ended)
    {
        try
        {
            return await queues.ListAsync(partition, ended);
        }
        catch (BrokerException)
        {
            // Led elsewhere by now.
            return [];
        }
    }

    private void Add(Meter meter, string name, string unit, string description, Func<QueueDescription, long> value) =>
        meter.CreateObservableGauge(name, () => Observe(value), unit, description);

    private void AddTotal(Meter meter, string name, string description, Func<QueueDescription, long> value) =>
        meter.CreateObservableCounter(name, () => Observe(value), "{record}", description);

    private IEnumerable<Measurement<T>> Observe<T>(Func<QueueDescription, T> value) where T : struct =>
        Observe((_, queue) => value(queue));

    private IEnumerable<Measurement<T>> Observe<T>(Func<TopicPartition, QueueDescription, T> value) where T : struct
    {
        foreach (var (partition, queues) in _queues)
        {
            foreach (var queue in queues)
                yield return new Measurement<T>(value(partition, queue), new("topic", partition.Topic),
                    new("partition", partition.Partition), new("queue", queue.Name));
        }
    }
}
