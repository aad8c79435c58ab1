using System.Text.Json;
using System.Text.Json.Serialization;

namespace OrleansMq.Api;

/// <summary>A cluster; the standalone host is a cluster of one broker.</summary>
/// <param name="ClusterId">Generated when the data directory was first used, or configured on all brokers of a cluster.</param>
/// <param name="Flavour"><c>cluster</c> or <c>standalone</c>.</param>
/// <param name="Brokers">The brokers, ordered by id: those alive, and dead ones that are still registered.</param>
/// <param name="Controller">The broker that currently holds the topic catalogue; -1 if unknown.</param>
/// <param name="MetadataVersion">Increases with every change of brokers, topics, leaders or in-sync replicas; 0 without
/// replication.</param>
/// <param name="Topics">Number of topics.</param>
/// <param name="Partitions">Number of partitions.</param>
/// <param name="UnderReplicatedPartitions">Partitions with fewer in-sync replicas than replicas; null without replication.</param>
/// <param name="OfflinePartitions">Partitions without a leader; null without replication.</param>
/// <param name="BelowMinInSyncPartitions">Partitions with fewer in-sync replicas than <c>min.insync.replicas</c>, which reject
/// <c>acks=all</c>; null without replication.</param>
/// <param name="AutoRebalance">Whether a joining broker is given its share of replicas automatically.</param>
public sealed record ClusterDescription(string ClusterId, string Flavour, IReadOnlyList<BrokerDescription> Brokers, int Controller = -1,
    long MetadataVersion = 0, int Topics = 0, int Partitions = 0,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] IReadOnlyList<TopicPartition>? UnderReplicatedPartitions = null,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] IReadOnlyList<TopicPartition>? OfflinePartitions = null,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] IReadOnlyList<TopicPartition>? BelowMinInSyncPartitions = null,
    bool AutoRebalance = false);

/// <summary>The state of a broker in the cluster. Serialized to JSON as its lower-case name.</summary>
[JsonConverter(typeof(BrokerStateConverter))]
public enum BrokerState
{
    /// <summary>Unknown.</summary>
    Unknown = 0,
    /// <summary>Alive; new replicas may be placed on it.</summary>
    Active = 1,
    /// <summary>Alive; its leaderships and replicas are being moved away, and it receives no new ones.</summary>
    Draining = 2,
    /// <summary>Not alive. Its replicas are expected to return with it.</summary>
    Dead = 3,
}

/// <summary>A broker of the cluster.</summary>
/// <param name="BrokerId">The broker's id.</param>
/// <param name="Version">The version of the broker program.</param>
/// <param name="OnlinePartitions">Partitions that the broker holds and that are online.</param>
/// <param name="OfflinePartitions">Partitions whose storage failed.</param>
/// <param name="DataDirectory">The data directory, on the broker's own machine.</param>
/// <param name="State">The broker's state in the cluster.</param>
/// <param name="Rack">The failure domain that the broker belongs to; null if not configured.</param>
/// <param name="Host">The host name under which it is reached; null if unknown.</param>
/// <param name="Http">Host and port of its HTTP API; null if unknown.</param>
/// <param name="Kafka">Host and port of its Kafka listener; null without one.</param>
/// <param name="Orleans">Host and port of its silo; null if unknown.</param>
/// <param name="Leaders">Number of partitions that it leads.</param>
/// <param name="PreferredLeaders">Number of partitions of which it is the first replica.</param>
/// <param name="Replicas">Number of partitions of which it is assigned a replica.</param>
public sealed record BrokerDescription(int BrokerId, string Version, int OnlinePartitions, int OfflinePartitions, string DataDirectory,
    BrokerState State = BrokerState.Active, string? Rack = null, string? Host = null, string? Http = null, string? Kafka = null,
    string? Orleans = null,
    int Leaders = 0, int PreferredLeaders = 0, int Replicas = 0);

/// <summary>Converts a <see cref="BrokerState"/> to JSON, for example <c>"active"</c>.</summary>
public sealed class BrokerStateConverter() : JsonStringEnumConverter<BrokerState>(JsonNamingPolicy.CamelCase, allowIntegerValues: false);

/// <summary>A partition whose replicas are being moved.</summary>
/// <param name="Topic">The topic's name.</param>
/// <param name="Partition">The partition's number.</param>
/// <param name="Target">The brokers that will hold it, the preferred leader first.</param>
/// <param name="Replicas">The brokers that currently hold it.</param>
/// <param name="Adding">Brokers of <paramref name="Target"/> that are not in sync yet.</param>
/// <param name="Removing">Brokers that leave once the added ones are in sync.</param>
public sealed record PartitionReassignment(string Topic, int Partition, IReadOnlyList<int> Target, IReadOnlyList<int> Replicas,
    IReadOnlyList<int> Adding, IReadOnlyList<int> Removing);

/// <summary>The result of an election in one partition.</summary>
/// <param name="Topic">The topic's name.</param>
/// <param name="Partition">The partition's number.</param>
/// <param name="Leader">The current leader; -1 for none.</param>
/// <param name="Error">Serialized to JSON by name. <see cref="ErrorCode.None"/>: the requested leader leads.
/// <see cref="ErrorCode.ElectionNotNeeded"/>: it led already.</param>
/// <param name="Message">On error, why the election failed and how to fix it. After an unclean election, what was lost.</param>
public sealed record LeaderElection(string Topic, int Partition, int Leader,
    [property: JsonConverter(typeof(JsonStringEnumConverter<ErrorCode>))] ErrorCode Error = ErrorCode.None, string? Message = null);
