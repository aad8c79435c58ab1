using System.Collections.Concurrent;
using System.Collections.Immutable;
using OrleansMq.Api;
using OrleansMq.Clusters;
using OrleansMq.Diagnostics;
using OrleansMq.Grains.Hosting;
using OrleansMq.Grains.Replication;
using OrleansMq.Replication;
using OrleansMq.Topics;

namespace OrleansMq.Grains.Topics;

/// <summary>The latest image that was pushed to this silo, and this broker's part in it: which replicas to hold, with what configuration.
/// Thread safe.</summary>
internal sealed class ClusterImageCache(SiloBroker broker, SiloReplicas replicas) : IClusterMetadata, IClusterImageSink, IReplicaSpecs
{
    private readonly Lock _lock = new();
    // Parsed once for each change of a topic's configuration.
    private readonly ConcurrentDictionary<Guid, TopicSpecification> _specifications = new();
    private volatile ClusterImage _image = ClusterImage.Empty;
    private TaskCompletionSource _newer = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <inheritdoc/>
    public event Action<ClusterImage>? Changed;

    /// <inheritdoc/>
    public ClusterImage Image => _image;

    /// <inheritdoc/>
    public ClusterDescription Describe() => ClusterDescriptions.Describe(_image, broker.Cluster?.ClusterId ?? "",
        topic => SpecificationOf(topic).Config.MinInsyncReplicas);

    /// <inheritdoc/>
    public async Task<ClusterImage> WaitForNewerAsync(long version, CancellationToken cancellationToken)
    {
        while (true)
        {
            Task newer;
            lock (_lock)
            {
                if (_image.Version > version)
                    return _image;
                newer = _newer.Task;
            }
            await newer.WaitAsync(cancellationToken).ConfigureAwait(false);
        }
    }

    /// <inheritdoc/>
    public Task<long> AcceptAsync(ReadOnlyMemory<byte> image)
    {
        var delta = ClusterDeltaCodec.Read(image.Span);
        lock (_lock)
        {
            // Pushes of two controllers may overlap; the later controller's image has the higher version.
            if (delta.To > _image.Version && delta.Apply(_image) is { } next)
                Take(next);
            return Task.FromResult(_image.Version);
        }
    }

    /// <inheritdoc/>
    public ReplicaSpec? Find(ReplicaKey key) =>
        _image.TryGetPartition(key, out var topic, out var partition) && partition.Holders.Contains(broker.Options.BrokerId.Value)
            ? SpecificationOf(topic).Replica
            : null;

    /// <inheritdoc/>
    public bool IsDeleted(Guid topicId) => _image.Deleted.Contains(topicId);

    /// <summary>The configuration of a partition's topic; null if the topic is not known.</summary>
    public TopicConfig? FindConfig(ReplicaKey key) =>
        _image.Topics.TryGetValue(key.TopicId, out var topic) ? SpecificationOf(topic).Config : null;

    private void Take(ClusterImage next)
    {
        var before = _image;
        _image = next;
        if (!ReferenceEquals(before.Topics, next.Topics))
            Configure(before, next);
        if (before.CatchUpMaxBytesPerSecond != next.CatchUpMaxBytesPerSecond)
            replicas.Manager.LimitCatchUp(next.CatchUpMaxBytesPerSecond);
        Changed?.Invoke(next);
        _newer.TrySetResult();
        _newer = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
    }

    private void Configure(ClusterImage before, ClusterImage next)
    {
        var changed = next.Topics.Values.Where(topic => !before.Topics.TryGetValue(topic.TopicId, out var other)
            || !ReferenceEquals(other.Configs, topic.Configs) || other.ReplicationFactor != topic.ReplicationFactor)
            .ToArray();
        var added = 0;
        foreach (var topic in changed)
        {
            added += before.Topics.ContainsKey(topic.TopicId) ? 0 : 1;
            for (var number = 0; number < topic.Partitions.Length; number++)
            {
                if (replicas.Manager.TryGet(new ReplicaKey(topic.TopicId, number), out var replica))
                    replica.Partition.UpdateConfig(SpecificationOf(topic).Config);
            }
        }
        replicas.Manager.BeginToCreate(changed.SelectMany(NewHere));
        if (before.Topics.Count + added == next.Topics.Count)
            return;
        foreach (var id in before.Topics.Keys.Where(id => !next.Topics.ContainsKey(id)))
            _specifications.TryRemove(id, out _);
    }

    // Those that were never led. A missing replica of another one was lost, which its leader must learn before it is created again.
    private IEnumerable<ReplicaKey> NewHere(ImageTopic topic) => topic.Partitions
        .Select((partition, number) => (Partition: partition, Key: new ReplicaKey(topic.TopicId, number)))
        .Where(one => one.Partition.LeaderEpoch == 0 && one.Partition.Replicas.Contains(broker.Options.BrokerId.Value))
        .Select(one => one.Key);

    private TopicSpecification SpecificationOf(ImageTopic topic)
    {
        if (_specifications.TryGetValue(topic.TopicId, out var known) && ReferenceEquals(known.Configs, topic.Configs)
            && known.ReplicationFactor == topic.ReplicationFactor)
            return known;
        var parsed = TopicConfigRules.Parse(topic.Configs, broker.Options.TopicDefaults.ForReplicas(topic.ReplicationFactor));
        if (!parsed.IsAccepted)
        {
            broker.Log(EngineLogLevel.Error,
                $"Topic '{topic.Name}' has a configuration that this version does not accept, and keeps all its records here. "
                + $"{parsed.Message} Change the topic's configuration, or update this broker.");
        }
        var config = parsed.IsAccepted
            ? parsed.Next : TopicConfig.Default.ForReplicas(topic.ReplicationFactor) with { RetentionMs = -1, RetentionBytes = -1 };
        return _specifications[topic.TopicId] = new TopicSpecification(topic.Configs, topic.ReplicationFactor,
            new ReplicaSpec(topic.Name, config));
    }

    private sealed record TopicSpecification(ImmutableSortedDictionary<string, string> Configs, short ReplicationFactor,
        ReplicaSpec Replica)
    {
        public TopicConfig Config => Replica.Config;
    }
}
