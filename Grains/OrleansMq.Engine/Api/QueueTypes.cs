namespace OrleansMq.Api;

/// <summary>A queue to be created.</summary>
/// <param name="Name">The name, 1 to 249 characters; unique in its partition.</param>
public sealed record NewQueue(string Name)
{
    /// <summary>The first record: the earliest by default; also the latest, the first at or after a time, or an offset.</summary>
    public OffsetSpec Start { get; init; } = OffsetSpec.Earliest;

    /// <summary>How the queue delivers.</summary>
    public QueueOptions Options { get; init; } = new();
}

/// <summary>A queue of a partition.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Id">Its id, which no other queue ever has. A reset gives it another.</param>
/// <param name="Options">How it delivers.</param>
public sealed record QueueDescription(string Name, Guid Id, QueueOptions Options)
{
    /// <summary>The first offset that is not settled.</summary>
    public long Floor { get; init; }
    /// <summary>The records that are not settled: those that wait, are deferred, or are held. In a log that goes far beyond what consumers
    /// have reached, some offsets without a record may be among them.</summary>
    public long Unsettled { get; init; }
    /// <summary>The records that consumers hold, or that are being settled.</summary>
    public int Held { get; init; }
    /// <summary>The bytes of values of the records that wait or are deferred; null: the queue has no <see cref="QueueOptions.MaxBytes"/>,
    /// and does not count them. A leader counts them once it leads, some hundred MiB a second; until then they are too few.</summary>
    public long? WaitingBytes { get; init; }
    /// <summary>The records whose time has not come: after a failure, by a delay, or as their header says.</summary>
    public long Deferred { get; init; }
    /// <summary>The timestamp of the first record that is not settled, in milliseconds since 1970; of the first in its batch, where
    /// producers send several at once. Null: there is none.</summary>
    public long? OldestTimestamp { get; init; }
    /// <summary>The attached consumers.</summary>
    public int Consumers { get; init; }
    /// <summary>The records that consumers have accepted.</summary>
    public long Accepted { get; init; }
    /// <summary>The records that consumers have rejected, and those that failed too often.</summary>
    public long Rejected { get; init; }
    /// <summary>The records that were purged.</summary>
    public long Purged { get; init; }
    /// <summary>The records whose time to live has passed.</summary>
    public long Expired { get; init; }
    /// <summary>The records that left the queue because it was longer than its limit, with a dead letter or without.</summary>
    public long Dropped { get; init; }
    /// <summary>The records that were passed over since the partition's leadership began, as <see cref="QueueOptions.Filter"/> does not
    /// match them.</summary>
    public long Filtered { get; init; }
    /// <summary>The records that were written to a dead-letter topic.</summary>
    public long DeadLettered { get; init; }
    /// <summary>The deliveries of records that may have been delivered before, since the partition's leadership began.</summary>
    public long Redelivered { get; init; }
}

/// <summary>How a consumer attaches to a queue.</summary>
public sealed record QueueAttachOptions
{
    /// <summary>Consumers with a higher one receive first; 0 by default. With a single active consumer, one of the lowest priority there is
    /// (<see cref="int.MinValue"/>) is never the active one: it receives beside it.</summary>
    public int Priority { get; init; }

    /// <summary>The most records that it holds, delivered ahead of its calls; 0, the default: it holds what it asks for. At most
    /// 10,000.</summary>
    public int Prefetch { get; init; }

    /// <summary>How long it holds a record before that is returned as failed, 1 second to a day; zero, the default: as long as
    /// it is attached.</summary>
    public TimeSpan LockDuration { get; init; }

