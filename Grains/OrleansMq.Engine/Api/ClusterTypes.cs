using System.Text.Json;
using System.Text.Json.Serialization;

namespace OrleansMq.Api;

/// <summary>A cluster (of one broker, where standalone).</summary>
/// <param name="ClusterId">Made when the data directory was first used, or given to all brokers of a cluster.</param>
/// <param name="Flavour"><c>cluster</c> or <c>standalone</c>.</param>
/// <param name="Brokers">Its brokers, by number: those that are alive, and those that were and are to come back.</param>
/// <param name="Controller">The broker that keeps the catalogue at the moment; -1 where that is not known.</param>
/// <param name="MetadataVersion">Rises with every change of brokers, topics, leaders and in-sync replicas; 0 where nothing is
/// replicated.</param>
/// <param name="Topics">How many topics there are.</param>
/// <param name="Partitions">How many partitions they have.</param>
/// <param name="UnderReplicatedPartitions">Partitions with fewer in-sync replicas than replicas. Null where nothing is replicated.</param>
/// <param name="OfflinePartitions">Partitions that nobody leads. Null where nothing is replicated.</param>
/// <param name="BelowMinInSyncPartitions">Partitions with fewer in-sync replicas than <c>min.insync.replicas</c>: they refuse
/// <c>acks=all</c>. Null where nothing is replicated.</param>
/// <param name="AutoRebalance">Whether a broker that joins gets its share of replicas by itself.</param>
public sealed record ClusterDescription(string ClusterId, string Flavour, IReadOnlyList<BrokerDescription> Brokers, int Controller = -1,
    long MetadataVersion = 0, int Topics = 0, int Partitions = 0,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] IReadOnlyList<TopicPartition>? UnderReplicatedPartitions = null,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] IReadOnlyList<TopicPartition>? OfflinePartitions = null,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] IReadOnlyList<TopicPartition>? BelowMinInSyncPartitions = null,
    bool AutoRebalance = false);

/// <summary>What a broker is to the cluster. In JSON by name, in lower case.</summary>
[JsonConverter(typeof(BrokerStateConverter))]
public enum BrokerState
{
    /// <summary>Not known.</summary>
    Unknown = 0,
    /// <summary>Alive; new replicas may be placed on it.</summary>
    Active = 1,
    /// <summary>Alive; its leaders and replicas move away, and it gets no new ones.</summary>
    Draining = 2,
    /// <summary>Not alive. Its replicas are expected back with it.</summary>
    Dead = 3,
}

/// <summary>One broker.</summary>
/// <param name="BrokerId">Its number.</param>
/// <param name="Version">The program's version.</param>
/// <param name="OnlinePartitions">Partitions that it holds and that work.</param>
/// <param name="OfflinePartitions">Partitions whose storage failed.</param>
/// <param name="DataDirectory">Where its data lives, on its own machine.</param>
/// <param name="State">What it is to the cluster.</param>
/// <param name="Rack">The part of the installation that fails as one; null where none was given.</param>
/// <param name="Host">The host name it is reached under; null where it is not known.</param>
/// <param name="Http">Host and port of its HTTP API; null where it is not known.</param>
/// <param name="Kafka">Host and port of its Kafka listener; null where it has none.</param>
/// <param name="Orleans">Host and port of its silo; null where it is not known.</param>
/// <param name="Leaders">Partitions that it leads.</param>
/// <param name="PreferredLeaders">Partitions that it is the first replica of.</param>
/// <param name="Replicas">Partitions that it is to hold.</param>
public sealed record BrokerDescription(int BrokerId, string Version, int OnlinePartitions, int OfflinePartitions, string DataDirectory,
    BrokerState State = BrokerState.Active, string? Rack = null, string? Host = null, string? Http = null, string? Kafka = null,
    string? Orleans = null,
    int Leaders = 0, int PreferredLeaders = 0, int Replicas = 0);

/// <summary>Writes a <see cref="BrokerState"/> as <c>"active"</c>.</summary>
public sealed class BrokerStateConverter() : JsonStringEnumConverter<BrokerState>(JsonNamingPolicy.CamelCase, allowIntegerValues: false);

/// <summary>A partition whose replicas move.</summary>
/// <param name="Topic">The topic's name.</param>
/// <param name="Partition">The partition's number.</param>
/// <param name="Target">The brokers that are to hold it, the preferred leader first.</param>
/// <param name="Replicas">The brokers that hold it at the moment.</param>
/// <param name="Adding">Brokers of <paramref name="Target"/> that are not in sync yet.</param>
/// <param name="Removing">Brokers that leave once those are.</param>
public sealed record PartitionReassignment(string Topic, int Partition, IReadOnlyList<int> Target, IReadOnlyList<int> Replicas,
    IReadOnlyList<int> Adding,
    IReadOnlyList<int> Removing);

/// <summary>What became of an election.</summary>
/// <param name="Topic">The topic's name.</param>
/// <param name="Partition">The partition's number.</param>
/// <param name="Leader">Who leads it now; -1 where nobody does.</param>
/// <param name="Error">In JSON by name. <see cref="ErrorCode.None"/>: it leads as asked for. <see cref="ErrorCode.ElectionNotNeeded"/>: it
/// did so before.</param>
/// <param name="Message">On error: why not, and the fix. After an unclean election: what was lost.</param>
public sealed record LeaderElection(string Topic, int Partition, int Leader,
    [property: JsonConverter(typeof(JsonStringEnumConverter<ErrorCode>))] ErrorCode Error = ErrorCode.None, string? Message = null);
