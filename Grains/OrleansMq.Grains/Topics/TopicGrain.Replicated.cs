using System.Text.Json;
using OrleansMq.Api;
using OrleansMq.Clusters;
using OrleansMq.Diagnostics;
using OrleansMq.Grains.Partitions;
using OrleansMq.Grains.Replication;
using OrleansMq.Grains.Storage;
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

    private readonly LeaderServiceClient? _leaders;
    private readonly ReplicaServices? _brokers;
    private readonly IBrokerPeers _peers;

    private bool IsReplicated => _images is not null;

    private IClusterOwnerGrain Cluster => GrainFactory.GetGrain<IClusterOwnerGrain>(GrainKeys.Cluster);

    private TopicConfig ConfigOf(TopicState topic) =>
        TopicConfigRules.Parse(topic.Configs, _broker.Options.TopicDefaults.ForReplicas(topic.ReplicationFactor)).Next;

    private async Task RequireCodecAsync(CompressionType codec)
    {
        try
        {
            await Cluster.RequireCodecAsync(codec);
        }
        catch (TypeLoadException)
        {
            // A silo of an earlier version cannot read the call, and answers so.
            _broker.Log(EngineLogLevel.Warning, $"Topic '{Name}' is to be stored in {codec}. The cluster's grain is of an earlier version, "
                + "which does not know whether every broker has that codec: update all brokers.");
        }
    }

    // First the states, from which leaders are chosen. Then the metadata, from which brokers create replicas. Then the leaders, which open
    // the replicas. Every step is idempotent, so that it can be repeated after a crash.
    /// <returns>The partitions, with their leaders.</returns>
    private async Task<ImagePartition[]> MakeReplicasAsync(TopicState topic, int from, int to)
    {
        var replicas = await AskControllerAsync(broker => broker.PlaceAsync(to - from, topic.ReplicationFactor),
            grain => grain.PlaceAsync(to - from, topic.ReplicationFactor));
        var stored = new StoredPartitionState[to - from];
        await ForEachAsync(from, to, async number =>
            stored[number - from] = await StoreAsync(new ReplicaKey(topic.TopicId, number), replicas[number - from]));
        await AnnounceAsync(topic, from, [.. stored.Select(first => first.State.Replicas.ToArray())]);
        var led = await BeginAsync(topic, from, stored);
        using var deadline = new CancellationTokenSource(LeadTime, _broker.Options.TimeProvider);
        var made = new ImagePartition[to - from];
        await ForEachAsync(from, to, async number =>
        {
            var replicas = stored[number - from].State.Replicas;
            var leader = led.Contains(new ReplicaKey(topic.TopicId, number)) ? replicas[0] : await LeadAsync(topic, number, deadline.Token);
            made[number - from] = ImagePartition.Create(replicas) with { Leader = leader, LeaderEpoch = leader < 0 ? 0 : 1 };
        });
        return made;
    }

    /// <summary>Stores a partition's first state unless one exists; returns the stored state.</summary>
    private async Task<StoredPartitionState> StoreAsync(ReplicaKey key, int[] replicas)
    {
        try
        {
            var first = PartitionState.Create(key.TopicId, [.. replicas]);
            return new StoredPartitionState(first, await _states.CreateAsync(key, first));
        }
        catch (StateConflictException)
        {
            return await _states.ReadAsync(key) ?? throw Unstored(key, null);
        }
        catch (Exception unclear) when (unclear is not InvariantViolationException)
        {
            // The storage provider may throw anything: the outcome is unknown. A retry finds the state if it was stored.
            throw Unstored(key, unclear);
        }
    }

    /// <summary>Asks each preferred leader, once, to lead all its new partitions. Those that it does not lead are elected one by
    /// one.</summary>
    /// <returns>The partitions that have a leader.</returns>
    private async Task<HashSet<ReplicaKey>> BeginAsync(TopicState topic, int from, StoredPartitionState[] stored)
    {
        var begun = await Task.WhenAll(stored.Select((first, i) => (Key: new ReplicaKey(topic.TopicId, from + i), First: first))
            .Where(partition => partition.First.State.LeaderEpoch == 0)
            .GroupBy(partition => partition.First.State.Replicas[0])
            .Select(led => BeginAsync(led.Key, [.. led])));
        return [.. begun.SelectMany(keys => keys)];
    }

    private async Task<IEnumerable<ReplicaKey>> BeginAsync(int broker, (ReplicaKey Key, StoredPartitionState First)[] partitions)
    {
        if (_peers.Find(broker) is not { } silo)
            return [];
        try
        {
            var led = await _leaders!.Of(silo).BeginAsync(
                [.. partitions.Select(partition => GrainKeys.Partition(partition.Key.TopicId, partition.Key.Partition))],
                [.. partitions.Select(partition => JsonSerializer.SerializeToUtf8Bytes(partition.First.State, StateDocuments.Json))],
                [.. partitions.Select(partition => partition.First.ETag)]);
            return partitions.Select(partition => partition.Key)
                .Where(key => led.Contains(GrainKeys.Partition(key.TopicId, key.Partition)));
        }
        catch (Exception unanswered) when (unanswered is BrokerException or TimeoutException or OrleansException)
        {
            _broker.Log(EngineLogLevel.Debug, $"Broker {broker} did not answer whether it leads new partitions.", unanswered);
            return [];
        }
    }

    private static BrokerException Unstored(ReplicaKey key, Exception? cause) =>
        new(ErrorCode.KafkaStorageError,
            $"The state 'partition/{key}' could not be written. {cause?.Message ?? "It was removed meanwhile."}", cause);

    // A partition without a leader does not fail the creation: it gets one as soon as a broker can lead.
    private async Task<int> LeadAsync(TopicState topic, int number, CancellationToken deadline)
    {
        var partition = GrainFactory.GetGrain<IPartitionLeaderGrain>(GrainKeys.Partition(topic.TopicId, number));
        while (true)
        {
            try
            {
                return await partition.LeadAsync();
            }
            catch (Exception notYet) when (notYet is BrokerException or TimeoutException or OrleansException)
            {
                if (deadline.IsCancellationRequested)
                {
                    _broker.Log(EngineLogLevel.Warning, $"Partition {topic.Name}-{number} was created but has no leader yet.", notYet);
                    return PartitionState.NoLeader;
                }
                await Task.Delay(Pause, _broker.Options.TimeProvider, CancellationToken.None);
            }
        }
    }

    private Task AnnounceAsync(TopicState topic, int first, int[][] replicas)
    {
        var record = TopicRecord.Of(topic);
        return AskControllerAsync(
            async broker =>
            {
                await broker.AnnounceAsync(record, first, replicas);
                return true;
            },
            async grain =>
            {
                await grain.AnnounceAsync(record, first, replicas);
                return true;
            });
    }

    // The controller may wait for this topic, and its activation may deactivate meanwhile, which takes no calls before that wait has ended.
    // So its broker is asked first. The grain is where the metadata is controlled next, and knows what a broker that is not it cannot.
    private async Task<T> AskControllerAsync<T>(Func<IReplicaService, Task<T>> ofBroker, Func<IClusterOwnerGrain, Task<T>> ofGrain)
    {
        var controller = _images!.Image.Controller;
        try
        {
            if (controller >= 0)
                return await ofBroker(_brokers!.Of(controller));
        }
        catch (Exception elsewhere) when (elsewhere is BrokerException { Code: ErrorCode.BrokerNotAvailable } or OrleansException
            or TypeLoadException) // A silo of an earlier version cannot read the call, and answers so.
        {
            _broker.Log(EngineLogLevel.Debug, $"Broker {controller} does not control the cluster's metadata. Its grain is asked.",
                elsewhere);
        }
        return await ofGrain(Cluster);
    }

    // The image lists the topic as deleted by now, so no broker creates or leads a replica of it.
    private async Task ClearStatesAsync(Guid topicId, TopicState? topic)
    {
        var count = topic is null ? 0 : Math.Max(topic.Partitions, topic.GrowingTo ?? 0);
        await ForEachAsync(0, count, async number =>
        {
            var key = new ReplicaKey(topicId, number);
            try
            {
                await _states.ClearAsync(key);
            }
            catch (Exception unclear) when (unclear is not InvariantViolationException)
            {
                throw new BrokerException(ErrorCode.KafkaStorageError,
                    $"The state 'partition/{key}' could not be removed. {unclear.Message}", unclear);
            }
        });
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
