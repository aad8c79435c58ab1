using OrleansMq.Api;

namespace OrleansMq.Grains.Serialization;

/// <summary>The wire form of <see cref="ProduceResult"/> between silos.</summary>
[GenerateSerializer, Immutable]
[Alias("omq.ProduceResult.1")]
internal struct ProduceResultSurrogate
{
    [Id(0)] public short Error;
    [Id(1)] public long BaseOffset;
    [Id(2)] public long LogAppendTime;
    [Id(3)] public long LogStartOffset;
    [Id(4)] public string? Message;
    [Id(5)] public int[]? BadRecords;
}

[RegisterConverter]
internal sealed class ProduceResultConverter : IConverter<ProduceResult, ProduceResultSurrogate>
{
    public ProduceResult ConvertFromSurrogate(in ProduceResultSurrogate surrogate) =>
        new((ErrorCode)surrogate.Error, surrogate.BaseOffset, surrogate.LogAppendTime, surrogate.LogStartOffset, surrogate.Message,
            surrogate.BadRecords);

    public ProduceResultSurrogate ConvertToSurrogate(in ProduceResult value) => new()
    {
        Error = (short)value.Error,
        BaseOffset = value.BaseOffset,
        LogAppendTime = value.LogAppendTime,
        LogStartOffset = value.LogStartOffset,
        Message = value.Message,
        BadRecords = value.BadRecords?.ToArray(),
    };
}

/// <summary>
/// The wire form of <see cref="FetchResult"/> between silos. Marked immutable, so that a call within a silo passes the batches without
/// copying: the grain never touches the memory again.
/// </summary>
[GenerateSerializer, Immutable]
[Alias("omq.FetchResult.1")]
internal struct FetchResultSurrogate
{
    [Id(0)] public short Error;
    [Id(1)] public long HighWatermark;
    [Id(2)] public long LastStableOffset;
    [Id(3)] public long LogStartOffset;
    [Id(4)] public ReadOnlyMemory<byte> Records;
    [Id(5)] public string? Message;
    // An earlier version sends none.
    [Id(6)] public int LeaderEpochPlusOne;
}

[RegisterConverter]
internal sealed class FetchResultConverter : IConverter<FetchResult, FetchResultSurrogate>
{
    public FetchResult ConvertFromSurrogate(in FetchResultSurrogate surrogate) => new((ErrorCode)surrogate.Error, surrogate.HighWatermark,
        surrogate.LastStableOffset, surrogate.LogStartOffset, surrogate.Records, owner: null, surrogate.Message)
    {
        LeaderEpoch = surrogate.LeaderEpochPlusOne - 1,
    };

    public FetchResultSurrogate ConvertToSurrogate(in FetchResult value) => new()
    {
        Error = (short)value.Error,
        HighWatermark = value.HighWatermark,
        LastStableOffset = value.LastStableOffset,
        LogStartOffset = value.LogStartOffset,
        Records = value.Records,
        Message = value.Message,
        LeaderEpochPlusOne = value.LeaderEpoch + 1,
    };
}

/// <summary>The wire form of <see cref="OffsetSpec"/> between silos.</summary>
[GenerateSerializer, Immutable]
[Alias("omq.OffsetSpec.1")]
internal struct OffsetSpecSurrogate
{
    [Id(0)] public long Value;
    [Id(1)] public bool IsCommitted;
}

[RegisterConverter]
internal sealed class OffsetSpecConverter : IConverter<OffsetSpec, OffsetSpecSurrogate>
{
    public OffsetSpec ConvertFromSurrogate(in OffsetSpecSurrogate surrogate) => new(surrogate.Value)
    {
        Isolation = surrogate.IsCommitted ? IsolationLevel.ReadCommitted : IsolationLevel.ReadUncommitted,
    };

    public OffsetSpecSurrogate ConvertToSurrogate(in OffsetSpec value) =>
        new() { Value = value.Value, IsCommitted = value.Isolation == IsolationLevel.ReadCommitted };
}

/// <summary>The wire form of <see cref="OffsetResult"/> between silos.</summary>
[GenerateSerializer, Immutable]
[Alias("omq.OffsetResult.1")]
internal struct OffsetResultSurrogate
{
    [Id(0)] public short Error;
    [Id(1)] public long Offset;
    [Id(2)] public long Timestamp;
    [Id(3)] public int LeaderEpoch;
    [Id(4)] public string? Message;
}

[RegisterConverter]
internal sealed class OffsetResultConverter : IConverter<OffsetResult, OffsetResultSurrogate>
{
    public OffsetResult ConvertFromSurrogate(in OffsetResultSurrogate surrogate) =>
        new((ErrorCode)surrogate.Error, surrogate.Offset, surrogate.Timestamp, surrogate.LeaderEpoch, surrogate.Message);

    public OffsetResultSurrogate ConvertToSurrogate(in OffsetResult value) => new()
    {
        Error = (short)value.Error,
        Offset = value.Offset,
        Timestamp = value.Timestamp,
        LeaderEpoch = value.LeaderEpoch,
        Message = value.Message,
    };
}
