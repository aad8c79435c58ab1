using OrleansMq.Api;

namespace OrleansMq.Grains.Serialization;

/// <summary>The wire form of <see cref="NewSchedule"/> between silos. A silo of a version without repetition would append a repeating
/// record at once: for it the time is far ahead, and its answer shows that it does not repeat.</summary>
[GenerateSerializer, Immutable]
[Alias("omq.NewSchedule.1")]
internal struct NewScheduleSurrogate
{
    [Id(0)] public string Topic;
    [Id(1)] public string? Id;
    [Id(2)] public DateTimeOffset At;
    [Id(3)] public int Partition;
    [Id(4)] public byte[]? Key;
    [Id(5)] public byte[]? Value;
    [Id(6)] public byte[][] HeaderNames;
    [Id(7)] public byte[]?[] HeaderValues;
    [Id(8)] public string? Cron;
    [Id(9)] public string? TimeZone;
    [Id(10)] public DateTimeOffset Begins;
}

[RegisterConverter]
internal sealed class NewScheduleConverter : IConverter<NewSchedule, NewScheduleSurrogate>
{
    private static readonly DateTimeOffset FarAhead = new(9000, 1, 1, 0, 0, 0, TimeSpan.Zero);

    public NewSchedule ConvertFromSurrogate(in NewScheduleSurrogate surrogate) => new(surrogate.Topic)
    {
        Id = surrogate.Id,
        At = surrogate.Cron is null ? surrogate.At : surrogate.Begins,
        Cron = surrogate.Cron,
        TimeZone = surrogate.TimeZone,
        Partition = surrogate.Partition,
        Key = Memory(surrogate.Key),
        Value = Memory(surrogate.Value),
        Headers = [.. surrogate.HeaderNames.Zip(surrogate.HeaderValues, static (name, value) => new RecordHeader(name, Memory(value)))],
    };

    public NewScheduleSurrogate ConvertToSurrogate(in NewSchedule value) => new()
    {
        Topic = value.Topic,
        Id = value.Id,
        At = value.Cron is null ? value.At : FarAhead,
        Cron = value.Cron,
        TimeZone = value.TimeZone,
        Begins = value.Cron is null ? default : value.At,
        Partition = value.Partition,
        Key = value.Key?.ToArray(),
        Value = value.Value?.ToArray(),
        HeaderNames = [.. value.Headers.Select(static header => header.Key.ToArray())],
        HeaderValues = [.. value.Headers.Select(static header => header.Value?.ToArray())],
    };

    private static ReadOnlyMemory<byte>? Memory(byte[]? bytes) => bytes is null ? (ReadOnlyMemory<byte>?)null : bytes;
}

/// <summary>The wire form of <see cref="ScheduleDescription"/> between silos.</summary>
[GenerateSerializer, Immutable]
[Alias("omq.ScheduleDescription.1")]
internal struct ScheduleDescriptionSurrogate
{
    [Id(0)] public string Id;
    [Id(1)] public string Topic;
    [Id(2)] public DateTimeOffset At;
    [Id(3)] public Guid TopicId;
    [Id(4)] public int Partition;
    [Id(5)] public DateTimeOffset CreatedAt;
    [Id(6)] public long Bytes;
    [Id(7)] public string? Cron;
    [Id(8)] public string? TimeZone;
    [Id(9)] public string? Refusal;
}

[RegisterConverter]
internal sealed class ScheduleDescriptionConverter : IConverter<ScheduleDescription, ScheduleDescriptionSurrogate>
{
    public ScheduleDescription ConvertFromSurrogate(in ScheduleDescriptionSurrogate surrogate) =>
        new(surrogate.Id, surrogate.Topic, surrogate.At)
        {
            TopicId = surrogate.TopicId,
            Partition = surrogate.Partition,
            CreatedAt = surrogate.CreatedAt,
            Bytes = surrogate.Bytes,
            Cron = surrogate.Cron,
            TimeZone = surrogate.TimeZone,
            Refusal = surrogate.Refusal,
        };

    public ScheduleDescriptionSurrogate ConvertToSurrogate(in ScheduleDescription value) => new()
    {
        Id = value.Id,
        Topic = value.Topic,
        At = value.At,
        TopicId = value.TopicId,
        Partition = value.Partition,
        CreatedAt = value.CreatedAt,
        Bytes = value.Bytes,
        Cron = value.Cron,
        TimeZone = value.TimeZone,
        Refusal = value.Refusal,
    };
}

/// <summary>The wire form of <see cref="ScheduleQuery"/> between silos.</summary>
[GenerateSerializer, Immutable]
[Alias("omq.ScheduleQuery.1")]
internal struct ScheduleQuerySurrogate
{
    [Id(0)] public string? Topic;
    [Id(1)] public int MaxCount;
    [Id(2)] public string? After;
}

[RegisterConverter]
internal sealed class ScheduleQueryConverter : IConverter<ScheduleQuery, ScheduleQuerySurrogate>
{
    public ScheduleQuery ConvertFromSurrogate(in ScheduleQuerySurrogate surrogate) =>
        new() { Topic = surrogate.Topic, MaxCount = surrogate.MaxCount, After = surrogate.After };

    public ScheduleQuerySurrogate ConvertToSurrogate(in ScheduleQuery value) =>
        new() { Topic = value.Topic, MaxCount = value.MaxCount, After = value.After };
}

/// <summary>The wire form of <see cref="SchedulePage"/> between silos.</summary>
[GenerateSerializer, Immutable]
[Alias("omq.SchedulePage.1")]
internal struct SchedulePageSurrogate
{
    [Id(0)] public ScheduleDescription[] Schedules;
    [Id(1)] public string? Next;
}

[RegisterConverter]
internal sealed class SchedulePageConverter : IConverter<SchedulePage, SchedulePageSurrogate>
{
    public SchedulePage ConvertFromSurrogate(in SchedulePageSurrogate surrogate) => new(surrogate.Schedules, surrogate.Next);

    public SchedulePageSurrogate ConvertToSurrogate(in SchedulePage value) =>
        new() { Schedules = [.. value.Schedules], Next = value.Next };
}
