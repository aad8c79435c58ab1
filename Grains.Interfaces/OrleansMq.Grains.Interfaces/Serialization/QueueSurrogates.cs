using OrleansMq.Api;

namespace OrleansMq.Grains.Serialization;

/// <summary>The wire form of <see cref="NewQueue"/> between silos.</summary>
[GenerateSerializer, Immutable]
[Alias("omq.NewQueue.1")]
internal struct NewQueueSurrogate
{
    [Id(0)] public string Name;
    [Id(1)] public OffsetSpec Start;
    [Id(2)] public QueueOptions Options;
}

[RegisterConverter]
internal sealed class NewQueueConverter : IConverter<NewQueue, NewQueueSurrogate>
{
    public NewQueue ConvertFromSurrogate(in NewQueueSurrogate surrogate) =>
        new(surrogate.Name) { Start = surrogate.Start, Options = surrogate.Options };

    public NewQueueSurrogate ConvertToSurrogate(in NewQueue value) => new()
    {
        Name = value.Name,
        Start = value.Start,
        Options = value.Options,
    };
}

/// <summary>The wire form of <see cref="QueueOptions"/> between silos.</summary>
[GenerateSerializer, Immutable]
[Alias("omq.QueueOptions.1")]
internal struct QueueOptionsSurrogate
{
    [Id(0)] public int MaxFailures;
    [Id(1)] public TimeSpan RetryDelay;
    [Id(2)] public TimeSpan MaxRetryDelay;
    [Id(3)] public bool IsOrderedByKey;
    [Id(4)] public bool IsSingleActiveConsumer;
    [Id(5)] public string? DeadLetterTopic;
    [Id(6)] public TimeSpan TimeToLive;
    [Id(7)] public bool HasRecordTimes;
    [Id(8)] public long MaxLength;
    [Id(9)] public QueueOverflow Overflow;
    [Id(10)] public int PriorityLevels;
    [Id(11)] public string? Filter;
    [Id(12)] public bool HasNoBacklog;
    [Id(13)] public long? MaxBytes;
}

[RegisterConverter]
internal sealed class QueueOptionsConverter : IConverter<QueueOptions, QueueOptionsSurrogate>
{
    public QueueOptions ConvertFromSurrogate(in QueueOptionsSurrogate surrogate) => new()
    {
        MaxFailures = surrogate.MaxFailures,
        RetryDelay = surrogate.RetryDelay,
        MaxRetryDelay = surrogate.MaxRetryDelay,
        IsOrderedByKey = surrogate.IsOrderedByKey,
        IsSingleActiveConsumer = surrogate.IsSingleActiveConsumer,
        DeadLetterTopic = surrogate.DeadLetterTopic,
        TimeToLive = surrogate.TimeToLive,
        HasRecordTimes = surrogate.HasRecordTimes,
        MaxLength = surrogate.MaxLength,
        // A broker that does not know it drops the head.
        Overflow = surrogate.Overflow == QueueOverflow.Unknown ? QueueOverflow.DropHead : surrogate.Overflow,
        PriorityLevels = surrogate.PriorityLevels,
        Filter = surrogate.Filter,
        HasNoBacklog = surrogate.HasNoBacklog,
        MaxBytes = surrogate.MaxBytes,
    };

    public QueueOptionsSurrogate ConvertToSurrogate(in QueueOptions value) => new()
    {
        MaxFailures = value.MaxFailures,
        RetryDelay = value.RetryDelay,
        MaxRetryDelay = value.MaxRetryDelay,
        IsOrderedByKey = value.IsOrderedByKey,
        IsSingleActiveConsumer = value.IsSingleActiveConsumer,
        DeadLetterTopic = value.DeadLetterTopic,
        TimeToLive = value.TimeToLive,
        HasRecordTimes = value.HasRecordTimes,
        MaxLength = value.MaxLength,
        Overflow = value.Overflow,
        PriorityLevels = value.PriorityLevels,
        Filter = value.Filter,
        HasNoBacklog = value.HasNoBacklog,
        MaxBytes = value.MaxBytes,
    };
}

/// <summary>The wire form of <see cref="QueueDescription"/> between silos.</summary>
[GenerateSerializer, Immutable]
[Alias("omq.QueueDescription.1")]
internal struct QueueDescriptionSurrogate
{
    [Id(0)] public string Name;
    [Id(1)] public Guid Id;
    [Id(2)] public QueueOptions Options;
    [Id(3)] public long Floor;
    [Id(4)] public long Unsettled;
    [Id(5)] public int Held;
    [Id(6)] public int Consumers;
    [Id(7)] public long Accepted;
    [Id(8)] public long Rejected;
    [Id(9)] public long Purged;
    [Id(10)] public long Deferred;
    [Id(11)] public long? OldestTimestamp;
    [Id(12)] public long Expired;
    [Id(13)] public long Dropped;
    [Id(14)] public long DeadLettered;
    [Id(15)] public long Redelivered;
    [Id(16)] public long Filtered;
    [Id(17)] public long? WaitingBytes;
}

