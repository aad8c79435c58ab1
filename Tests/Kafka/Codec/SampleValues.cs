using OrleansMq.Tests.Kafka.Schemas;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Kafka.Codec;

/// <summary>Fixed values that are valid for a broker with the topic <c>orders</c>. Arrays have one element.</summary>
public sealed class SampleValues(short key, short version, Guid orders) : IFieldValues
{
    private static readonly byte[] SomeBytes = [1, 2, 3];

    public int Length(Field field, bool mayBeNull) => (key, field.Name) switch
    {
        (1 or 78, "ForgottenTopicsData") or (19, "Assignments") => 0,
        (51, "Deletions") => 0,
        (37, "Assignments") => -1,
        _ => 1,
    };

    public bool IsNull(Field field) => true;

    public object? Value(Field field, bool mayBeNull) => Special(field.Name) ?? field.Type switch
    {
        "bool" => false,
        "string" => mayBeNull ? null : Text(field.Name),
        "uuid" => orders,
        "bytes" => SomeBytes,
        "records" => TestBatches.Of("a", "b"),
        _ => (object)Number(field.Name),
    };

    private object? Special(string name) => (key, name) switch
    {
        (11 or 12 or 13 or 14, "MemberId") => "member-1",
        (19, "Name") => "fresh",
        (19 or 33 or 44, "Value") => "1000",
        (20, "Name") => null,
        (32, "ConfigurationKeys") => "retention.ms",
        (3, "Name") => "orders",
        (69, "GroupIds") => "modern",
        (77, "GroupIds") => "workers",
        (24, "V3AndBelowProducerId") or (25 or 26 or 27 or 28, "ProducerId") or (66, "ProducerIdFilters") => 7,
        (24, "V3AndBelowProducerEpoch") or (25 or 26 or 27 or 28, "ProducerEpoch") => 0,
        (27, "CoordinatorEpoch" or "TransactionVersion") => 2,
        (66, "StateFilters") => "Ongoing",
        (17, "Mechanism") => "PLAIN",
        (29, "PrincipalFilter") or (30, "Principal") or (31, "PrincipalFilter") => "User:alice",
        (30, "Host") => "*",
        (29 or 30 or 31, "ResourceType" or "ResourceTypeFilter") => 2,
        (29 or 30 or 31, "PatternType" or "PatternTypeFilter" or "ResourcePatternType" or "Operation" or "PermissionType") => 3,
        (48 or 49, "EntityType") => "user",
        (48, "MatchType") => 2,
        (49, "Key") => "producer_byte_rate",
        (49, "Value") => 1024.0,
        (50 or 51, "Name") => "alice",
        (51, "Mechanism") => 1,
        (51, "Iterations") => 4096,
        (51, "SaltedPassword") => new byte[32],
        _ => null,
    };

    private string Text(string name) => name switch
    {
        "Name" when key is 33 or 44 => "retention.ms",
        "Name" when key is 11 => "range",
        "Name" or "Topic" or "TopicName" or "Topics" or "TopicNames" or "ResourceName" => "orders",
        "GroupId" or "Key" or "CoordinatorKeys" or "Groups" or "GroupsNames" or "GroupIds" => "readers",
        "ClientSoftwareName" => "golden",
        "ClientSoftwareVersion" => "1.0",
        "ProtocolType" => "consumer",
        _ => "x",
    };

    private long Number(string name) => name switch
    {
        "Acks" or "SessionEpoch" or "CurrentLeaderEpoch" or "LastFetchedEpoch" or "LogStartOffset" or "ReplicaId" or "Timestamp"
            or "ProducerId" or "ProducerEpoch"
            or "RetentionTimeMs" or "MemberEpoch" or "GenerationIdOrMemberEpoch" => -1,
        "MaxBytes" or "PartitionMaxBytes" => 1 << 20,
        "MaxWaitMs" or "SessionId" or "KeyType" or "IsolationLevel" or "ConfigOperation" or "ElectionType" or "FetchOffset"
            or "LeaderEpoch" => 0,
        "Index" or "PartitionIndex" or "PartitionIndexes" or "Partition" or "Partitions" or "Replicas" or "BrokerIds"
            or "CommittedLeaderEpoch" => 0,
        "Count" => 3,
        "NumPartitions" => 2,
        "ReplicationFactor" or "MinBytes" or "GenerationId" or "EndpointType" or "Offset" => 1,
        "ResourceType" or "ResourceTypes" => 2,
        "ResponsePartitionLimit" => 2000,
        "SessionTimeoutMs" or "RebalanceTimeoutMs" => 10_000,
        "CommittedOffset" => 2,
        _ when version >= 0 => 1000,
        _ => 0,
    };
}
