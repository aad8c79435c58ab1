using System.Collections.Concurrent;
using System.Collections.Immutable;
using OrleansMq.Brokers;
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
/// Maintains the image of a replicated cluster, in the single activation of the cluster's grain. It starts from the stored documents and
/// follows brokers' reports, membership and the topics' announcements. Every change is a new version and is pushed to all brokers. Two
/// controllers may exist for a moment: the later one has higher versions, and brokers follow those. Thread safe.
/// </summary>
internal sealed class ClusterController(SiloBroker broker, ClusterMembership membership, IPartitionStates states,
    GrainDocument<BrokerRegistry> registry, ImagePublisher<ClusterImage> publisher, Func<string, Task<TopicState?>> readTopic)
    : IAsyncDisposable
{
    // Concurrent reads at the start: enough to hide the database's latency, few enough for its connections.
    private const int ReadsAtATime = 32;

    private readonly Lock _lock = new();
    private readonly SemaphoreSlim _registering = new(1, 1);
    private readonly LeadershipLedger _ledger = new();
    // Deleted topics of which a broker has confirmed that nothing is left, until the catalogue's document records it.
    private readonly ConcurrentDictionary<(Guid TopicId, int Broker), bool> _clean = new();
    private ClusterImage _image = ClusterImage.Empty;
    private int _epoch;
    private TaskCompletionSource _changed = NewSignal();

    /// <summary>Raised when a document shows that there is a later controller.</summary>
    public event Action? Superseded;

    /// <summary>The latest image.</summary>
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

    /// <summary>Reads all documents and begins.</summary>
    /// <param name="catalogue">The list of topics. It is claimed, so that no earlier controller adds a topic, or deletes one, that this one
    /// does not see.</param>
    public async Task StartAsync(Catalogue catalogue)
    {
        var claimed = (await catalogue.OpenAsync(isShared: true)).Max(page => page.Epoch);
        var stored = await registry.ReadAsync();
        // Each controller takes an epoch of its own by compare-and-swap. Of two that start at once one fails, and its call is retried.
        var taken = (stored ?? BrokerRegistry.Empty with { AutoRebalance = broker.Cluster?.AutoRebalance ?? false }).TakeOver(claimed);
        await registry.WriteAsync(taken);
        _epoch = taken.MetadataEpoch;
        var pages = await catalogue.ClaimAsync(taken.MetadataEpoch);
        var image = ClusterImage.Empty with
        {
            Version = ClusterImage.FirstVersion(taken.MetadataEpoch),
            Controller = broker.Options.BrokerId.Value,
            AutoRebalance = taken.AutoRebalance,
            Brokers = BrokersOf(taken),
            Deleted = [.. pages.SelectMany(DeletedOf)],
        };
        var topics = new ConcurrentBag<ImageTopic>();
        await Parallel.ForEachAsync(pages.SelectMany(page => page.Topics).Where(topic => topic.Value.Status != TopicStatus.Deleting),
            new ParallelOptions { MaxDegreeOfParallelism = ReadsAtATime }, async (entry, _) =>
            {
                if (await ReadAsync(entry.Key, entry.Value) is { } topic)
                    topics.Add(topic);
            });
        image = topics.Aggregate(image, (made, topic) => made.WithTopic(topic));
        membership.Changed += OnMembershipChanged;
        Update(_ => image);
        foreach (var known in taken.Brokers.Values)
            WarnOfCodecs(known);
        OnMembershipChanged();
    }

    /// <summary>Changes the image and pushes it to all brokers if it differs.</summary>
    /// <returns>The resulting version.</returns>
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

    /// <summary>Completes when the image is newer than that version.</summary>
    public Task ChangedSince(long version)
    {
        lock (_lock)
            return _image.Version > version ? Task.CompletedTask : _changed.Task;
    }

    /// <summary>Changes the image; returns when every live broker that answers has it.</summary>
    public Task UpdateEverywhereAsync(Func<ClusterImage, ClusterImage> change, TimeSpan deadline) =>
        publisher.WaitAsync(Update(change), deadline);

    /// <summary>Stores the next registry; returns when every live broker that answers has the new image.</summary>
    public async Task ChangeRegistryAsync(Func<BrokerRegistry, BrokerRegistry> change, TimeSpan deadline)
    {
        await WriteRegistryAsync(change);
        await publisher.WaitAsync(Image.Version, deadline);
    }

    /// <summary>Stores the next registry and updates the image from it.</summary>
    public async Task WriteRegistryAsync(Func<BrokerRegistry, BrokerRegistry> change)
    {
        await _registering.WaitAsync();
        try
        {
            var before = await registry.ReadAsync() ?? BrokerRegistry.Empty;
            // The first write of an earlier controller meets that of the later one, and the document is read again.
            if (before.MetadataEpoch > _epoch)
            {
                Superseded?.Invoke();
                throw new BrokerException(ErrorCode.RequestTimedOut, "Another broker controls the cluster's metadata now. Retry.");
            }
            var next = change(before);
            if (!ReferenceEquals(before, next))
                await registry.WriteAsync(next);
            Update(image => Show(image, next));
            foreach (var (_, known) in next.Brokers.Except(before.Brokers))
                WarnOfCodecs(known);
        }
        finally
        {
            _registering.Release();
        }
    }

    /// <summary>Registers a broker that has announced itself.</summary>
    public async Task HelloAsync(BrokerRegistration registration, long version)
    {
        await WriteRegistryAsync(before => before.Register(registration));
        publisher.Correct(registration.BrokerId, version);
    }

    /// <summary>Applies a broker's reports of what it leads.</summary>
    public void Take(int reporter, IReadOnlyCollection<LeadershipReport> reports, bool isComplete) =>
        Update(image => _ledger.Take(image, reporter, reports, isComplete));

    /// <summary>Marks a topic as deleted: brokers delete their replicas of it.</summary>
    public void Forget(Guid topicId) => Update(image =>
    {
        _ledger.Forget(topicId);
        return image.WithoutTopic(topicId) with { Deleted = image.Deleted.Add(topicId) };
    });

    /// <summary>Records that a broker has nothing left of these topics.</summary>
    public void Confirm(int reporter, IEnumerable<Guid> topicIds)
    {
        foreach (var id in topicIds)
            _clean[(id, reporter)] = true;
        lock (_lock)
        {
            _changed.TrySetResult(); // For callers that wait until a topic is gone.
            _changed = NewSignal();
        }
    }

    /// <summary>Removes from a page of the catalogue the leftovers that brokers have confirmed as deleted.</summary>
    public TopicCatalogue ClearLeftovers(TopicCatalogue page) => page.Leftovers is null ? page
        : _clean.Keys.GroupBy(clean => clean.Broker, clean => clean.TopicId)
            .Aggregate(page, (next, some) => next.ClearLeftovers(some.Key, some));

    /// <summary>Updates the image's deleted topics from a page of the catalogue that was just stored.</summary>
    public void OnStored(TopicCatalogue before, TopicCatalogue after)
    {
        Guid[] deleted = [.. DeletedOf(after)];
        Guid[] forgotten = [.. DeletedOf(before).Except(deleted)];
        Update(image => image.Deleted.Except(forgotten).Union(deleted) is var next && next.SetEquals(image.Deleted)
            ? image : image with { Deleted = next });
        foreach (var clean in _clean.Keys.Where(clean => !Image.Deleted.Contains(clean.TopicId)))
            _clean.TryRemove(clean, out _);
    }

    /// <summary>Returns when no live broker has anything of a deleted topic, or when the deadline passes.</summary>
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

    // A broker that joins, returns or is drained no more is not refused for what it lacks: it may hold replicas.
    private void WarnOfCodecs(RegisteredBroker known)
    {
        if (!known.Draining && MissingCodecs.Describe(known.Registration,
            Image.Topics.Values.Select(topic => (topic.Name, CodecOf(topic)))) is { } warning)
            broker.Log(EngineLogLevel.Warning, warning);
    }

    private CompressionType? CodecOf(ImageTopic topic) =>
        TopicConfigRules.Parse(topic.Configs, broker.Options.TopicDefaults.ForReplicas(topic.ReplicationFactor))
            is { IsAccepted: true, Next: var config } ? config.CompressionType : null;

    private void OnMembershipChanged()
    {
        Update(ShowMembership);
        // A broker may have joined that has not been sent any image yet.
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

    private static IEnumerable<Guid> DeletedOf(TopicCatalogue page) =>
        page.Topics.Values.Where(entry => entry.Status == TopicStatus.Deleting).Select(entry => entry.TopicId)
            .Concat(page.Leftovers?.Keys ?? []);

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
            // Those from the first missing state on are recreated, with any state they have, when the topic is completed.
            partitions.AddRange(stored.TakeWhile(found => found is not null)
                .Select(found => ImagePartition.Of(found!.State, membership.IsAlive)));
            if (stored.Any(found => found is null))
                break;
        }
        return new ImageTopic(name, topic.TopicId, entry.Status == TopicStatus.Active ? topic.Status : entry.Status,
            topic.ReplicationFactor, topic.Configs,
            [.. partitions], Math.Min(partitions.Count, topic.Status == TopicStatus.Active ? topic.Partitions : 0))
        {
            IntendedReplicationFactor = topic.IntendedReplicationFactor ?? 0,
        };
    }

    private static TaskCompletionSource NewSignal() => new(TaskCreationOptions.RunContinuationsAsynchronously);
}
