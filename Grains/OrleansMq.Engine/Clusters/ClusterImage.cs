using System.Collections.Immutable;
using System.Diagnostics.CodeAnalysis;
using OrleansMq.Api;
using OrleansMq.Replication;
using OrleansMq.Topics;

namespace OrleansMq.Clusters;

/// <summary>
/// All that a broker knows of its cluster: who is in it, which topics there are, who leads and holds each partition. Made in one place,
/// carried to every broker as a series of <see cref="ClusterDelta"/>; never changed, only replaced. What a partition's leader says of
/// itself is newer where they differ.
/// </summary>
public sealed record ClusterImage
{
    /// <summary>What a broker knows before it has heard anything.</summary>
    public static ClusterImage Empty { get; } = new();

    /// <summary>Rises with every change. The upper 32 bits rise whenever another activation makes the image; 0 for
    /// <see cref="Empty"/>.</summary>
    public long Version { get; init; }

    /// <summary>The broker on which the image is made; -1 where that is not known.</summary>
    public int Controller { get; init; } = -1;

    /// <summary>Whether a broker that joins gets its share of replicas by itself.</summary>
    public bool AutoRebalance { get; init; }

    /// <summary>Bytes that each broker sends in a second, at most, to replicas that catch up, while a rebalance runs that asked for it; 0:
    /// no limit.</summary>
    public long CatchUpMaxBytesPerSecond { get; init; }

    /// <summary>The brokers that are registered, by number; also those that are dead.</summary>
    public ImmutableSortedDictionary<int, ImageBroker> Brokers { get; init; } = ImmutableSortedDictionary<int, ImageBroker>.Empty;

    /// <summary>The topics by id; also those that are being created.</summary>
    public ImmutableDictionary<Guid, ImageTopic> Topics { get; private init; } = ImmutableDictionary<Guid, ImageTopic>.Empty;

    /// <summary>The topics' ids by name, in ordinal order.</summary>
    public ImmutableSortedDictionary<string, Guid> Names { get; private init; } =
        ImmutableSortedDictionary.Create<string, Guid>(StringComparer.Ordinal);

    /// <summary>Topics that were deleted, as long as a broker may have something of them on its disk. A topic that is neither here nor in
    /// <see cref="Topics"/> is unknown, and nothing of it is touched: a database restored from a backup deletes no records.</summary>
    public ImmutableHashSet<Guid> Deleted { get; init; } = [];

    /// <summary>The upper half of <see cref="Version"/>: which activation made it.</summary>
    public int Epoch => (int)(Version >> 32);

    /// <summary>The first version of an activation.</summary>
    public static long FirstVersion(int epoch) => (long)epoch << 32;

    /// <summary>The topic of that name, whatever its status.</summary>
    public bool TryGetTopic(string name, [NotNullWhen(true)] out ImageTopic? topic)
    {
        topic = null;
        return Names.TryGetValue(name, out var id) && Topics.TryGetValue(id, out topic);
    }

    /// <summary>The topic of that name, if it is served.</summary>
    public ImageTopic? FindServed(string name) => TryGetTopic(name, out var topic) && topic.Status == TopicStatus.Active ? topic : null;

    /// <summary>The partition, with its topic.</summary>
    public bool TryGetPartition(ReplicaKey key, [NotNullWhen(true)] out ImageTopic? topic,
        [NotNullWhen(true)] out ImagePartition? partition)
    {
        partition = null;
        if (!Topics.TryGetValue(key.TopicId, out topic) || (uint)key.Partition >= (uint)topic.Partitions.Length)
            return false;
        partition = topic.Partitions[key.Partition];
        return true;
    }

    /// <summary>Whether a broker is registered and alive.</summary>
    public bool IsAlive(int broker) => Brokers.TryGetValue(broker, out var found) && found.IsAlive;

    /// <summary>Whether no live broker has anything of a topic any more. Brokers that never held any of it confirm at once: all may have
    /// done so before the deletion was stored, and then nobody has to remember it, nor who confirmed.</summary>
    /// <param name="topicId">The topic.</param>
    /// <param name="live">The brokers that are alive.</param>
    /// <param name="hasConfirmed">Whether a broker said that it has nothing of the topic.</param>
    public bool IsGone(Guid topicId, IEnumerable<int> live, Func<int, bool> hasConfirmed) =>
        !Topics.ContainsKey(topicId) && (!Deleted.Contains(topicId) || live.All(hasConfirmed));

    /// <summary>With this topic, instead of the one that had its id or its name.</summary>
    public ClusterImage WithTopic(ImageTopic topic)
    {
        var topics = Topics;
        var names = Names;
        if (names.TryGetValue(topic.Name, out var other) && other != topic.TopicId)
            topics = topics.Remove(other);
        if (topics.TryGetValue(topic.TopicId, out var before) && before.Name != topic.Name)
            names = names.Remove(before.Name);
        return this with { Topics = topics.SetItem(topic.TopicId, topic), Names = names.SetItem(topic.Name, topic.TopicId) };
    }

    /// <summary>Without that topic.</summary>
    public ClusterImage WithoutTopic(Guid topicId) => Topics.TryGetValue(topicId, out var topic)
        ? this with { Topics = Topics.Remove(topicId), Names = Names.Remove(topic.Name) }
        : this;

