using System.Collections.Concurrent;
using System.Collections.Immutable;
using OrleansMq.Clusters;
using OrleansMq.Diagnostics;
using OrleansMq.Grains.Hosting;
using OrleansMq.Grains.Partitions;
using OrleansMq.Grains.Replication;
using OrleansMq.Grains.Storage;
using OrleansMq.Replication;
using OrleansMq.Topics;

namespace OrleansMq.Grains.Topics;

/// <summary>
/// Makes the image of a replicated cluster, in the one activation of the cluster's grain: from the stored documents when it begins, then
/// from what brokers report, who is alive, and what topics announce. Every change is a new version and goes to all brokers. Two may exist
/// for a moment: the later one's versions are higher, and brokers keep to those. Thread safe.
/// </summary>
internal sealed class ClusterController(SiloBroker broker, ClusterMembership membership, IPartitionStates states,
    GrainDocument<BrokerRegistry> registry,
    ImagePublisher publisher, Func<string, Task<TopicState?>> readTopic) : IAsyncDisposable
{
    // Documents read at a time when it begins: enough to hide the way to the database, few enough for its connections.
    private const int ReadsAtATime = 32;

    private readonly Lock _lock = new();
    private readonly SemaphoreSlim _registering = new(1, 1);
    private readonly LeadershipLedger _ledger = new();
    // Deleted topics that a broker has said to have nothing of; until the catalogue's document says so, too.
    private readonly ConcurrentDictionary<(Guid TopicId, int Broker), bool> _clean = new();
    private ClusterImage _image = ClusterImage.Empty;
    private TaskCompletionSource _changed = NewSignal();

    /// <summary>The newest image.</summary>
    public ClusterImage Image
    {
        get
        {
            lock (_lock)
                return _image;
        }
    }

    /// <summary>The brokers that belong to the cluster.</summary>
    public BrokerRegistry Registry => registry.Known ?? BrokerRegistry.Empty;

    /// <summary>Reads everything and begins.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.KafkaStorageError"/>.</exception>
    public async Task StartAsync(TopicCatalogue catalogue)
    {
        var stored = await registry.ReadAsync();
        // Each takes a number of its own by a compare-and-swap: of two that begin at once one fails, and is asked for again.
        var taken = (stored ?? BrokerRegistry.Empty with { AutoRebalance = broker.Cluster?.AutoRebalance ?? false }).TakeOver();
        await registry.WriteAsync(taken);
        var image = ClusterImage.Empty with
        {
            Version = ClusterImage.FirstVersion(taken.MetadataEpoch),
            Controller = broker.Options.BrokerId.Value,
            AutoRebalance = taken.AutoRebalance,
            Brokers = BrokersOf(taken),
            Deleted = DeletedOf(catalogue),
        };
        foreach (var some in catalogue.Topics.Where(topic => topic.Value.Status != TopicStatus.Deleting).Chunk(ReadsAtATime))
        {
            foreach (var topic in await Task.WhenAll(some.Select(entry => ReadAsync(entry.Key, entry.Value))))
                image = topic is null ? image : image.WithTopic(topic);
        }
        membership.Changed += OnMembershipChanged;
        Update(_ => image);
        OnMembershipChanged();
    }

    /// <summary>Changes the image; where it changes, every broker gets it.</summary>
    /// <returns>The version afterwards.</returns>
    public long Update(Func<ClusterImage, ClusterImage> change)
    {
        lock (_lock)
        {
            var next = change(_image);
            if (!ReferenceEquals(next, _image))
            {
                _image = next with { Version = Math.Max(_image.Version, next.Version) + 1 };
                publisher.Publish(_image);
                _changed.TrySetResult();
                _changed = NewSignal();
            }
            return _image.Version;
        }
    }

    /// <summary>Completes when the image has changed since that version.</summary>
    public Task ChangedSince(long version)
    {
        lock (_lock)
            return _image.Version > version ? Task.CompletedTask : _changed.Task;
    }

    /// <summary>Changes the image, and returns when every live broker that answers has it.</summary>
    public Task UpdateEverywhereAsync(Func<ClusterImage, ClusterImage> change, TimeSpan deadline) =>
        publisher.WaitAsync(Update(change), deadline);

    /// <summary>Stores the next registry; returns when every live broker that answers knows.</summary>
    public async Task ChangeRegistryAsync(Func<BrokerRegistry, BrokerRegistry> change, TimeSpan deadline)
    {
        await WriteRegistryAsync(change);
        await publisher.WaitAsync(Image.Version, deadline);
    }

    /// <summary>Stores the next registry, and shows it.</summary>
    public async Task WriteRegistryAsync(Func<BrokerRegistry, BrokerRegistry> change)
    {
        await _registering.WaitAsync();
        try
        {
            var before = await registry.ReadAsync() ?? BrokerRegistry.Empty;
            var next = change(before);
            if (!ReferenceEquals(before, next))
                await registry.WriteAsync(next);
            Update(image => Show(image, next));
        }
        finally
        {
            _registering.Release();
        }
    }

    /// <summary>A broker is there.</summary>
    public async Task HelloAsync(BrokerRegistration registration, long version)
    {
        await WriteRegistryAsync(before => before.Register(registration));
        publisher.Correct(registration.BrokerId, version);
    }

    /// <summary>A broker says what it leads.</summary>
    public void Take(int reporter, IReadOnlyCollection<LeadershipReport> reports, bool isComplete) =>
        Update(image => _ledger.Take(image, reporter, reports, isComplete));

    /// <summary>A topic is gone: brokers delete what they have of it.</summary>
    public void Forget(Guid topicId) => Update(image =>
    {
        _ledger.Forget(topicId);
        return image.WithoutTopic(topicId) with { Deleted = image.Deleted.Add(topicId) };
    });

    /// <summary>A broker has nothing of these topics any more.</summary>
    public void Confirm(int reporter, IEnumerable<Guid> topicIds)
    {
        foreach (var id in topicIds)
            _clean[(id, reporter)] = true;
        lock (_lock)
        {
            _changed.TrySetResult(); // For those who wait until a topic is gone.
            _changed = NewSignal();
        }
    }

    /// <summary>What the catalogue need not remember any more, and the brokers need not be told.</summary>
    public TopicCatalogue ClearLeftovers(TopicCatalogue catalogue) =>
        _clean.Keys.GroupBy(clean => clean.Broker, clean => clean.TopicId)
        .Aggregate(catalogue, (next, some) => next.ClearLeftovers(some.Key, some));

    /// <summary>The catalogue is stored: who is told to delete what follows from it.</summary>
    public void OnStored(TopicCatalogue catalogue)
    {
        var deleted = DeletedOf(catalogue);
        foreach (var clean in _clean.Keys.Where(clean => !deleted.Contains(clean.TopicId)))
            _clean.TryRemove(clean, out _);
        Update(image => image.Deleted.SetEquals(deleted) ? image : image with { Deleted = deleted });
    }

    /// <summary>Returns when no live broker has anything of a deleted topic, or the time is up.</summary>
    public async Task WaitUntilGoneAsync(Guid topicId, CancellationToken deadline)
    {
        while (true)
        {
            Task changed;
            lock (_lock)
                changed = _changed.Task;
            if (Image.IsGone(topicId, membership.Brokers.Silos.Keys, broker => _clean.ContainsKey((topicId, broker)))
                || deadline.IsCancellationRequested)
                return;
            await Task.WhenAny(changed, Task.Delay(Timeout.InfiniteTimeSpan, deadline));
        }
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        membership.Changed -= OnMembershipChanged;
        await publisher.DisposeAsync();
    }

    private void OnMembershipChanged()
    {
        Update(ShowMembership);
        // Somebody may be here whom nothing was sent to yet.
        publisher.Publish(Image);
    }

    private ClusterImage ShowMembership(ClusterImage image)
    {
        var next = Show(image, Registry);
        foreach (var (topic, number, partition) in image.AllPartitions())
        {
            if (partition.Leader >= 0 && !membership.IsAlive(partition.Leader))
                next = next.WithPartition(new ReplicaKey(topic.TopicId, number), partition with { Leader = PartitionState.NoLeader });
        }
        return next;
    }

    private ClusterImage Show(ClusterImage image, BrokerRegistry known)
    {
        var brokers = BrokersOf(known);
        return brokers.SequenceEqual(image.Brokers) && image.AutoRebalance == known.AutoRebalance
            ? image
            : image with { Brokers = brokers, AutoRebalance = known.AutoRebalance };
    }

    private ImmutableSortedDictionary<int, ImageBroker> BrokersOf(BrokerRegistry known) => known.Brokers.ToImmutableSortedDictionary(
        entry => entry.Key, entry => new ImageBroker(entry.Value.Registration, membership.IsAlive(entry.Key), entry.Value.Draining));

    private static ImmutableHashSet<Guid> DeletedOf(TopicCatalogue catalogue) =>
    [
        .. catalogue.Topics.Values.Where(entry => entry.Status == TopicStatus.Deleting).Select(entry => entry.TopicId),
        .. catalogue.Leftovers?.Keys ?? [],
    ];

    private async Task<ImageTopic?> ReadAsync(string name, TopicCatalogueEntry entry)
    {
        var topic = await readTopic(name);
        if (topic is null || topic.TopicId != entry.TopicId)
        {
            if (entry.Status == TopicStatus.Active)
                broker.Log(EngineLogLevel.Error,
                    $"The state '{TopicState.KeyOf(name)}' of topic '{name}' is missing or belongs to another topic, so the topic "
                    + "is not served. Restore the database from a backup, or delete the topic.");
            return null;
        }
        var partitions = new List<ImagePartition>();
        foreach (var some in Enumerable.Range(0, Math.Max(topic.Partitions, topic.GrowingTo ?? 0)).Chunk(ReadsAtATime))
        {
            var stored = await Task.WhenAll(some.Select(number => states.ReadAsync(new ReplicaKey(topic.TopicId, number))));
            // Those from the first that is missing on are made again, with the state they have, when the topic is finished.
            partitions.AddRange(stored.TakeWhile(found => found is not null)
                .Select(found => ImagePartition.Of(found!.State, membership.IsAlive)));
            if (stored.Any(found => found is null))
                break;
        }
        return new ImageTopic(name, topic.TopicId, entry.Status == TopicStatus.Active ? topic.Status : entry.Status,
            topic.ReplicationFactor, topic.Configs,
            [.. partitions], Math.Min(partitions.Count, topic.Status == TopicStatus.Active ? topic.Partitions : 0));
    }

    private static TaskCompletionSource NewSignal() => new(TaskCreationOptions.RunContinuationsAsynchronously);
}