    /// <summary>How long it may be silent before it is detached, and what it holds returned as failed: 1 second to 5 minutes, 30 seconds by
    /// default.</summary>
    public TimeSpan SessionTimeout { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>The most records of one key that it receives at once from a queue that is ordered by key, 1 to 1,000: 1, the default: the
    /// next one comes when the one before is settled. Of more, those of one key come together, in order, and the next ones when all of them
    /// are settled: a consumer that does not settle the first one accepts none of the others. A record that failed comes alone. Runs
    /// take at most half of <see cref="Prefetch"/>, which they need.</summary>
    public int KeyRun { get; init; } = 1;
}

/// <summary>A record that a consumer of a queue works at.</summary>
/// <param name="Consumer">The consumer's id; empty where its session is not known any more.</param>
/// <param name="Offset">The record.</param>
/// <param name="Held">How long it has held the record, since it received it.</param>
public sealed record QueueHandler(Guid Consumer, long Offset, TimeSpan Held)
{
    /// <summary>When the lock ends unless it is renewed; null: with the consumer.</summary>
    public TimeSpan? LockLeft { get; init; }
    /// <summary>How often the record was delivered, with this delivery.</summary>
    public int Deliveries { get; init; }
    /// <summary>How often it failed.</summary>
    public int Failures { get; init; }
    /// <summary>Whether it was delivered ahead and waits at the broker: the consumer has not received it yet.</summary>
    public bool IsWaiting { get; init; }
}

/// <summary>Records that were delivered together, under one lock.</summary>
/// <param name="Lock">The right to settle them.</param>
/// <param name="Records">The records, in order of delivery.</param>
public sealed record QueueDelivery(QueueLock Lock, IReadOnlyList<QueueRecord> Records);

/// <summary>The right to settle the records of one delivery. It ends with its consumer.</summary>
/// <param name="Queue">The queue's id.</param>
/// <param name="LeaderEpoch">The leader that delivered.</param>
/// <param name="Number">The delivery. A leader numbers them upwards: one that brings a record again has a higher number than the one
/// before, and so has one with later records of its key where the queue is ordered by key.</param>
public readonly record struct QueueLock(Guid Queue, int LeaderEpoch, long Number);

/// <summary>A record of a queue.</summary>
/// <param name="Offset">Its offset in the partition.</param>
/// <param name="Timestamp">Its timestamp, in milliseconds since 1970.</param>
/// <param name="Key">Its key; null if it has none.</param>
/// <param name="Value">Its value; may be null.</param>
/// <param name="Headers">Its headers.</param>
/// <param name="Deliveries">How often it was delivered, with this delivery. A failure of the broker may lose some of the count.</param>
/// <param name="Failures">How often it failed.</param>
/// <param name="IsRedelivered">Whether it may have been delivered before.</param>
public sealed record QueueRecord(long Offset, long Timestamp, ReadOnlyMemory<byte>? Key, ReadOnlyMemory<byte>? Value,
    IReadOnlyList<RecordHeader> Headers, int Deliveries, int Failures, bool IsRedelivered);

/// <summary>What a consumer does with received records.</summary>
public enum QueueAction
{
    /// <summary>Never used.</summary>
    Unknown = 0,
    /// <summary>They are done.</summary>
    Accept = 1,
    /// <summary>They go back to their place, and are delivered again.</summary>
    Release = 2,
    /// <summary>They failed: they go back, and count as failed.</summary>
    Fail = 3,
    /// <summary>They are never delivered again; with a dead-letter topic, they go there.</summary>
    Reject = 4,
    /// <summary>They stay with the consumer, whose lock begins anew.</summary>
    Renew = 5,
}

/// <summary>What a consumer does with a range of received records: with all, or none.</summary>
/// <param name="Lock">The delivery's lock.</param>
/// <param name="First">The offset of the first record.</param>
/// <param name="Last">That of the last.</param>
/// <param name="Action">What to do. Offsets of the range without a record do not matter.</param>
public readonly record struct QueueSettlement(QueueLock Lock, long First, long Last, QueueAction Action)
{
    /// <summary>With <see cref="QueueAction.Release"/> and <see cref="QueueAction.Fail"/>, how long to wait before the records are
    /// delivered again, zero to 366 days; null: as the queue's options say for a failure, else not at all.</summary>
    public TimeSpan? Delay { get; init; }

    /// <summary>With <see cref="QueueAction.Reject"/> and <see cref="QueueAction.Fail"/>, why, for the records' dead letters; null: not
    /// said. Of more than 1,024 bytes in UTF-8, the beginning is kept.</summary>
    public string? Reason { get; init; }

    /// <summary>With <see cref="QueueAction.Release"/>, whether this delivery leaves <see cref="QueueRecord.Deliveries"/> as it was before:
    /// nothing was tried with the records. The first delivery of a record counts nevertheless. A broker of an earlier version counts every
    /// delivery, and refuses the settlement where it comes over HTTP: update brokers first.</summary>
    public bool IsUncounted { get; init; }
}
