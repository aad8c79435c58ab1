using OrleansMq.Replication;

namespace OrleansMq.Grains.Replication;

/// <summary>A <see cref="ReplicaKey"/> between silos.</summary>
[GenerateSerializer, Immutable]
[Alias("omq.ReplicaKey.1")]
internal readonly record struct ReplicaKeyRecord([property: Id(0)] Guid TopicId, [property: Id(1)] int Partition)
{
    public static implicit operator ReplicaKeyRecord(ReplicaKey key) => new(key.TopicId, key.Partition);

    public static implicit operator ReplicaKey(ReplicaKeyRecord key) => new(key.TopicId, key.Partition);
}

/// <summary>A <see cref="ReplicaReport"/> between silos.</summary>
[GenerateSerializer, Immutable]
[Alias("omq.ReplicaReport.1")]
internal sealed record ReplicaReportRecord
{
    [Id(0)] public required ReplicaKeyRecord Key { get; init; }
    [Id(1)] public required int Broker { get; init; }
    [Id(2)] public required Guid Incarnation { get; init; }
    [Id(3)] public required int Role { get; init; }
    [Id(4)] public required int Leader { get; init; }
    [Id(5)] public required int LeaderEpoch { get; init; }
    [Id(6)] public required int LastEpoch { get; init; }
    [Id(7)] public required long LogStartOffset { get; init; }
    [Id(8)] public required long LogEndOffset { get; init; }
    [Id(9)] public required long HighWatermark { get; init; }
    [Id(10)] public string? OfflineReason { get; init; }

    public static ReplicaReportRecord Of(ReplicaReport report) => new()
    {
        Key = report.Key,
        Broker = report.Identity.Broker,
        Incarnation = report.Identity.Incarnation,
        Role = (int)report.Role,
        Leader = report.Leader,
        LeaderEpoch = report.LeaderEpoch,
        LastEpoch = report.LastEpoch,
        LogStartOffset = report.LogStartOffset,
        LogEndOffset = report.LogEndOffset,
        HighWatermark = report.HighWatermark,
        OfflineReason = report.OfflineReason,
    };

    public ReplicaReport ToReport() => new(Key, new ReplicaIdentity(Broker, Incarnation), (ReplicaRole)Role, Leader, LeaderEpoch, LastEpoch,
        LogStartOffset, LogEndOffset, HighWatermark, OfflineReason);
}