[RegisterConverter]
internal sealed class QueueDescriptionConverter : IConverter<QueueDescription, QueueDescriptionSurrogate>
{
    public QueueDescription ConvertFromSurrogate(in QueueDescriptionSurrogate surrogate) => new(surrogate.Name, surrogate.Id,
        surrogate.Options)
    {
        Floor = surrogate.Floor,
        Unsettled = surrogate.Unsettled,
        Held = surrogate.Held,
        Consumers = surrogate.Consumers,
        Accepted = surrogate.Accepted,
        Rejected = surrogate.Rejected,
        Purged = surrogate.Purged,
        Deferred = surrogate.Deferred,
        OldestTimestamp = surrogate.OldestTimestamp,
        Expired = surrogate.Expired,
        Dropped = surrogate.Dropped,
        DeadLettered = surrogate.DeadLettered,
        Redelivered = surrogate.Redelivered,
        Filtered = surrogate.Filtered,
        WaitingBytes = surrogate.WaitingBytes,
    };

    public QueueDescriptionSurrogate ConvertToSurrogate(in QueueDescription value) => new()
    {
        Name = value.Name,
        Id = value.Id,
        Options = value.Options,
        Floor = value.Floor,
        Unsettled = value.Unsettled,
        Held = value.Held,
        Consumers = value.Consumers,
        Accepted = value.Accepted,
        Rejected = value.Rejected,
        Purged = value.Purged,
        Deferred = value.Deferred,
        OldestTimestamp = value.OldestTimestamp,
        Expired = value.Expired,
        Dropped = value.Dropped,
        DeadLettered = value.DeadLettered,
        Redelivered = value.Redelivered,
        Filtered = value.Filtered,
        WaitingBytes = value.WaitingBytes,
    };
}

/// <summary>The wire form of <see cref="QueueAttachOptions"/> between silos.</summary>
[GenerateSerializer, Immutable]
[Alias("omq.QueueAttachOptions.1")]
internal struct QueueAttachOptionsSurrogate
{
    [Id(0)] public int Priority;
    [Id(1)] public int Prefetch;
    [Id(2)] public TimeSpan LockDuration;
    [Id(3)] public TimeSpan SessionTimeout;
    // 0 from a caller that does not know it.
    [Id(4)] public int KeyRun;
}

[RegisterConverter]
internal sealed class QueueAttachOptionsConverter : IConverter<QueueAttachOptions, QueueAttachOptionsSurrogate>
{
    public QueueAttachOptions ConvertFromSurrogate(in QueueAttachOptionsSurrogate surrogate) => new()
    {
        Priority = surrogate.Priority,
        Prefetch = surrogate.Prefetch,
        LockDuration = surrogate.LockDuration,
        SessionTimeout = surrogate.SessionTimeout,
        KeyRun = surrogate.KeyRun == 0 ? 1 : surrogate.KeyRun,
    };

    public QueueAttachOptionsSurrogate ConvertToSurrogate(in QueueAttachOptions value) => new()
    {
        Priority = value.Priority,
        Prefetch = value.Prefetch,
        LockDuration = value.LockDuration,
        SessionTimeout = value.SessionTimeout,
        KeyRun = value.KeyRun,
    };
}

/// <summary>The wire form of <see cref="QueueHandler"/> between silos.</summary>
[GenerateSerializer, Immutable]
[Alias("omq.QueueHandler.1")]
internal struct QueueHandlerSurrogate
{
    [Id(0)] public Guid Consumer;
    [Id(1)] public long Offset;
    [Id(2)] public TimeSpan Held;
    [Id(3)] public TimeSpan? LockLeft;
    [Id(4)] public int Deliveries;
    [Id(5)] public int Failures;
    [Id(6)] public bool IsWaiting;
}

[RegisterConverter]
internal sealed class QueueHandlerConverter : IConverter<QueueHandler, QueueHandlerSurrogate>
{
    public QueueHandler ConvertFromSurrogate(in QueueHandlerSurrogate surrogate) =>
        new(surrogate.Consumer, surrogate.Offset, surrogate.Held)
        {
            LockLeft = surrogate.LockLeft,
            Deliveries = surrogate.Deliveries,
            Failures = surrogate.Failures,
            IsWaiting = surrogate.IsWaiting,
        };

    public QueueHandlerSurrogate ConvertToSurrogate(in QueueHandler value) => new()
    {
        Consumer = value.Consumer,
        Offset = value.Offset,
        Held = value.Held,
        LockLeft = value.LockLeft,
        Deliveries = value.Deliveries,
        Failures = value.Failures,
        IsWaiting = value.IsWaiting,
    };
}

