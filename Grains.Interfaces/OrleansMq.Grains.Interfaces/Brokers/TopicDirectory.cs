using System.Collections.Concurrent;
using OrleansMq.Api;
using OrleansMq.Clusters;

namespace OrleansMq.Grains.Brokers;

/// <summary>
/// This process's cache of topics: ids, partition counts and grain references. It holds only topics that exist, so the catalogue bounds its
/// size. An entry that proves wrong is removed.
/// </summary>
/// <param name="grains">The way to the grains.</param>
/// <param name="options">Times.</param>
/// <param name="metadata">What is pushed to a silo of a replicated cluster; null elsewhere.</param>
/// <param name="deaths">Ends the waiting for a broker that died; null where Orleans does.</param>
/// <param name="forwards">Whether a broker forwards requests of its clients, rather than a client sending its own.</param>
internal sealed class TopicDirectory(IGrainFactory grains, GrainBrokerOptions options, IClusterMetadata? metadata = null,
    BrokerDeaths? deaths = null, bool forwards = false)
{
    private readonly ConcurrentDictionary<string, KnownTopic> _topics = new(StringComparer.Ordinal);
    private SharedQuestions<KnownTopic?>? _current;

    /// <summary>Finds the topic, in the cache at any age, otherwise by asking its grain. Null if it does not exist.</summary>
    public ValueTask<KnownTopic?> FindAsync(string topic) =>
        FindPushed(topic) is { } pushed ? new(pushed)
        : metadata is null && _topics.TryGetValue(topic, out var known) ? new(known) : RefreshAsync(topic);

    /// <summary>Finds the topic; asks its grain if the cached entry is older than
    /// <see cref="GrainBrokerOptions.MetadataMaxAge"/>.</summary>
    public ValueTask<KnownTopic?> FindRecentAsync(string topic) =>
        FindPushed(topic) is { } pushed ? new(pushed)
        : metadata is null && _topics.TryGetValue(topic, out var known)
        && options.TimeProvider.GetElapsedTime(known.AskedAt) < options.MetadataMaxAge
            ? new(known)
            : RefreshAsync(topic);

    /// <summary>Finds the topic as its grain tells from now on, whatever was pushed. Many who ask at once take few calls.</summary>
    public Task<KnownTopic?> FindCurrentAsync(string topic) =>
        LazyInitializer.EnsureInitialized(ref _current, () => new(name => RefreshAsync(name).AsTask())).AskAsync(topic);

    /// <summary>Asks the topic's grain.</summary>
    public async ValueTask<KnownTopic?> RefreshAsync(string topic)
    {
        var askedAt = options.TimeProvider.GetTimestamp();
        var listing = await grains.GetBrokerGrain<ITopicGrain>(topic).FindAsync().ConfigureAwait(false);
        if (listing is null)
        {
            Forget(topic);
            return null;
        }
        return Remember(listing, askedAt);
    }

    /// <summary>Stores what an answer said about a topic.</summary>
    public void Remember(TopicDescription description) =>
        Remember(new TopicListing(description.Name, description.TopicId, description.Partitions.Count),
            options.TimeProvider.GetTimestamp());

    /// <summary>Forgets a topic; the next lookup asks its grain.</summary>
    public void Forget(string topic) => _topics.TryRemove(topic, out _);

    // Pushed metadata is as recent as an answer would be. A topic that it lacks may have just been created or deleted: ask its grain.
    private KnownTopic? FindPushed(string topic)
    {
        if (metadata?.Image.FindServed(topic) is not { } pushed)
            return null;
        return _topics.TryGetValue(topic, out var known) && known.Listing.TopicId == pushed.TopicId
            && known.Listing.Partitions == pushed.Serving
            ? known
            : Remember(pushed.ToListing(), options.TimeProvider.GetTimestamp());
    }

    private KnownTopic Remember(TopicListing listing, long askedAt)
    {
        _topics.TryGetValue(listing.Name, out var before);
        var known = new KnownTopic(listing, askedAt, grains, deaths, forwards, before);
        _topics[listing.Name] = known;
        return known;
    }
}

/// <summary>A cached topic, with references to its partitions' grains that are created on first use.</summary>
internal sealed class KnownTopic
{
    private readonly IGrainFactory _grains;
    private readonly BrokerDeaths? _deaths;
    private readonly bool _forwards;
    // The same array as long as the topic is the same: a partition has one lane, in which its batches keep their order.
    private readonly PartitionGrains?[] _partitions;

    public KnownTopic(TopicListing listing, long askedAt, IGrainFactory grains, BrokerDeaths? deaths, bool forwards, KnownTopic? before)
    {
        (Listing, AskedAt, _grains, _deaths, _forwards) = (listing, askedAt, grains, deaths, forwards);
        _partitions = before is null || before.Listing.TopicId != listing.TopicId ? new PartitionGrains?[listing.Partitions]
            : before.Listing.Partitions == listing.Partitions ? before._partitions
            : [.. before._partitions.Take(listing.Partitions),
                .. new PartitionGrains?[Math.Max(0, listing.Partitions - before._partitions.Length)]];
    }

    public TopicListing Listing { get; }

    public long AskedAt { get; }

    /// <summary>The partition's grain; null if the topic has no such partition.</summary>
    public PartitionGrains? Partition(int partition)
    {
        if ((uint)partition >= (uint)_partitions.Length)
            return null;
        if (_partitions[partition] is { } known)
            return known;
        var key = GrainKeys.Partition(Listing.TopicId, partition);
        var made = new PartitionGrains(_forwards ? PartitionCalls.OfBroker(_grains, key) : PartitionCalls.OfClient(_grains, key), _deaths);
        return Interlocked.CompareExchange(ref _partitions[partition], made, null) ?? made;
    }
}

/// <summary>A partition's grain and its append lanes, created on first use.</summary>
internal sealed class PartitionGrains(PartitionCalls grain, BrokerDeaths? deaths)
{
    // From acks=all (-1) to acks=1.
    private readonly AppendLane?[] _lanes = new AppendLane?[3];

    /// <summary>The calls to the grain.</summary>
    public PartitionCalls Grain => grain;

    /// <summary>Returns the lane for an acks level. Those that wait for replicas share one, which keeps the order of a sender that uses
    /// both. An unknown level gets a lane too; the grain refuses its batches.</summary>
    public AppendLane Lane(Acks acks)
    {
        if (acks == Acks.Replicated)
            acks = Acks.All;
        var index = (int)acks - (int)Acks.All;
        if ((uint)index >= (uint)_lanes.Length)
            return new AppendLane(grain, acks, deaths);
        return _lanes[index] ?? Interlocked.CompareExchange(ref _lanes[index], new AppendLane(grain, acks, deaths), null)
            ?? _lanes[index]!;
    }
}
