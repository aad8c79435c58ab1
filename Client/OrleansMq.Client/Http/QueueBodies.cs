using System.Text.Json;
using System.Text.Json.Serialization;
using OrleansMq.Api;

namespace OrleansMq.Client;

/// <summary>How a queue delivers; see <see cref="QueueOptions"/>. Times are milliseconds.</summary>
/// <param name="MaxFailures">How often a record may fail before it is rejected, 1 to 1,000,000; 0 for no limit.</param>
/// <param name="RetryDelayMs">How long a record waits after its first failure. Each further failure doubles it.</param>
/// <param name="MaxRetryDelayMs">The longest wait after a failure.</param>
/// <param name="IsOrderedByKey">Whether a record waits until every earlier one of its key is settled.</param>
/// <param name="IsSingleActiveConsumer">Whether one consumer at a time receives.</param>
/// <param name="TimeToLiveMs">How long a record lives; 0: for ever.</param>
/// <param name="HasRecordTimes">Whether records' headers <c>omq.deliver-at</c> and <c>omq.expires-at</c> count.</param>
/// <param name="MaxLength">The most records that wait or are deferred; 0 for no limit.</param>
/// <param name="Overflow">What is done at the limit: <c>DropHead</c> or <c>RefusePublish</c>.</param>
/// <param name="PriorityLevels">The number of priorities, up to 32; 0: log order.</param>
/// <param name="DeadLetterTopic">The topic for records that are rejected, expire, or fail too often; absent: they are dropped.</param>
/// <param name="Filter">The condition over headers that delivered records meet; absent: all are delivered.</param>
/// <param name="HasNoBacklog">Whether a record leaves that no consumer takes as it comes.</param>
/// <param name="MaxBytes">The most bytes of values of records that wait or are deferred; absent: no limit.</param>
internal sealed record QueueOptionsBody(int MaxFailures = 0, long RetryDelayMs = 0, long MaxRetryDelayMs = 600_000,
    bool IsOrderedByKey = false, bool IsSingleActiveConsumer = false, long TimeToLiveMs = 0, bool HasRecordTimes = false,
    long MaxLength = 0, QueueOverflow Overflow = QueueOverflow.DropHead, int PriorityLevels = 0,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] string? DeadLetterTopic = null,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] string? Filter = null, bool HasNoBacklog = false,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] long? MaxBytes = null)
{
    /// <summary>Converts <paramref name="options"/> to a body.</summary>
    public static QueueOptionsBody Of(QueueOptions options) => new(options.MaxFailures, Milliseconds.Of(options.RetryDelay),
        Milliseconds.Of(options.MaxRetryDelay), options.IsOrderedByKey, options.IsSingleActiveConsumer,
        Milliseconds.Of(options.TimeToLive), options.HasRecordTimes, options.MaxLength, options.Overflow, options.PriorityLevels,
        options.DeadLetterTopic, options.Filter, options.HasNoBacklog, options.MaxBytes);

    /// <summary>Converts the body to options.</summary>
    public QueueOptions ToOptions() => new()
    {
        MaxFailures = MaxFailures,
        RetryDelay = Milliseconds.ToTime(RetryDelayMs),
        MaxRetryDelay = Milliseconds.ToTime(MaxRetryDelayMs),
        IsOrderedByKey = IsOrderedByKey,
        IsSingleActiveConsumer = IsSingleActiveConsumer,
        DeadLetterTopic = DeadLetterTopic,
        TimeToLive = Milliseconds.ToTime(TimeToLiveMs),
        HasRecordTimes = HasRecordTimes,
        MaxLength = MaxLength,
        Overflow = Overflow,
        PriorityLevels = PriorityLevels,
        Filter = Filter,
        HasNoBacklog = HasNoBacklog,
        MaxBytes = MaxBytes,
    };
}

/// <summary>The body of <c>PUT /api/queues/{topic}/{partition}/{queue}</c>; without a body all values are defaults.</summary>
/// <param name="Start">The first record: <c>earliest</c>, <c>latest</c>, the first at or after a time in milliseconds since
/// 1970, or <c>offset:</c> and an offset.</param>
/// <param name="Options">How the queue delivers; null for the defaults.</param>
internal sealed record CreateQueueBody(string Start = "earliest", QueueOptionsBody? Options = null);

