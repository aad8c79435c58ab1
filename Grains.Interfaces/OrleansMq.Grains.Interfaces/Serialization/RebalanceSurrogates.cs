using OrleansMq.Api;

namespace OrleansMq.Grains.Serialization;

/// <summary>The wire form of <see cref="RebalancePlan"/> between silos.</summary>
[GenerateSerializer, Immutable]
[Alias("omq.RebalancePlan.1")]
internal struct RebalancePlanSurrogate
{
    [Id(0)] public string PlanId;
    [Id(1)] public RebalanceMove[] Moves;
    [Id(2)] public BrokerShare[] Shares;
    [Id(3)] public string Summary;
}

[RegisterConverter]
internal sealed class RebalancePlanConverter : IConverter<RebalancePlan, RebalancePlanSurrogate>
{
    public RebalancePlan ConvertFromSurrogate(in RebalancePlanSurrogate surrogate) =>
        new(surrogate.PlanId, surrogate.Moves, surrogate.Shares, surrogate.Summary);

    public RebalancePlanSurrogate ConvertToSurrogate(in RebalancePlan value) => new()
    {
        PlanId = value.PlanId,
        Moves = [.. value.Moves],
        Shares = [.. value.Shares],
        Summary = value.Summary,
    };
}

/// <summary>The wire form of <see cref="RebalanceMove"/> between silos.</summary>
[GenerateSerializer, Immutable]
[Alias("omq.RebalanceMove.1")]
internal struct RebalanceMoveSurrogate
{
    [Id(0)] public string Topic;
    [Id(1)] public int Partition;
    [Id(2)] public int[] From;
    [Id(3)] public int[] To;
    [Id(4)] public string Reason;
}

[RegisterConverter]
internal sealed class RebalanceMoveConverter : IConverter<RebalanceMove, RebalanceMoveSurrogate>
{
    public RebalanceMove ConvertFromSurrogate(in RebalanceMoveSurrogate surrogate) =>
        new(surrogate.Topic, surrogate.Partition, surrogate.From, surrogate.To, surrogate.Reason);

    public RebalanceMoveSurrogate ConvertToSurrogate(in RebalanceMove value) => new()
    {
        Topic = value.Topic,
        Partition = value.Partition,
        From = [.. value.From],
        To = [.. value.To],
        Reason = value.Reason,
    };
}

/// <summary>The wire form of <see cref="BrokerShare"/> between silos.</summary>
[GenerateSerializer, Immutable]
[Alias("omq.BrokerShare.1")]
internal struct BrokerShareSurrogate
{
    [Id(0)] public int BrokerId;
    [Id(1)] public int ReplicasBefore;
    [Id(2)] public int ReplicasAfter;
    [Id(3)] public int PreferredLeadersBefore;
    [Id(4)] public int PreferredLeadersAfter;
}

[RegisterConverter]
internal sealed class BrokerShareConverter : IConverter<BrokerShare, BrokerShareSurrogate>
{
    public BrokerShare ConvertFromSurrogate(in BrokerShareSurrogate surrogate) =>
        new(surrogate.BrokerId, surrogate.ReplicasBefore, surrogate.ReplicasAfter, surrogate.PreferredLeadersBefore,
            surrogate.PreferredLeadersAfter);

    public BrokerShareSurrogate ConvertToSurrogate(in BrokerShare value) => new()
    {
        BrokerId = value.BrokerId,
        ReplicasBefore = value.ReplicasBefore,
        ReplicasAfter = value.ReplicasAfter,
        PreferredLeadersBefore = value.PreferredLeadersBefore,
        PreferredLeadersAfter = value.PreferredLeadersAfter,
    };
}

/// <summary>The wire form of <see cref="RebalanceThrottle"/> between silos.</summary>
[GenerateSerializer, Immutable]
[Alias("omq.RebalanceThrottle.1")]
internal struct RebalanceThrottleSurrogate
{
    [Id(0)] public int MaxPartitions;
    [Id(1)] public long MaxBytesPerSecond;
}

[RegisterConverter]
internal sealed class RebalanceThrottleConverter : IConverter<RebalanceThrottle, RebalanceThrottleSurrogate>
{
    public RebalanceThrottle ConvertFromSurrogate(in RebalanceThrottleSurrogate surrogate) =>
        new(surrogate.MaxPartitions, surrogate.MaxBytesPerSecond);

    public RebalanceThrottleSurrogate ConvertToSurrogate(in RebalanceThrottle value) => new()
    {
        MaxPartitions = value.MaxPartitions,
        MaxBytesPerSecond = value.MaxBytesPerSecond,
    };
}

/// <summary>The wire form of <see cref="RebalanceStatus"/> between silos.</summary>
[GenerateSerializer, Immutable]
[Alias("omq.RebalanceStatus.1")]
internal struct RebalanceStatusSurrogate
{
    [Id(0)] public string PlanId;
    [Id(1)] public int State;
    [Id(2)] public string Reason;
    [Id(3)] public RebalanceThrottle Throttle;
    [Id(4)] public int Moves;
    [Id(5)] public int Done;
    [Id(6)] public int Skipped;
    [Id(7)] public PartitionReassignment[] Moving;
    [Id(8)] public DateTimeOffset StartedAt;
    [Id(9)] public DateTimeOffset? FinishedAt;
    [Id(10)] public string? Message;
}

[RegisterConverter]
internal sealed class RebalanceStatusConverter : IConverter<RebalanceStatus, RebalanceStatusSurrogate>
{
    public RebalanceStatus ConvertFromSurrogate(in RebalanceStatusSurrogate surrogate) =>
        new(surrogate.PlanId, (RebalanceState)surrogate.State, surrogate.Reason, surrogate.Throttle, surrogate.Moves,
            surrogate.Done, surrogate.Skipped, surrogate.Moving, surrogate.StartedAt, surrogate.FinishedAt,
            surrogate.Message);

    public RebalanceStatusSurrogate ConvertToSurrogate(in RebalanceStatus value) => new()
    {
        PlanId = value.PlanId,
        State = (int)value.State,
        Reason = value.Reason,
        Throttle = value.Throttle,
        Moves = value.Moves,
        Done = value.Done,
        Skipped = value.Skipped,
        Moving = [.. value.Moving],
        StartedAt = value.StartedAt,
        FinishedAt = value.FinishedAt,
        Message = value.Message,
    };
}
