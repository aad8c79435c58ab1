using OrleansMq.Api;

namespace OrleansMq.Grains.Serialization;

/// <summary>The wire form of <see cref="TopicPartitions"/> between silos.</summary>
[GenerateSerializer, Immutable]
[Alias("omq.TopicPartitions.1")]
internal struct TopicPartitionsSurrogate
{
    [Id(0)] public Guid TopicId;
    [Id(1)] public int[] Partitions;
}

[RegisterConverter]
internal sealed class TopicPartitionsConverter : IConverter<TopicPartitions, TopicPartitionsSurrogate>
{
    public TopicPartitions ConvertFromSurrogate(in TopicPartitionsSurrogate surrogate) =>
        new(surrogate.TopicId, surrogate.Partitions);

    public TopicPartitionsSurrogate ConvertToSurrogate(in TopicPartitions value) => new()
    {
        TopicId = value.TopicId,
        Partitions = [.. value.Partitions],
    };
}

/// <summary>The wire form of <see cref="ConsumerGroupHeartbeat"/> between silos.</summary>
[GenerateSerializer, Immutable]
[Alias("omq.ConsumerGroupHeartbeat.1")]
internal struct ConsumerGroupHeartbeatSurrogate
{
    [Id(0)] public string GroupId;
    [Id(1)] public string MemberId;
    [Id(2)] public int MemberEpoch;
    [Id(3)] public string? InstanceId;
    [Id(4)] public string? RackId;
    [Id(5)] public TimeSpan? RebalanceTimeout;
    [Id(6)] public string[]? SubscribedTopicNames;
    [Id(7)] public string? SubscribedTopicRegex;
    [Id(8)] public string? ServerAssignor;
    [Id(9)] public TopicPartitions[]? OwnedPartitions;
    [Id(10)] public string ClientId;
    [Id(11)] public string ClientHost;
    [Id(12)] public TimeSpan MaxWait;
    [Id(13)] public long Sequence;
    [Id(14)] public bool IsRepeated;
    [Id(15)] public bool TakesOverInstance;
    [Id(16)] public TimeSpan? SessionTimeout;
    // The subscriber; a principal of null: none.
    [Id(17)] public string? Principal;
    [Id(18)] public string? SessionClientId;
    [Id(19)] public string? Listener;
    [Id(20)] public string? Host;
    [Id(21)] public int Protocol;
}

[RegisterConverter]
internal sealed class ConsumerGroupHeartbeatConverter : IConverter<ConsumerGroupHeartbeat, ConsumerGroupHeartbeatSurrogate>
{
    public ConsumerGroupHeartbeat ConvertFromSurrogate(in ConsumerGroupHeartbeatSurrogate surrogate) => new()
    {
        GroupId = surrogate.GroupId,
        MemberId = surrogate.MemberId,
        MemberEpoch = surrogate.MemberEpoch,
        InstanceId = surrogate.InstanceId,
        RackId = surrogate.RackId,
        RebalanceTimeout = surrogate.RebalanceTimeout,
        SubscribedTopicNames = surrogate.SubscribedTopicNames,
        SubscribedTopicRegex = surrogate.SubscribedTopicRegex,
        ServerAssignor = surrogate.ServerAssignor,
        OwnedPartitions = surrogate.OwnedPartitions,
        ClientId = surrogate.ClientId,
        ClientHost = surrogate.ClientHost,
        MaxWait = surrogate.MaxWait,
        Sequence = surrogate.Sequence,
        IsRepeated = surrogate.IsRepeated,
        TakesOverInstance = surrogate.TakesOverInstance,
        SessionTimeout = surrogate.SessionTimeout,
        Subscriber = surrogate.Principal is { } principal
            ? new Subscriber(principal, surrogate.SessionClientId ?? "", surrogate.Listener ?? "", surrogate.Host ?? "", surrogate.Protocol)
            : null,
    };

    public ConsumerGroupHeartbeatSurrogate ConvertToSurrogate(in ConsumerGroupHeartbeat value) => new()
    {
        GroupId = value.GroupId,
        MemberId = value.MemberId,
        MemberEpoch = value.MemberEpoch,
        InstanceId = value.InstanceId,
        RackId = value.RackId,
        RebalanceTimeout = value.RebalanceTimeout,
        SubscribedTopicNames = value.SubscribedTopicNames?.ToArray(),
        SubscribedTopicRegex = value.SubscribedTopicRegex,
        ServerAssignor = value.ServerAssignor,
        OwnedPartitions = value.OwnedPartitions?.ToArray(),
        ClientId = value.ClientId,
        ClientHost = value.ClientHost,
        MaxWait = value.MaxWait,
        Sequence = value.Sequence,
        IsRepeated = value.IsRepeated,
        TakesOverInstance = value.TakesOverInstance,
        SessionTimeout = value.SessionTimeout,
        Principal = value.Subscriber?.Principal,
        SessionClientId = value.Subscriber?.ClientId,
        Listener = value.Subscriber?.Listener,
        Host = value.Subscriber?.Host,
        Protocol = value.Subscriber?.Protocol ?? 0,
    };
}

/// <summary>The wire form of <see cref="ConsumerGroupHeartbeatResult"/> between silos.</summary>
[GenerateSerializer, Immutable]
[Alias("omq.ConsumerGroupHeartbeatResult.1")]
internal struct ConsumerGroupHeartbeatResultSurrogate
{
    [Id(0)] public short Error;
    [Id(1)] public string? Message;
    [Id(2)] public string? MemberId;
    [Id(3)] public int MemberEpoch;
    [Id(4)] public TimeSpan HeartbeatInterval;
    [Id(5)] public TopicPartitions[]? Assignment;
    [Id(6)] public TimeSpan SessionTimeout;
}

[RegisterConverter]
internal sealed class ConsumerGroupHeartbeatResultConverter
: IConverter<ConsumerGroupHeartbeatResult, ConsumerGroupHeartbeatResultSurrogate>
{
    public ConsumerGroupHeartbeatResult ConvertFromSurrogate(in ConsumerGroupHeartbeatResultSurrogate surrogate) => new()
    {
        Error = (ErrorCode)surrogate.Error,
        Message = surrogate.Message,
        MemberId = surrogate.MemberId,
        MemberEpoch = surrogate.MemberEpoch,
        HeartbeatInterval = surrogate.HeartbeatInterval,
        SessionTimeout = surrogate.SessionTimeout,
        Assignment = surrogate.Assignment,
    };

    public ConsumerGroupHeartbeatResultSurrogate ConvertToSurrogate(in ConsumerGroupHeartbeatResult value) => new()
    {
        Error = (short)value.Error,
        Message = value.Message,
        MemberId = value.MemberId,
        MemberEpoch = value.MemberEpoch,
        HeartbeatInterval = value.HeartbeatInterval,
        SessionTimeout = value.SessionTimeout,
        Assignment = value.Assignment?.ToArray(),
    };
}
