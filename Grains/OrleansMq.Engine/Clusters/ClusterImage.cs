using System.Collections.Immutable;
using System.Diagnostics.CodeAnalysis;
using OrleansMq.Api;
using OrleansMq.Replication;
using OrleansMq.Topics;

namespace OrleansMq.Clusters;

/// <summary>
/// A broker's view of its cluster: the brokers, the topics, the leader and replicas of each partition. Created in one place and sent to
/// every broker as a series of <see cref="ClusterDelta"/>. Immutable. If a partition's leader reports something else about itself, its
/// report is newer.
/// </summary>
internal sealed record ClusterImage
{
    /// <summary>The image before the first delta has arrived.</summary>
    public static ClusterImage Empty { get; } = new();

    /// <summary>Increases with every change. The upper 32 bits increase whenever another activation creates the image; 0 for
    /// <see cref="Empty"/>.</summary>
    public long Version { get; init; }

    /// <summary>The broker on which the image is created; -1 if unknown.</summary>
    public int Controller { get; init; } = -1;

    /// <summary>Whether a joining broker is given its share of replicas automatically.</summary>
    public bool AutoRebalance { get; init; }

    /// <summary>The most bytes per second that each broker sends to replicas that are catching up, while a rebalance with a limit runs; 0
    /// for no limit.</summary>
    public long CatchUpMaxBytesPerSecond { get; init; }

    /// <summary>The registered brokers by id, including dead ones.</summary>
    public ImmutableSortedDictionary<int, ImageBroker> Brokers { get; init; } = ImmutableSortedDictionary<int, ImageBroker>.Empty;

    /// <summary>The topics by id, including those being created.</summary>
    public ImmutableDictionary<Guid, ImageTopic> Topics { get; private init; } = ImmutableDictionary<Guid, ImageTopic>.Empty;

    /// <summary>The topic ids by name, in ordinal order.</summary>
    public ImmutableSortedDictionary<string, Guid> Names { get; private init; } =
        ImmutableSortedDictionary.Create<string, Guid>(StringComparer.Ordinal);

    /// <summary>Deleted topics of which a broker may still have data on disk. A topic that is neither here nor in <see cref="Topics"/> is
    /// unknown, and its data is not touched: a database restored from a backup deletes no records.</summary>
    public ImmutableHashSet<Guid> Deleted { get; init; } = [];

    /// <summary>The upper half of <see cref="Version"/>, which identifies the activation that created it.</summary>
    public int Epoch => (int)(Version >> 32);

    /// <summary>Returns the first version of an activation.</summary>
    public static long FirstVersion(int epoch) => (long)epoch << 32;

    /// <summary>Finds a topic by name, whatever its status.</summary>
    public bool TryGetTopic(string name, [NotNullWhen(true)] out ImageTopic? topic)
    {
        topic = null;
        return Names.TryGetValue(name, out var id) && Topics.TryGetValue(id, out topic);
    }

    /// <summary>Returns the topic of a name if it is served; otherwise null.</summary>
    public ImageTopic? FindServed(string name) => TryGetTopic(name, out var topic) && topic.Status == TopicStatus.Active ? topic : null;

    /// <summary>Finds a partition with its topic.</summary>
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

    /// <summary>Whether no live broker has data of a topic any more. Brokers that never held any confirm at once. If all have confirmed
    /// before the deletion is stored, neither the topic nor the confirmations need to be kept.</summary>
    /// <param name="topicId">The topic.</param>
    /// <param name="live">The live brokers.</param>
    /// <param name="hasConfirmed">Whether a broker has confirmed that it has no data of the topic.</param>
    public bool IsGone(Guid topicId, IEnumerable<int> live, Func<int, bool> hasConfirmed) =>
        !Topics.ContainsKey(topicId) && (!Deleted.Contains(topicId) || live.All(hasConfirmed));

    /// <summary>Returns the image with this topic, replacing one with the same id or name.</summary>
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

    /// <summary>Returns the image without a topic.</summary>
    public ClusterImage WithoutTopic(Guid topicId) => Topics.TryGetValue(topicId, out var topic)
        ? this with { Topics = Topics.Remove(topicId), Names = Names.Remove(topic.Name) }
        : this;

    /// <summary>Returns the image with a changed partition; this instance if the partition does not exist.</summary>
    public ClusterImage WithPartition(ReplicaKey key, ImagePartition partition) => TryGetPartition(key, out var topic, out _)
        ? this with { Topics = Topics.SetItem(key.TopicId, topic with { Partitions = topic.Partitions.SetItem(key.Partition, partition) }) }
        : this;

