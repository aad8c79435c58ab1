using OrleansMq.Clusters;
using OrleansMq.Diagnostics;
using OrleansMq.Grains.Hosting;
using OrleansMq.Grains.Partitions;
using OrleansMq.Grains.Replication;
using OrleansMq.Replication;

namespace OrleansMq.Grains.Topics;

/// <summary>
/// Sees to what this broker's replicas are by the newest image. Frees the disk of those that it is not to hold any more: of topics that the
/// image names as deleted, and of partitions that moved away, once the stored state says so, too. A replica of a topic that nobody knows is
/// left where it is: a database restored from a backup knows less than the disks.
/// <para>What is gone stays gone, so that it can be confirmed: replicas are made by what the newest image says at that moment, and those
/// that were just being made when it came are waited for (<see cref="ReplicaManager.SettledReplicas"/>).</para>
/// </summary>
internal sealed class ReplicaCleanup(SiloBroker broker, SiloReplicas replicas, ClusterImageCache images, IPartitionStates states,
    IGrainFactory grains)
    : ILifecycleParticipant<ISiloLifecycle>, IAsyncDisposable
{
    private static readonly TimeSpan LastWord = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan Pause = TimeSpan.FromSeconds(1);

    private readonly CancellationTokenSource _stopped = new();
    // Deleted topics of which the grain of this epoch has heard that nothing is left here.
    private readonly HashSet<Guid> _confirmed = [];
    private readonly HashSet<Guid> _unknown = [];
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
        // What was asked is answered first, while the silo can still do so.
        await Task.WhenAny(_cleaning, Task.Delay(LastWord, CancellationToken.None)).ConfigureAwait(false);
    }

    private async Task CleanAsync()
    {
        try
        {
            var image = ClusterImage.Empty;
            while (true)
            {
                image = await images.WaitForNewerAsync(image.Version, _stopped.Token).ConfigureAwait(false);
                while (!await TryCleanAsync(images.Image).ConfigureAwait(false))
                    await Task.Delay(Pause, _stopped.Token).ConfigureAwait(false);
            }
        }
        catch (OperationCanceledException) when (_stopped.IsCancellationRequested)
        {
            // The silo stops.
        }
    }

    private async Task<bool> TryCleanAsync(ClusterImage image)
    {
        var done = true;
        var left = new HashSet<Guid>();
        foreach (var replica in replicas.Manager.SettledReplicas())
        {
            // One that was made while its topic's configuration changed may have been made with the former.
            if (images.FindConfig(replica.Key) is { } config && config != replica.Partition.Config)
                replica.Partition.UpdateConfig(config);
            switch (await IsToGoAsync(image, replica.Key).ConfigureAwait(false))
            {
                case null:
                    done = false;
                    break;
                case true when !await TryDropAsync(replica).ConfigureAwait(false):
                    left.Add(replica.Key.TopicId);
                    done = false;
                    break;
            }
        }
        return await TryConfirmAsync(image, left).ConfigureAwait(false) && done;
    }

    // Null where that cannot be found out at the moment.
    private async Task<bool?> IsToGoAsync(ClusterImage image, ReplicaKey key)
    {
        if (image.Deleted.Contains(key.TopicId))
            return true;
        if (!image.TryGetPartition(key, out var topic, out var partition))
        {
            if (topic is null && _unknown.Add(key.TopicId))
                broker.Log(EngineLogLevel.Warning,
                    $"The cluster does not know the topic {key.TopicId} of a replica on this broker; the replica is left as it is.");
            return false;
        }
        if (partition.Holders.Contains(broker.Options.BrokerId.Value))
            return false;
        return await IsMovedAwayAsync(key).ConfigureAwait(false);
    }

    // The image is made of what leaders say, and may be older than the state for a moment: then the next one comes. Null where the state is
    // not known: no image need come after that.
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
                $"Partition {replica.TopicPartition} is not held here any more; its directory is deleted.");
            return true;
        }
        catch (BrokerException failure)
        {
            broker.Log(EngineLogLevel.Warning, $"The directory of partition {replica.TopicPartition} could not be deleted; trying again.",
                failure);
            return false;
        }
    }

    private async Task<bool> TryConfirmAsync(ClusterImage image, HashSet<Guid> left)
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
                "That deleted topics are gone from this broker was not heard by the cluster's grain; telling it again.", unanswered);
            return false;
        }
    }
}