/// <summary>The wire form of <see cref="QueueDelivery"/> between silos.</summary>
[GenerateSerializer, Immutable]
[Alias("omq.QueueDelivery.1")]
internal struct QueueDeliverySurrogate
{
    [Id(0)] public QueueLock Lock;
    [Id(1)] public QueueRecord[] Records;
}

[RegisterConverter]
internal sealed class QueueDeliveryConverter : IConverter<QueueDelivery, QueueDeliverySurrogate>
{
    public QueueDelivery ConvertFromSurrogate(in QueueDeliverySurrogate surrogate) => new(surrogate.Lock, surrogate.Records);

    public QueueDeliverySurrogate ConvertToSurrogate(in QueueDelivery value) => new()
    {
        Lock = value.Lock,
        Records = [.. value.Records],
    };
}

/// <summary>The wire form of <see cref="QueueLock"/> between silos.</summary>
[GenerateSerializer, Immutable]
[Alias("omq.QueueLock.1")]
internal struct QueueLockSurrogate
{
    [Id(0)] public Guid Queue;
    [Id(1)] public int LeaderEpoch;
    [Id(2)] public long Number;
}

[RegisterConverter]
internal sealed class QueueLockConverter : IConverter<QueueLock, QueueLockSurrogate>
{
    public QueueLock ConvertFromSurrogate(in QueueLockSurrogate surrogate) =>
        new(surrogate.Queue, surrogate.LeaderEpoch, surrogate.Number);

    public QueueLockSurrogate ConvertToSurrogate(in QueueLock value) => new()
    {
        Queue = value.Queue,
        LeaderEpoch = value.LeaderEpoch,
        Number = value.Number,
    };
}

/// <summary>The wire form of <see cref="QueueRecord"/> between silos.</summary>
[GenerateSerializer, Immutable]
[Alias("omq.QueueRecord.1")]
internal struct QueueRecordSurrogate
{
    [Id(0)] public long Offset;
    [Id(1)] public long Timestamp;
    [Id(2)] public byte[]? Key;
    [Id(3)] public byte[]? Value;
    [Id(4)] public byte[][] HeaderNames;
    [Id(5)] public byte[]?[] HeaderValues;
    [Id(6)] public int Deliveries;
    [Id(7)] public int Failures;
    [Id(8)] public bool IsRedelivered;
}

[RegisterConverter]
internal sealed class QueueRecordConverter : IConverter<QueueRecord, QueueRecordSurrogate>
{
    public QueueRecord ConvertFromSurrogate(in QueueRecordSurrogate surrogate) => new(surrogate.Offset, surrogate.Timestamp,
        Memory(surrogate.Key), Memory(surrogate.Value),
        [.. surrogate.HeaderNames.Zip(surrogate.HeaderValues, static (name, value) => new RecordHeader(name, Memory(value)))],
        surrogate.Deliveries, surrogate.Failures, surrogate.IsRedelivered);

    public QueueRecordSurrogate ConvertToSurrogate(in QueueRecord value) => new()
    {
        Offset = value.Offset,
        Timestamp = value.Timestamp,
        Key = value.Key?.ToArray(),
        Value = value.Value?.ToArray(),
        HeaderNames = [.. value.Headers.Select(static header => header.Key.ToArray())],
        HeaderValues = [.. value.Headers.Select(static header => header.Value?.ToArray())],
        Deliveries = value.Deliveries,
        Failures = value.Failures,
        IsRedelivered = value.IsRedelivered,
    };

    private static ReadOnlyMemory<byte>? Memory(byte[]? bytes) => bytes is null ? (ReadOnlyMemory<byte>?)null : bytes;
}

/// <summary>The wire form of <see cref="QueueSettlement"/> between silos.</summary>
[GenerateSerializer, Immutable]
[Alias("omq.QueueSettlement.1")]
internal struct QueueSettlementSurrogate
{
    [Id(0)] public QueueLock Lock;
    [Id(1)] public long First;
    [Id(2)] public long Last;
    [Id(3)] public int Action;
    [Id(4)] public TimeSpan? Delay;
    [Id(5)] public string? Reason;
    [Id(6)] public bool IsUncounted;
}

[RegisterConverter]
internal sealed class QueueSettlementConverter : IConverter<QueueSettlement, QueueSettlementSurrogate>
{
    public QueueSettlement ConvertFromSurrogate(in QueueSettlementSurrogate surrogate) => new(surrogate.Lock, surrogate.First,
        surrogate.Last, (QueueAction)surrogate.Action)
    {
        Delay = surrogate.Delay,
        Reason = surrogate.Reason,
        IsUncounted = surrogate.IsUncounted,
    };

    public QueueSettlementSurrogate ConvertToSurrogate(in QueueSettlement value) => new()
    {
        Lock = value.Lock,
        First = value.First,
        Last = value.Last,
        Action = (int)value.Action,
        Delay = value.Delay,
        Reason = value.Reason,
        IsUncounted = value.IsUncounted,
    };
}
