using OrleansMq.Api;
using OrleansMq.Clusters;
using OrleansMq.Diagnostics;
using OrleansMq.Grains.Partitions;
using OrleansMq.Replication;
using OrleansMq.State;
using OrleansMq.Topics;

namespace OrleansMq.Grains.Topics;

// Replicated clusters: the replicas and leaders of the topic's partitions.
internal sealed partial class TopicGrain
{
    // How long a creation waits for the first leader of a partition: several searches and claims.
    private static readonly TimeSpan LeadTime = TimeSpan.FromSeconds(20);
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(50);
    // How long a description waits for a partition's leader: an answer takes a millisecond, a failover a second.
    private static readonly TimeSpan DescribeTime = TimeSpan.FromSeconds(2);

    // Null if nothing is replicated.
    private readonly ClusterImageCache? _images;
    private readonly IPartitionStates _states;

    private bool IsReplicated => _images is not null;

    private IClusterOwnerGrain Cluster => GrainFactory.GetGrain<IClusterOwnerGrain>(GrainKeys.Cluster);

    private TopicConfig ConfigOf(TopicState topic) =>
        TopicConfigRules.Parse(topic.Configs, _broker.Options.TopicDefaults.ForReplicas(topic.ReplicationFactor)).Next;

    // First the states, from which leaders are chosen. Then the metadata, from which brokers create replicas. Then the leaders, which open
    // the replicas. Every step is idempotent, so that it can be repeated after a crash.
    private async Task MakeReplicasAsync(TopicState topic, int from, int to)
    {
        var replicas = await Cluster.PlaceAsync(to - from, topic.ReplicationFactor);
        await ForEachAsync(from, to, async number =>
            replicas[number - from] = await StoreAsync(new ReplicaKey(topic.TopicId, number), replicas[number - from]));
        await AnnounceAsync(topic, from, replicas);
        using var deadline = new CancellationTokenSource(LeadTime, _broker.Options.TimeProvider);
        await ForEachAsync(from, to, number => LeadAsync(topic, number, deadline.Token));
    }

    /// <summary>Stores a partition's first state unless one exists; returns the brokers of the stored state.</summary>
    private async Task<int[]> StoreAsync(ReplicaKey key, int[] replicas)
    {
        try
        {
            await _states.CreateAsync(key, PartitionState.Create(key.TopicId, [.. replicas]));
            return replicas;
        }
        catch (StateConflictException)
        {
            return await _states.ReadAsync(key) is { State: var state } ? [.. state.Replicas] : throw Unstored(key, null);
        }
        catch (Exception unclear) when (unclear is not InvariantViolationException)
        {
            // The storage provider may throw anything: the outcome is unknown. A retry finds the state if it was stored.
            throw Unstored(key, unclear);
        }
    }

    private static BrokerException Unstored(ReplicaKey key, Exception? cause) =>
        new(ErrorCode.KafkaStorageError,
            $"The state 'partition/{key}' could not be written. {cause?.Message ?? "It was removed meanwhile."}", cause);

    // A partition without a leader does not fail the creation: it gets one as soon as a broker can lead.
    private async Task LeadAsync(TopicState topic, int number, CancellationToken deadline)
    {
        var partition = GrainFactory.GetGrain<IPartitionLeaderGrain>(GrainKeys.Partition(topic.TopicId, number));
        while (true)
        {
            try
            {
                await partition.LeadAsync();
                return;
            }
            catch (Exception notYet) when (notYet is BrokerException or TimeoutException or OrleansException)
            {
                if (deadline.IsCancellationRequested)
                {
                    _broker.Log(EngineLogLevel.Warning, $"Partition {topic.Name}-{number} was created but has no leader yet.", notYet);
                    return;
                }
                await Task.Delay(Pause, _broker.Options.TimeProvider, CancellationToken.None);
            }
        }
    }

    private Task AnnounceAsync(TopicState topic, int first, int[][] replicas) =>
        Cluster.AnnounceAsync(TopicRecord.Of(topic), first, replicas);

    // The image lists the topic as deleted by now, so no broker creates or leads a replica of it.
    private async Task ClearStatesAsync(Guid topicId, TopicState? topic)
    {
        var count = topic is null ? 0 : Math.Max(topic.Partitions, topic.GrowingTo ?? 0);
        await ForEachAsync(0, count, async number =>
        {
            var key = new ReplicaKey(topicId, number);
            try
            {
                await ClearAsync(key);
            }
            catch (Exception unclear) when (unclear is not InvariantViolationException)
            {
                throw new BrokerException(ErrorCode.KafkaStorageError,
                    $"The state 'partition/{key}' could not be removed. {unclear.Message}", unclear);
            }
        });
    }

    private async Task ClearAsync(ReplicaKey key)
    {
        try
        {
            await _states.ClearAsync(key);
        }
        catch (StateConflictException)
        {
            await _states.ClearAsync(key); // Its leader wrote once more in between.
        }
    }

    private async Task<PartitionDescription> DescribeReplicatedAsync(TopicState topic, int number)
    {
        string reason;
        try
        {
            return await GrainFactory.GetGrain<IPartitionForwardGrain>(GrainKeys.Partition(topic.TopicId, number)).DescribeAsync()
                .WaitAsync(DescribeTime, _broker.Options.TimeProvider);
        }
        catch (Exception silent) when (silent is BrokerException or OrleansException)
        {
            reason = silent.Message;
        }
        catch (TimeoutException)
        {
            reason = $"No leader answered within {DescribeTime.TotalSeconds} seconds.";
        }
        var known = _images!.Image.TryGetPartition(new ReplicaKey(topic.TopicId, number), out _, out var partition)
            ? partition : ImagePartition.Create([]);
        return ClusterDescriptions.Describe(number, known with { Leader = PartitionState.NoLeader }, reason);
    }
}