/// <summary>The body of <c>POST .../reset</c> of a queue.</summary>
/// <param name="Start">The first record: <c>earliest</c>, <c>latest</c>, the first at or after a time in milliseconds since
/// 1970, or <c>offset:</c> and an offset.</param>
internal sealed record ResetQueueBody(string Start);

/// <summary>A queue of a partition; see <see cref="QueueDescription"/>.</summary>
/// <param name="Topic">The topic.</param>
/// <param name="Partition">The partition's number.</param>
/// <param name="Name">The queue's name.</param>
/// <param name="Id">Its id. A reset gives it another.</param>
/// <param name="Options">How it delivers.</param>
/// <param name="Floor">The first offset that is not settled.</param>
/// <param name="Unsettled">The records that are not settled: those that wait, are deferred, or are held.</param>
/// <param name="Held">The records that consumers hold, or that are being settled.</param>
/// <param name="Consumers">The attached consumers.</param>
/// <param name="Accepted">The records that consumers have accepted.</param>
/// <param name="Rejected">The records that consumers have rejected, and those that failed too often.</param>
/// <param name="Purged">The records that were purged.</param>
/// <param name="Deferred">The records whose time has not come.</param>
/// <param name="Expired">The records whose time to live has passed.</param>
/// <param name="Dropped">The records that left the queue because it was longer than its limit.</param>
/// <param name="DeadLettered">The records that were written to a dead-letter topic.</param>
/// <param name="Redelivered">The deliveries of records that may have been delivered before, since the partition's leadership began.</param>
/// <param name="OldestTimestamp">The timestamp of the first record that is not settled, in milliseconds since 1970; of the first in its
/// batch, where producers send several at once. Absent where there is none.</param>
/// <param name="Filtered">The records that were passed over since the partition's leadership began, as the filter does not match
/// them.</param>
/// <param name="WaitingBytes">The bytes of values of the records that wait or are deferred; absent without <c>maxBytes</c>.</param>
internal sealed record QueueDocument(string Topic, int Partition, string Name, Guid Id, QueueOptionsBody Options, long Floor,
    long Unsettled, int Held, int Consumers, long Accepted, long Rejected, long Purged, long Deferred = 0, long Expired = 0,
    long Dropped = 0, long DeadLettered = 0, long Redelivered = 0,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] long? OldestTimestamp = null, long Filtered = 0,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] long? WaitingBytes = null)
{
    /// <summary>Converts a description to a document.</summary>
    public static QueueDocument Of(TopicPartition partition, QueueDescription queue) =>
        new(partition.Topic, partition.Partition, queue.Name, queue.Id, QueueOptionsBody.Of(queue.Options), queue.Floor, queue.Unsettled,
            queue.Held, queue.Consumers, queue.Accepted, queue.Rejected, queue.Purged, queue.Deferred, queue.Expired, queue.Dropped,
            queue.DeadLettered, queue.Redelivered, queue.OldestTimestamp, queue.Filtered, queue.WaitingBytes);

    /// <summary>Converts the document to a description.</summary>
    public QueueDescription ToDescription() => new(Name, Id, Options.ToOptions())
    {
        Floor = Floor,
        Unsettled = Unsettled,
        Held = Held,
        Consumers = Consumers,
        Accepted = Accepted,
        Rejected = Rejected,
        Purged = Purged,
        Deferred = Deferred,
        Expired = Expired,
        Dropped = Dropped,
        DeadLettered = DeadLettered,
        Redelivered = Redelivered,
        OldestTimestamp = OldestTimestamp,
        Filtered = Filtered,
        WaitingBytes = WaitingBytes,
    };
}