    /// <summary>With a partition changed; the image as it is where there is no such partition.</summary>
    public ClusterImage WithPartition(ReplicaKey key, ImagePartition partition) => TryGetPartition(key, out var topic, out _)
        ? this with { Topics = Topics.SetItem(key.TopicId, topic with { Partitions = topic.Partitions.SetItem(key.Partition, partition) }) }
        : this;

    /// <summary>All partitions.</summary>
    public IEnumerable<(ImageTopic Topic, int Number, ImagePartition Partition)> AllPartitions()
    {
        foreach (var id in Names.Values)
        {
            var topic = Topics[id];
            for (var number = 0; number < topic.Partitions.Length; number++)
                yield return (topic, number, topic.Partitions[number]);
        }
    }
}

/// <summary>A broker as the cluster knows it.</summary>
/// <param name="Registration">What it said of itself when it last joined.</param>
/// <param name="IsAlive">Whether it is a member of the cluster at the moment.</param>
/// <param name="IsDraining">Whether its replicas move away.</param>
public sealed record ImageBroker(BrokerRegistration Registration, bool IsAlive, bool IsDraining = false)
{
    /// <summary>What it is to the cluster.</summary>
    public BrokerState State => !IsAlive ? BrokerState.Dead : IsDraining ? BrokerState.Draining : BrokerState.Active;

    /// <summary>Whether new replicas may be placed on it.</summary>
    public bool TakesReplicas => IsAlive && !IsDraining;
}

/// <summary>A topic as the cluster knows it.</summary>
/// <param name="Name">Its name.</param>
/// <param name="TopicId">Its id.</param>
/// <param name="Status"><see cref="TopicStatus.Creating"/>: its replicas are being made, clients do not see it yet.</param>
/// <param name="ReplicationFactor">With how many replicas it was created.</param>
/// <param name="Configs">The keys that it sets.</param>
/// <param name="Partitions">By number.</param>
/// <param name="Serving">So many of them are shown to clients; the others are being added.</param>
public sealed record ImageTopic(string Name, Guid TopicId, TopicStatus Status, short ReplicationFactor,
    ImmutableSortedDictionary<string, string> Configs,
    ImmutableArray<ImagePartition> Partitions, int Serving)
{
    /// <summary>The topic in a list.</summary>
    public TopicListing ToListing() => new(Name, TopicId, Serving);

    /// <summary>Whether all but the partitions is the same.</summary>
    internal bool HasSameHead(ImageTopic other) => Name == other.Name && TopicId == other.TopicId && Status == other.Status
        && ReplicationFactor == other.ReplicationFactor && Serving == other.Serving && Partitions.Length == other.Partitions.Length
        && (ReferenceEquals(Configs, other.Configs) || Configs.SequenceEqual(other.Configs));
}

/// <summary>A partition as the cluster knows it.</summary>
/// <param name="Leader">Who leads it; -1 where nobody does.</param>
/// <param name="LeaderEpoch">How often leadership was claimed.</param>
/// <param name="Replicas">The brokers that hold it, the preferred leader first.</param>
/// <param name="Isr">In-sync replicas.</param>
/// <param name="Elr">Eligible leader replicas (KIP-966).</param>
/// <param name="Target">The brokers that are to hold it; empty where nothing moves.</param>
public sealed record ImagePartition(int Leader, int LeaderEpoch, ImmutableArray<int> Replicas, ImmutableArray<int> Isr,
    ImmutableArray<int> Elr,
    ImmutableArray<int> Target)
{
    /// <summary>A partition that nobody has led yet.</summary>
    public static ImagePartition Create(ImmutableArray<int> replicas) => new(PartitionState.NoLeader, 0, replicas, [], [], []);

    /// <summary>A partition as its stored state says. Who claimed last is taken for the leader where that broker is alive.</summary>
    /// <param name="state">What is stored.</param>
    /// <param name="isAlive">Whether a broker is alive.</param>
    public static ImagePartition Of(PartitionState state, Func<int, bool> isAlive) => new(
        state.Leader >= 0 && isAlive(state.Leader) ? state.Leader : PartitionState.NoLeader, state.LeaderEpoch, state.Replicas,
        [.. state.Isr.Select(member => member.Broker)], [.. state.Elr.Select(member => member.Broker)],
        state.Reassignment);

    /// <summary>Every broker that is to hold it now or soon.</summary>
    public IEnumerable<int> Holders => Target.IsEmpty ? Replicas : Replicas.Union(Target);

    /// <inheritdoc/>
    public bool Equals(ImagePartition? other) => other is not null && Leader == other.Leader && LeaderEpoch == other.LeaderEpoch
        && Replicas.AsSpan().SequenceEqual(other.Replicas.AsSpan()) && Isr.AsSpan().SequenceEqual(other.Isr.AsSpan())
        && Elr.AsSpan().SequenceEqual(other.Elr.AsSpan()) && Target.AsSpan().SequenceEqual(other.Target.AsSpan());

    /// <inheritdoc/>
    public override int GetHashCode() => HashCode.Combine(Leader, LeaderEpoch, Replicas.Length, Isr.Length);
}
