namespace OrleansMq;

/// <summary>What a queue does at <see cref="QueueOptions.MaxLength"/>, <see cref="QueueOptions.HasNoBacklog"/> or
/// <see cref="QueueOptions.MaxBytes"/>.</summary>
public enum QueueOverflow
{
    /// <summary>Never used.</summary>
    Unknown = 0,
    /// <summary>The first records leave the queue: they are dead-lettered, or dropped and counted.</summary>
    DropHead = 1,
    /// <summary>Nothing more is appended to the partition: a producer gets <see cref="ErrorCode.PolicyViolation"/>, which is not retried.
    /// What was on its way is appended, so the queue may be a little longer.</summary>
    RefusePublish = 2,
}

/// <summary>How a queue delivers its records. A topic's queue is one in each partition: limits and consumers count for a
/// partition.</summary>
public sealed record QueueOptions
{
    /// <summary>How often a record may fail before it is rejected, 1 to 1,000,000; 0, the default, for no limit. A consumer's failure, its
    /// death and the end of a lock count.</summary>
    public int MaxFailures { get; init; }

    /// <summary>How long a record waits after its first failure; zero by default. Each further failure doubles it.</summary>
    public TimeSpan RetryDelay { get; init; }

    /// <summary>The longest wait after a failure: 10 minutes by default. At most 24 days.</summary>
    public TimeSpan MaxRetryDelay { get; init; } = TimeSpan.FromMinutes(10);

    /// <summary>Whether a record waits until every earlier one of its key is settled. A record that the leader cannot read, as one
    /// without its codec, may have any key: later ones wait for it. Fixed at creation.</summary>
    public bool IsOrderedByKey { get; init; }

    /// <summary>Whether one consumer at a time receives; the next one does when it detaches. Fixed at creation.</summary>
    public bool IsSingleActiveConsumer { get; init; }

    /// <summary>The topic for records that are rejected, or fail too often; null, the default: they are dropped, and counted. It must
    /// exist, be another one than the queue's, and keep records as safely: flush policy and <c>min.insync.replicas</c> no weaker,
    /// <c>max.message.bytes</c> no smaller, not compacted. A letter has up to 64 KiB of headers more than its record: one that the topic
    /// refuses for good is dropped, counted and logged. A record goes to the partition with the number of its own, modulo their number,
    /// with the headers of <c>DeadLetterHeaders</c>, once in effect. While that partition is away, dead letters wait. With the topic
    /// deleted, they go to the next one of that name, whatever its configuration, for which they wait a minute; then they are dropped,
    /// logged and counted.</summary>
    public string? DeadLetterTopic { get; init; }

    /// <summary>How long a record lives after the broker appended it, 1 millisecond to 366,000 days; zero, the default, for ever. Its topic
    /// needs <c>message.timestamp.type=LogAppendTime</c>, so that no producer's clock counts. A record expires when it would be delivered
    /// next, whether or not a consumer is attached: it is dead-lettered, or dropped and counted. What consumers hold
    /// does not expire.</summary>
    public TimeSpan TimeToLive { get; init; }

    /// <summary>Whether the headers <see cref="QueueHeaders.DeliverAt"/> and <see cref="QueueHeaders.ExpiresAt"/> of records count; false
    /// by default: a delayed record comes at once. A
    /// record whose time has not come does not hold back later ones, until a million of them wait.</summary>
    public bool HasRecordTimes { get; init; }

    /// <summary>Which records the queue delivers, by their headers or their key: a condition such as <c>region = 'eu' AND amount &gt;
    /// 100</c>; null, the default: all. The condition is SQL-92's: <c>=</c>, <c>&lt;&gt;</c>, <c>&lt;</c>, <c>BETWEEN</c>, <c>IN</c>,
    /// <c>LIKE</c>, <c>IS NULL</c>, <c>AND</c>, <c>OR</c>, <c>NOT</c>, and <c>CONTAINS</c>, <c>STARTSWITH</c>, <c>ENDSWITH</c>. A header's
    /// name with other characters than letters, digits, _ and $ stands in double quotes. Values are UTF-8 text; where one is compared with
    /// a number, it is read as one. <c>KEY() = 'customer-7'</c>, or <c>KEY() = X'00ff'</c> with the bytes in hexadecimal digits, delivers
    /// the records of one key; it stands alone, without other conditions. A record that does not match is passed over as consumers come to
    /// it; until then it counts as unsettled. Not together with <see cref="MaxLength"/>, <see cref="HasNoBacklog"/> or
    /// <see cref="MaxBytes"/>. At most 8,192 characters. Fixed at creation.</summary>
    public string? Filter { get; init; }

    /// <summary>The most records that wait or are deferred, up to 10^15; 0, the default, for no limit. Those that consumers hold do not
    /// count.</summary>
    public long MaxLength { get; init; }

    /// <summary>Whether no record waits: one that no consumer takes as it comes is one too many, and with
    /// <see cref="QueueOverflow.RefusePublish"/> nothing is appended. False by default. Not together with
    /// <see cref="MaxLength"/>.</summary>
    public bool HasNoBacklog { get; init; }

    /// <summary>The most bytes of the records that wait or are deferred, 0 to 10^15: those of their values. Null, the default, for no
    /// limit. Those that consumers hold do not count. Records leave until the others fit; a queue that refuses them does so once it has as
    /// many bytes, so it may have one record more. The bytes are counted by the partition's leader, which reads what waits once when it
    /// begins to lead: until it has, the queue may have more. A batch without its codec counts as empty.</summary>
    public long? MaxBytes { get; init; }

    /// <summary>What is done at <see cref="MaxLength"/>, <see cref="HasNoBacklog"/> or <see cref="MaxBytes"/>; by default the first records
    /// leave the queue.</summary>
    public QueueOverflow Overflow { get; init; } = QueueOverflow.DropHead;

    /// <summary>The number of priorities, up to 32: of the records that wait, one with the highest <see cref="QueueHeaders.Priority"/>
    /// comes first, in order within one; what a consumer received ahead by its credit does not step back. A higher one than there are
    /// counts as the highest. 0, the default, is log order, as 1 is. Not together with <see cref="IsOrderedByKey"/>. Fixed at
    /// creation.</summary>
    public int PriorityLevels { get; init; }
}