/// <summary>A record that a consumer of a queue works at; see <see cref="QueueHandler"/>. Times are milliseconds.</summary>
/// <param name="Topic">The topic.</param>
/// <param name="Partition">The partition.</param>
/// <param name="Consumer">The consumer's id.</param>
/// <param name="Offset">The record.</param>
/// <param name="HeldMs">How long the consumer has held it.</param>
/// <param name="LockLeftMs">When the lock ends; null: with the consumer.</param>
/// <param name="Deliveries">How often the record was delivered, with this delivery.</param>
/// <param name="Failures">How often it failed.</param>
/// <param name="IsWaiting">Whether the consumer has not received it yet.</param>
internal sealed record QueueHandlerDocument(string Topic, int Partition, Guid Consumer, long Offset, long HeldMs, long? LockLeftMs,
    int Deliveries, int Failures, bool IsWaiting)
{
    /// <summary>Converts what a consumer works at.</summary>
    public static QueueHandlerDocument Of(TopicPartition partition, QueueHandler handler) => new(partition.Topic, partition.Partition,
        handler.Consumer, handler.Offset, Milliseconds.Of(handler.Held), handler.LockLeft is { } left ? Milliseconds.Of(left) : null,
        handler.Deliveries, handler.Failures, handler.IsWaiting);

    /// <summary>Converts the document back.</summary>
    public QueueHandler ToHandler() => new(Consumer, Offset, Milliseconds.ToTime(HeldMs))
    {
        LockLeft = LockLeftMs is { } left ? Milliseconds.ToTime(left) : null,
        Deliveries = Deliveries,
        Failures = Failures,
        IsWaiting = IsWaiting,
    };
}

/// <summary>The body of <c>POST .../consumers</c> of a queue; see <see cref="QueueAttachOptions"/>. Times are milliseconds.</summary>
/// <param name="Priority">Consumers with a higher one receive first.</param>
/// <param name="Prefetch">The most records that it holds, delivered ahead of its calls, up to 10,000; 0: it holds what it asks for.</param>
/// <param name="LockDurationMs">How long it holds a record, up to a day; 0: as long as it is attached.</param>
/// <param name="SessionTimeoutMs">How long it may be silent, 1,000 to 300,000.</param>
/// <param name="KeyRun">The most records of one key that come at once, 1 to 1,000.</param>
internal sealed record AttachQueueBody(int Priority = 0, int Prefetch = 0, long LockDurationMs = 0, long SessionTimeoutMs = 30_000,
    int KeyRun = 1)
{
    /// <summary>Converts <paramref name="options"/> to a body.</summary>
    public static AttachQueueBody Of(QueueAttachOptions options) => new(options.Priority, options.Prefetch,
        Milliseconds.Of(options.LockDuration), Milliseconds.Of(options.SessionTimeout), options.KeyRun);

    /// <summary>Converts the body to options.</summary>
    public QueueAttachOptions ToOptions() => new()
    {
        Priority = Priority,
        Prefetch = Prefetch,
        LockDuration = Milliseconds.ToTime(LockDurationMs),
        SessionTimeout = Milliseconds.ToTime(SessionTimeoutMs),
        KeyRun = KeyRun,
    };
}

/// <summary>The response to <c>POST .../consumers</c>.</summary>
/// <param name="Consumer">The consumer's id: the right to receive and settle as that consumer.</param>
internal sealed record AttachedQueueConsumer(Guid Consumer);

/// <summary>The response to a receive.</summary>
/// <param name="Lock">The right to settle the records; null: the wait is over, and there are none.</param>
/// <param name="Records">The records, in order of delivery.</param>
internal sealed record QueueDeliveryBody(QueueLock? Lock, IReadOnlyList<QueueRecordBody> Records)
{
    /// <summary>Converts the response to a delivery; null for none.</summary>
    public QueueDelivery? ToDelivery() =>
        Lock is { } held ? new QueueDelivery(held, [.. Records.Select(static record => record.ToRecord())]) : null;
}

