using OrleansMq.Api;

namespace OrleansMq.Grains.Serialization;

/// <summary>The wire form of <see cref="CommittedOffset"/> between silos.</summary>
[GenerateSerializer, Immutable]
[Alias("omq.CommittedOffset.1")]
internal struct CommittedOffsetSurrogate
{
    [Id(0)] public long Offset;
    [Id(1)] public int LeaderEpoch;
    [Id(2)] public string Metadata;
    [Id(3)] public long CommitTimestamp;
}

[RegisterConverter]
internal sealed class CommittedOffsetConverter : IConverter<CommittedOffset, CommittedOffsetSurrogate>
{
    public CommittedOffset ConvertFromSurrogate(in CommittedOffsetSurrogate surrogate) =>
        new(surrogate.Offset, surrogate.LeaderEpoch, surrogate.Metadata, surrogate.CommitTimestamp);

    public CommittedOffsetSurrogate ConvertToSurrogate(in CommittedOffset value) => new()
    {
        Offset = value.Offset,
        LeaderEpoch = value.LeaderEpoch,
        Metadata = value.Metadata,
        CommitTimestamp = value.CommitTimestamp,
    };
}

/// <summary>The wire form of <see cref="PartitionOffset"/> between silos.</summary>
[GenerateSerializer, Immutable]
[Alias("omq.PartitionOffset.1")]
internal struct PartitionOffsetSurrogate
{
    [Id(0)] public string? Topic;
    [Id(1)] public int Partition;
    [Id(2)] public CommittedOffset Offset;
    [Id(3)] public Guid TopicId;
}

[RegisterConverter]
internal sealed class PartitionOffsetConverter : IConverter<PartitionOffset, PartitionOffsetSurrogate>
{
    public PartitionOffset ConvertFromSurrogate(in PartitionOffsetSurrogate surrogate) =>
        new(surrogate.Topic, surrogate.Partition, surrogate.Offset, surrogate.TopicId);

    public PartitionOffsetSurrogate ConvertToSurrogate(in PartitionOffset value) => new()
    {
        Topic = value.Topic,
        Partition = value.Partition,
        Offset = value.Offset,
        TopicId = value.TopicId,
    };
}

/// <summary>The wire form of <see cref="OffsetCommit"/> between silos.</summary>
[GenerateSerializer, Immutable]
[Alias("omq.OffsetCommit.1")]
internal struct OffsetCommitSurrogate
{
    [Id(0)] public string GroupId;
    [Id(1)] public int GenerationIdOrMemberEpoch;
    [Id(2)] public string MemberId;
    [Id(3)] public string? GroupInstanceId;
    [Id(4)] public PartitionOffset[] Offsets;
}

[RegisterConverter]
internal sealed class OffsetCommitConverter : IConverter<OffsetCommit, OffsetCommitSurrogate>
{
    public OffsetCommit ConvertFromSurrogate(in OffsetCommitSurrogate surrogate) => new()
    {
        GroupId = surrogate.GroupId,
        GenerationIdOrMemberEpoch = surrogate.GenerationIdOrMemberEpoch,
        MemberId = surrogate.MemberId,
        GroupInstanceId = surrogate.GroupInstanceId,
        Offsets = surrogate.Offsets,
    };

    public OffsetCommitSurrogate ConvertToSurrogate(in OffsetCommit value) => new()
    {
        GroupId = value.GroupId,
        GenerationIdOrMemberEpoch = value.GenerationIdOrMemberEpoch,
        MemberId = value.MemberId,
        GroupInstanceId = value.GroupInstanceId,
        Offsets = [.. value.Offsets],
    };
}

/// <summary>The wire form of <see cref="PartitionError"/> between silos.</summary>
[GenerateSerializer, Immutable]
[Alias("omq.PartitionError.1")]
internal struct PartitionErrorSurrogate
{
    [Id(0)] public string? Topic;
    [Id(1)] public int Partition;
    [Id(2)] public short Error;
    [Id(3)] public Guid TopicId;
}

[RegisterConverter]
internal sealed class PartitionErrorConverter : IConverter<PartitionError, PartitionErrorSurrogate>
{
    public PartitionError ConvertFromSurrogate(in PartitionErrorSurrogate surrogate) =>
        new(surrogate.Topic, surrogate.Partition, (ErrorCode)surrogate.Error, surrogate.TopicId);

    public PartitionErrorSurrogate ConvertToSurrogate(in PartitionError value) => new()
    {
        Topic = value.Topic,
        Partition = value.Partition,
        Error = (short)value.Error,
        TopicId = value.TopicId,
    };
}

/// <summary>The wire form of <see cref="OffsetCommitResult"/> between silos.</summary>
[GenerateSerializer, Immutable]
[Alias("omq.OffsetCommitResult.1")]
internal struct OffsetCommitResultSurrogate
{
    [Id(0)] public PartitionError[] Partitions;
    [Id(1)] public string? Message;
}

[RegisterConverter]
internal sealed class OffsetCommitResultConverter : IConverter<OffsetCommitResult, OffsetCommitResultSurrogate>
{
    public OffsetCommitResult ConvertFromSurrogate(in OffsetCommitResultSurrogate surrogate) =>
        new(surrogate.Partitions, surrogate.Message);

    public OffsetCommitResultSurrogate ConvertToSurrogate(in OffsetCommitResult value) => new()
    {
        Partitions = [.. value.Partitions],
        Message = value.Message,
    };
}

