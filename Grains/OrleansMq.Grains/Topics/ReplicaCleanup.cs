using System.Collections.Concurrent;
using OrleansMq.Clusters;
using OrleansMq.Diagnostics;
using OrleansMq.Grains.Hosting;
using OrleansMq.Grains.Partitions;
using OrleansMq.Grains.Replication;
using OrleansMq.Replication;

namespace OrleansMq.Grains.Topics;

/// <summary>
/// Brings this broker's replicas in line with the latest image. It updates their configuration and deletes replicas that this broker no
/// longer holds: of topics that the image lists as deleted, and of partitions that moved away, once the stored state confirms it. A replica
/// of an unknown topic stays: a database restored from a backup knows less than the disks.
/// <para>Deletion is final, so that it can be confirmed. Replicas are created by the image that is the latest at that moment, and the
/// cleanup waits for those being created when it arrived (<see cref="ReplicaManager.SettledReplicas()"/>).</para>
/// </summary>
internal sealed class ReplicaCleanup(SiloBroker broker, SiloReplicas replicas, ClusterImageCache images, IPartitionStates states,
    IGrainFactory grains)
    : ILifecycleParticipant<ISiloLifecycle>, IAsyncDisposable
{
    private static readonly TimeSpan LastWord = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan Pause = TimeSpan.FromSeconds(1);
    // Replicas that are checked, and deleted, at once: enough to overlap their flushes and reads of the store.
    private const int AtATime = 32;

    private readonly CancellationTokenSource _stopped = new();
    // Deleted topics that this broker has confirmed to the controller of this epoch.
    private readonly HashSet<Guid> _confirmed = [];
    private readonly ConcurrentDictionary<Guid, bool> _unknown = [];
    private int _epoch;
    private Task _cleaning = Task.CompletedTask;

    /// <inheritdoc/>
    public void Participate(ISiloLifecycle lifecycle) =>
        lifecycle.Subscribe(nameof(ReplicaCleanup), ServiceLifecycleStage.Active, _ =>
        {
            _cleaning = Task.Run(CleanAsync, CancellationToken.None);
            return Task.CompletedTask;
        }, _ => DisposeAsync().AsTask());

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await _stopped.CancelAsync().ConfigureAwait(false);
        // Let a call in progress complete while the silo can still process its answer.
        await Task.WhenAny(_cleaning, Task.Delay(LastWord, CancellationToken.None)).ConfigureAwait(false);
    }

    private async Task CleanAsync()
    {
        try
        {
            ClusterImage? cleaned = null;
            while (true)
            {
                var image = await images.WaitForNewerAsync(cleaned?.Version ?? 0, _stopped.Token).ConfigureAwait(false);
                if (await TryCleanAsync(image, cleaned).ConfigureAwait(false))
                    cleaned = image;
                else
                    await Task.Delay(Pause, _stopped.Token).ConfigureAwait(false);
            }
        }
        catch (OperationCanceledException) when (_stopped.IsCancellationRequested)
        {
            // The silo stops.
        }
    }

    // A fault of the store or of another broker passes; without a next attempt the deletion would never be confirmed.
    private async Task<bool> TryCleanAsync(ClusterImage image, ClusterImage? cleaned)
    {
        try
        {
            return await CleanAsync(image, cleaned).ConfigureAwait(false);
        }
        catch (Exception fault) when (fault is not InvariantViolationException && !_stopped.IsCancellationRequested)
        {
            broker.Log(EngineLogLevel.Warning, "Replicas of deleted topics, or that moved away, could not be removed; retrying.", fault);
            return false;
        }
    }

    private async Task<bool> CleanAsync(ClusterImage image, ClusterImage? cleaned)
    {
        var done = true;
        var left = new ConcurrentDictionary<Guid, bool>();
        var options = new ParallelOptions { MaxDegreeOfParallelism = AtATime };
        await Parallel.ForEachAsync(Find(image, cleaned), options, async (replica, _) =>
        {
            // A replica that was created during a configuration change may have the old configuration.
            if (images.FindConfig(replica.Key) is { } config && config != replica.Partition.KnownConfig)
                replica.Partition.UpdateConfig(config);
            switch (await IsToGoAsync(image, replica.Key).ConfigureAwait(false))
            {
                case null:
                    Volatile.Write(ref done, false);
                    break;
                case true when !await TryDropAsync(replica).ConfigureAwait(false):
                    left[replica.Key.TopicId] = true;
                    Volatile.Write(ref done, false);
                    break;
            }
        }).ConfigureAwait(false);
        return await TryConfirmAsync(image, left.Keys).ConfigureAwait(false) && done;
    }

    private IReadOnlyCollection<Replica> Find(ClusterImage image, ClusterImage? cleaned) => cleaned is null
        ? replicas.Manager.SettledReplicas()
        : Concerned(image, cleaned, () => replicas.Manager.SettledReplicas().Select(replica => replica.Key)) is { Count: > 0 } some
        ? replicas.Manager.SettledReplicas(some)
        : [];

    /// <summary>Returns the replicas that may have to change. With thousands of topics, and images that differ in one of them, only that
    /// one is looked at.</summary>
    /// <param name="image">The latest image.</param>
    /// <param name="cleaned">The image that all replicas were brought in line with.</param>
    /// <param name="held">Returns the replicas of this broker. They alone tell what there is of a deleted topic: it may have grown in an
    /// image that is neither of the two.</param>
    internal static IReadOnlyCollection<ReplicaKey> Concerned(ClusterImage image, ClusterImage cleaned, Func<IEnumerable<ReplicaKey>> held)
    {
        var deleted = image.Deleted.Except(cleaned.Deleted);
        var ofDeleted = deleted.Count == 0 ? [] : held().Where(key => deleted.Contains(key.TopicId));
        if (ReferenceEquals(image.Topics, cleaned.Topics))
            return [.. ofDeleted];
        var changed = image.Topics.Values.Where(topic => !ReferenceEquals(topic, cleaned.Topics.GetValueOrDefault(topic.TopicId)));
        return [.. ofDeleted, .. changed.SelectMany(topic =>
            Enumerable.Range(0, topic.Partitions.Length).Select(number => new ReplicaKey(topic.TopicId, number)))];
    }

    // Null if that is not known at the moment.
    private async Task<bool?> IsToGoAsync(ClusterImage image, ReplicaKey key)
    {
        if (image.Deleted.Contains(key.TopicId))
            return true;
        if (!image.TryGetPartition(key, out var topic, out var partition))
        {
            if (topic is null && _unknown.TryAdd(key.TopicId, true))
                broker.Log(EngineLogLevel.Warning,
                    $"The cluster does not know the topic {key.TopicId} of a replica on this broker; the replica is left as it is.");
            return false;
        }
        if (partition.Holders.Contains(broker.Options.BrokerId.Value))
            return false;
        return await IsMovedAwayAsync(key).ConfigureAwait(false);
    }

    // The image follows the leaders' reports and may briefly be older than the state; then a newer image follows. Null if the state cannot
    // be read, since then no newer image need follow.
    private async Task<bool?> IsMovedAwayAsync(ReplicaKey key)
    {
        try
        {
            return await states.ReadAsync(key).ConfigureAwait(false) is { State: var state }
                && !state.Replicas.Contains(broker.Options.BrokerId.Value) && !state.Reassignment.Contains(broker.Options.BrokerId.Value);
        }
        catch (Exception unknown) when (unknown is not InvariantViolationException)
        {
            return null;
        }
    }

    private async Task<bool> TryDropAsync(Replica replica)
    {
        try
        {
            await replicas.Manager.DropAsync(replica.Key).ConfigureAwait(false);
            broker.Log(EngineLogLevel.Information,
                $"Partition {replica.TopicPartition} is no longer held by this broker; deleted its directory.");
            return true;
        }
        catch (BrokerException failure)
        {
            broker.Log(EngineLogLevel.Warning, $"Could not delete the directory of partition {replica.TopicPartition}; retrying.",
                failure);
            return false;
        }
    }

    private async Task<bool> TryConfirmAsync(ClusterImage image, ICollection<Guid> left)
    {
        if (_epoch != image.Epoch)
            _confirmed.Clear();
        _epoch = image.Epoch;
        _confirmed.IntersectWith(image.Deleted);
        Guid[] gone = [.. image.Deleted.Except(_confirmed).Except(left)];
        if (gone.Length == 0)
            return true;
        try
        {
            await grains.GetGrain<IClusterOwnerGrain>(GrainKeys.Cluster)
                .ConfirmDeletedAsync(broker.Options.BrokerId.Value, gone).ConfigureAwait(false);
            _confirmed.UnionWith(gone);
            return true;
        }
        catch (Exception unanswered) when (unanswered is TimeoutException or OrleansException or BrokerException)
        {
            broker.Log(EngineLogLevel.Debug,
                "The cluster's grain did not confirm this broker's report of deleted topics; retrying.", unanswered);
            return false;
        }
    }
}
