using System.Collections.Concurrent;
using OrleansMq.Diagnostics;
using OrleansMq.Partitions;

namespace OrleansMq.Replication;

// Replaces useless copies: damaged ones, and those of a topic that was deleted and created again under its name. They are set aside, never
// deleted. One that only lacked handles or space is opened again.
internal sealed partial class ReplicaManager
{
    /// <summary>The interval of repair attempts while the store or other brokers are unavailable.</summary>
    private static readonly TimeSpan RepairInterval = TimeSpan.FromSeconds(5);

    // Repairs by the key of the replaced copy. Completed ones stay for an interval, so that a failing repair is not retried with every
    // tick.
    private readonly ConcurrentDictionary<ReplicaKey, Task> _replacing = new();

    private void Replace(ReplicaKey key, Func<Task> replace)
    {
        if (_disposed || _replacing.ContainsKey(key))
            return;
        var begin = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        if (_replacing.TryAdd(key, ReplaceAsync(key, begin.Task, replace)))
            begin.SetResult();
    }

    private async Task ReplaceAsync(ReplicaKey key, Task begin, Func<Task> replace)
    {
        await begin.ConfigureAwait(false);
        try
        {
            await replace().ConfigureAwait(false);
        }
        catch (Exception fault)
        {
            _ports.Warn(key, $"Could not replace a replica; retrying later: {fault.Message}");
        }
        // Not awaited: a drop or the broker's stop waits for the repair itself, not for the interval.
        _ = ForgetLaterAsync(key);
    }

    private async Task ForgetLaterAsync(ReplicaKey key)
    {
        await Task.Delay(RepairInterval, _options.TimeProvider).ConfigureAwait(false);
        _replacing.TryRemove(key, out _);
    }

    private async Task SetAsideAsync(Partition partition)
    {
        if (_replicas.TryRemove(new ReplicaKey(partition.TopicId, partition.TopicPartition.Partition), out var replica))
            replica.Drop("its topic was deleted");
        await _store.SetAsideAsync(partition, "belongs to a topic that was deleted and created again").ConfigureAwait(false);
    }

    /// <summary>Opens a copy's log again, as a restart of the broker would: a lack of handles, memory or space kept it from being opened,
    /// or interrupted a cut of it.</summary>
    private async Task ReopenAsync(Replica replica)
    {
        var (partition, known) = (replica.Partition, replica.Partition.KnownConfig);
        replica.Drop("its log is opened again");
        if (await _store.ReopenAsync(partition, known ?? partition.Config).ConfigureAwait(false) is not { } opened)
            return;
        lock (_createLocks.Of(replica.Key))
        {
            if (!_replicas.TryRemove(new KeyValuePair<ReplicaKey, Replica>(replica.Key, replica)) || _disposed)
                return;
            Take(replica.Key, opened, isConfigKnown: known is not null);
        }
        if (opened.OfflineReason is null)
            _options.Log.Write(EngineLogLevel.Information, $"Opened the replica of {replica.TopicPartition} again.");
    }

    /// <summary>
    /// Replaces a copy that is damaged below its flushed point: it is set aside, and an empty one, which is another member, takes its place
    /// and catches up. This requires another member that holds all acknowledged records: the last copy, damaged or not, is not touched.
    /// </summary>
    private async Task RepairAsync(Replica replica)
    {
        using var timeout = new CancellationTokenSource(_ports.StoreTimeout, _ports.Time);
        var stored = await _host.ReadStateAsync(replica.Key, timeout.Token).ConfigureAwait(false);
        if (stored is null || !stored.State.Isr.Concat(stored.State.Elr).Any(member => member.Broker != _ports.Broker))
        {
            _ports.Warn(replica.Key, $"{replica.TopicPartition} is damaged here, and no other broker holds all of it: it stays offline. "
                + $"{replica.Partition.OfflineReason}");
            return;
        }
        var (partition, known) = (replica.Partition, replica.Partition.KnownConfig);
        replica.Drop("its log is damaged");
        await _store.SetAsideAsync(partition,
            $"is damaged ({partition.OfflineReason}), and its replica begins again from the others").ConfigureAwait(false);
        lock (_createLocks.Of(replica.Key))
        {
            // Dropped meanwhile, so it is no longer needed.
            if (!_replicas.TryRemove(new KeyValuePair<ReplicaKey, Replica>(replica.Key, replica)) || _disposed)
                return;
            Take(replica.Key, _store.GetOrCreate(partition.TopicPartition, partition.TopicId, known ?? partition.Config),
                isConfigKnown: known is not null);
        }
        _options.Log.Write(EngineLogLevel.Information, $"Recreated the replica of {replica.TopicPartition}, empty.");
    }
}