/// <summary>A record of a queue, with <c>encoding=base64</c>; see <see cref="QueueRecord"/>.</summary>
/// <param name="Offset">Its offset in the partition.</param>
/// <param name="Timestamp">Milliseconds since 1970.</param>
/// <param name="Key">Its key; null for none.</param>
/// <param name="Value">Its value; may be null.</param>
/// <param name="Deliveries">How often it was delivered, with this delivery.</param>
/// <param name="Failures">How often it failed.</param>
/// <param name="IsRedelivered">Whether it may have been delivered before.</param>
/// <param name="Headers">Its headers, in order; null for none.</param>
internal sealed record QueueRecordBody(long Offset, long Timestamp, ReadOnlyMemory<byte>? Key, ReadOnlyMemory<byte>? Value, int Deliveries,
    int Failures, bool IsRedelivered, IReadOnlyList<QueueHeaderBody>? Headers = null)
{
    /// <summary>Converts the body to a record.</summary>
    public QueueRecord ToRecord() => new(Offset, Timestamp, Key, Value,
        Headers is null ? [] : [.. Headers.Select(static header => new RecordHeader(header.Name, header.Value))], Deliveries, Failures,
        IsRedelivered);
}

/// <summary>A header of a record, with <c>encoding=base64</c>.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Value">Its value; may be null.</param>
internal sealed record QueueHeaderBody(ReadOnlyMemory<byte> Name, ReadOnlyMemory<byte>? Value);

/// <summary>The body of a settlement.</summary>
/// <param name="Settlements">What to do, in order.</param>
internal sealed record SettleQueueBody(IReadOnlyList<QueueSettlementBody> Settlements);

/// <summary>What a consumer does with a range of received records; see <see cref="QueueSettlement"/>.</summary>
/// <param name="Lock">The delivery's lock.</param>
/// <param name="First">The offset of the first record.</param>
/// <param name="Last">That of the last.</param>
/// <param name="Action">What to do.</param>
/// <param name="DelayMs">With <c>Release</c> and <c>Fail</c>, the milliseconds until the records are delivered again; null: as the queue's
/// options say for a failure, else none.</param>
/// <param name="Reason">With <c>Reject</c> and <c>Fail</c>, why, for the records' dead letters; null: not said.</param>
/// <param name="IsUncounted">With <c>Release</c>, whether the delivery does not count. Not sent unless it is set.</param>
internal sealed record QueueSettlementBody(QueueLock Lock, long First, long Last, QueueAction Action, long? DelayMs = null,
    string? Reason = null, [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingDefault)] bool IsUncounted = false)
{
    /// <summary>Converts <paramref name="settlement"/> to a body.</summary>
    public static QueueSettlementBody Of(QueueSettlement settlement) => new(settlement.Lock, settlement.First, settlement.Last,
        settlement.Action, settlement.Delay is { } delay ? Milliseconds.Of(delay) : null, settlement.Reason, settlement.IsUncounted);

    /// <summary>Converts the body to a settlement.</summary>
    public QueueSettlement ToSettlement() => new(Lock, First, Last, Action)
    {
        Delay = DelayMs is { } delay ? Milliseconds.ToTime(delay) : null,
        Reason = Reason,
        IsUncounted = IsUncounted,
    };
}

/// <summary>The response to a settlement.</summary>
/// <param name="Errors">The outcome of each.</param>
internal sealed record SettledQueueBody(IReadOnlyList<ErrorCode> Errors);

/// <summary>The JSON of <c>/api/queues</c> and <c>/api/queue-consumers</c>, for server and client. Like <see cref="HttpJson"/>, with
/// actions and error codes by name.</summary>
[JsonSourceGenerationOptions(JsonSerializerDefaults.Web, UseStringEnumConverter = true)]
[JsonSerializable(typeof(CreateQueueBody))]
[JsonSerializable(typeof(QueueOptionsBody))]
[JsonSerializable(typeof(ResetQueueBody))]
[JsonSerializable(typeof(QueueDocument))]
[JsonSerializable(typeof(IReadOnlyList<QueueDocument>))]
[JsonSerializable(typeof(IReadOnlyList<QueueHandlerDocument>))]
[JsonSerializable(typeof(AttachQueueBody))]
[JsonSerializable(typeof(AttachedQueueConsumer))]
[JsonSerializable(typeof(QueueDeliveryBody))]
[JsonSerializable(typeof(IReadOnlyList<QueueRecordBody>))]
[JsonSerializable(typeof(SettleQueueBody))]
[JsonSerializable(typeof(SettledQueueBody))]
internal sealed partial class QueueJson : JsonSerializerContext;