/// <summary>The wire form of <see cref="OffsetFetch"/> between silos.</summary>
[GenerateSerializer, Immutable]
[Alias("omq.OffsetFetch.1")]
internal struct OffsetFetchSurrogate
{
    [Id(0)] public string GroupId;
    [Id(1)] public TopicPartition[]? Partitions;
    [Id(2)] public string? MemberId;
    [Id(3)] public int MemberEpoch;
    [Id(4)] public bool RequireStable;
    [Id(5)] public bool AllowStale;
}

[RegisterConverter]
internal sealed class OffsetFetchConverter : IConverter<OffsetFetch, OffsetFetchSurrogate>
{
    public OffsetFetch ConvertFromSurrogate(in OffsetFetchSurrogate surrogate) => new()
    {
        GroupId = surrogate.GroupId,
        Partitions = surrogate.Partitions,
        MemberId = surrogate.MemberId,
        MemberEpoch = surrogate.MemberEpoch,
        RequireStable = surrogate.RequireStable,
        AllowStale = surrogate.AllowStale,
    };

    public OffsetFetchSurrogate ConvertToSurrogate(in OffsetFetch value) => new()
    {
        GroupId = value.GroupId,
        Partitions = value.Partitions?.ToArray(),
        MemberId = value.MemberId,
        MemberEpoch = value.MemberEpoch,
        RequireStable = value.RequireStable,
        AllowStale = value.AllowStale,
    };
}

/// <summary>The wire form of <see cref="OffsetFetchResult"/> between silos.</summary>
[GenerateSerializer, Immutable]
[Alias("omq.OffsetFetchResult.1")]
internal struct OffsetFetchResultSurrogate
{
    [Id(0)] public short Error;
    [Id(1)] public FetchedOffset[] Partitions;
    [Id(2)] public string? Message;
}

[RegisterConverter]
internal sealed class OffsetFetchResultConverter : IConverter<OffsetFetchResult, OffsetFetchResultSurrogate>
{
    public OffsetFetchResult ConvertFromSurrogate(in OffsetFetchResultSurrogate surrogate) =>
        new((ErrorCode)surrogate.Error, surrogate.Partitions, surrogate.Message);

    public OffsetFetchResultSurrogate ConvertToSurrogate(in OffsetFetchResult value) => new()
    {
        Error = (short)value.Error,
        Partitions = [.. value.Partitions],
        Message = value.Message,
    };
}

/// <summary>The wire form of <see cref="FetchedOffset"/> between silos.</summary>
[GenerateSerializer, Immutable]
[Alias("omq.FetchedOffset.1")]
internal struct FetchedOffsetSurrogate
{
    [Id(0)] public TopicPartition Partition;
    [Id(1)] public Guid TopicId;
    [Id(2)] public CommittedOffset? Offset;
    [Id(3)] public short Error;
}

[RegisterConverter]
internal sealed class FetchedOffsetConverter : IConverter<FetchedOffset, FetchedOffsetSurrogate>
{
    public FetchedOffset ConvertFromSurrogate(in FetchedOffsetSurrogate surrogate) =>
        new(surrogate.Partition, surrogate.TopicId, surrogate.Offset, (ErrorCode)surrogate.Error);

    public FetchedOffsetSurrogate ConvertToSurrogate(in FetchedOffset value) => new()
    {
        Partition = value.Partition,
        TopicId = value.TopicId,
        Offset = value.Offset,
        Error = (short)value.Error,
    };
}

/// <summary>The wire form of <see cref="OffsetDelete"/> between silos.</summary>
[GenerateSerializer, Immutable]
[Alias("omq.OffsetDelete.1")]
internal struct OffsetDeleteSurrogate
{
    [Id(0)] public string GroupId;
    [Id(1)] public TopicPartition[] Partitions;
}

[RegisterConverter]
internal sealed class OffsetDeleteConverter : IConverter<OffsetDelete, OffsetDeleteSurrogate>
{
    public OffsetDelete ConvertFromSurrogate(in OffsetDeleteSurrogate surrogate) =>
        new(surrogate.GroupId, surrogate.Partitions);

    public OffsetDeleteSurrogate ConvertToSurrogate(in OffsetDelete value) => new()
    {
        GroupId = value.GroupId,
        Partitions = [.. value.Partitions],
    };
}

/// <summary>The wire form of <see cref="OffsetDeleteResult"/> between silos.</summary>
[GenerateSerializer, Immutable]
[Alias("omq.OffsetDeleteResult.1")]
internal struct OffsetDeleteResultSurrogate
{
    [Id(0)] public short Error;
    [Id(1)] public PartitionError[] Partitions;
    [Id(2)] public string? Message;
}

[RegisterConverter]
internal sealed class OffsetDeleteResultConverter : IConverter<OffsetDeleteResult, OffsetDeleteResultSurrogate>
{
    public OffsetDeleteResult ConvertFromSurrogate(in OffsetDeleteResultSurrogate surrogate) =>
        new((ErrorCode)surrogate.Error, surrogate.Partitions, surrogate.Message);

    public OffsetDeleteResultSurrogate ConvertToSurrogate(in OffsetDeleteResult value) => new()
    {
        Error = (short)value.Error,
        Partitions = [.. value.Partitions],
        Message = value.Message,
    };
}