    /// <summary>Returns all partitions.</summary>
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

/// <summary>A broker in the cluster image.</summary>
/// <param name="Registration">Its registration when it last joined.</param>
/// <param name="IsAlive">Whether it is currently a member of the cluster.</param>
/// <param name="IsDraining">Whether its replicas are being moved away.</param>
internal sealed record ImageBroker(BrokerRegistration Registration, bool IsAlive, bool IsDraining = false)
{
    /// <summary>The broker's state in the cluster.</summary>
    public BrokerState State => !IsAlive ? BrokerState.Dead : IsDraining ? BrokerState.Draining : BrokerState.Active;

    /// <summary>Whether new replicas may be placed on it.</summary>
    public bool TakesReplicas => IsAlive && !IsDraining;
}

/// <summary>A topic in the cluster image.</summary>
/// <param name="Name">Its name.</param>
/// <param name="TopicId">Its id.</param>
/// <param name="Status"><see cref="TopicStatus.Creating"/> while its replicas are being created; clients do not see it yet.</param>
/// <param name="ReplicationFactor">The number of replicas that each of its partitions was given.</param>
/// <param name="Configs">The configuration keys that it sets.</param>
/// <param name="Partitions">The partitions by number.</param>
/// <param name="Serving">The number of partitions that clients see; the others are being added.</param>
internal sealed record ImageTopic(string Name, Guid TopicId, TopicStatus Status, short ReplicationFactor,
    ImmutableSortedDictionary<string, string> Configs, ImmutableArray<ImagePartition> Partitions, int Serving)
{
    /// <summary>The replication factor that it gets when enough brokers have joined; 0 if it has it. See
    /// <see cref="ReplicaGrowth"/>.</summary>
    public short IntendedReplicationFactor { get; init; }

    /// <summary>Converts the topic to a list entry.</summary>
    public TopicListing ToListing() => new(Name, TopicId, Serving);

    /// <summary>Whether everything but the partitions' state is the same.</summary>
    internal bool HasSameHead(ImageTopic other) => Name == other.Name && TopicId == other.TopicId && Status == other.Status
        && ReplicationFactor == other.ReplicationFactor && IntendedReplicationFactor == other.IntendedReplicationFactor
        && Serving == other.Serving && Partitions.Length == other.Partitions.Length
        && (ReferenceEquals(Configs, other.Configs) || Configs.SequenceEqual(other.Configs));
}

/// <summary>A partition in the cluster image.</summary>
/// <param name="Leader">The leader; -1 for none.</param>
/// <param name="LeaderEpoch">How many times leadership was claimed.</param>
/// <param name="Replicas">The brokers that hold it, the preferred leader first.</param>
/// <param name="Isr">In-sync replicas.</param>
/// <param name="Elr">Eligible leader replicas (KIP-966).</param>
/// <param name="Target">The brokers that will hold it; empty if it is not being moved.</param>
internal sealed record ImagePartition(int Leader, int LeaderEpoch, ImmutableArray<int> Replicas, ImmutableArray<int> Isr,
    ImmutableArray<int> Elr, ImmutableArray<int> Target)
{
    /// <summary>Creates a partition that never had a leader.</summary>
    public static ImagePartition Create(ImmutableArray<int> replicas) => new(PartitionState.NoLeader, 0, replicas, [], [], []);

    /// <summary>Creates a partition from its stored state. The last claimant counts as the leader if that broker is alive.</summary>
    /// <param name="state">The stored state.</param>
    /// <param name="isAlive">Whether a broker is alive.</param>
    public static ImagePartition Of(PartitionState state, Func<int, bool> isAlive) => new(
        state.Leader >= 0 && isAlive(state.Leader) ? state.Leader : PartitionState.NoLeader, state.LeaderEpoch, state.Replicas,
        [.. state.Isr.Select(member => member.Broker)], [.. state.Elr.Select(member => member.Broker)],
        state.Reassignment);

    /// <summary>The brokers that hold it, now or after a move.</summary>
    public IEnumerable<int> Holders => Target.IsEmpty ? Replicas : Replicas.Union(Target);

    /// <inheritdoc/>
    public bool Equals(ImagePartition? other) => other is not null && Leader == other.Leader && LeaderEpoch == other.LeaderEpoch
        && Replicas.AsSpan().SequenceEqual(other.Replicas.AsSpan()) && Isr.AsSpan().SequenceEqual(other.Isr.AsSpan())
        && Elr.AsSpan().SequenceEqual(other.Elr.AsSpan()) && Target.AsSpan().SequenceEqual(other.Target.AsSpan());

    /// <inheritdoc/>
    public override int GetHashCode() => HashCode.Combine(Leader, LeaderEpoch, Replicas.Length, Isr.Length);
}
