namespace OrleansMq.Queues;

/// <summary>The counter that <see cref="CursorConfiguration.MaxDeliveries"/> limits.</summary>
internal enum LimitedCount
{
    /// <summary>Unknown.</summary>
    Unknown = 0,
    /// <summary>Every hand-out, as share groups count.</summary>
    Deliveries = 1,
    /// <summary>Returns that a consumer declared a failure, lock expiry and a consumer's death, as AMQP queues count.</summary>
    Failures = 2,
}

/// <summary>What is done when a cursor is at <see cref="CursorConfiguration.MaxLength"/> or
/// <see cref="CursorConfiguration.MaxBytes"/>.</summary>
internal enum OverflowAction
{
    /// <summary>Unknown.</summary>
    Unknown = 0,
    /// <summary>The first ones are dead-lettered, or dropped without a target.</summary>
    DropHead = 1,
    /// <summary>Further ones are not accepted.</summary>
    RefusePublish = 2,
}

/// <summary>Where a cursor's dead letters go.</summary>
/// <param name="TopicId">The topic; its name may change hands.</param>
/// <param name="Partition">The partition.</param>
internal readonly record struct DeadLetterTarget(Guid TopicId, int Partition);

/// <summary>
/// What a cursor was told to do. It is logged with each statement, so that the next leader decides as this one does.
/// <see cref="CursorState.Apply"/> does not read it.
/// </summary>
internal sealed record CursorConfiguration
{
    /// <summary>The cursor's name: its group, subscription or queue.</summary>
    public required string Name { get; init; }

    /// <summary>The count at which a record is not handed out again; 0 for no limit.</summary>
    public int MaxDeliveries { get; init; }

    /// <summary>The counter that <see cref="MaxDeliveries"/> limits.</summary>
    public LimitedCount LimitedCount { get; init; } = LimitedCount.Deliveries;

    /// <summary>The delays of returned records.</summary>
    public BackoffSchedule Backoff { get; init; } = BackoffSchedule.None;

    /// <summary>The target of rejected records; null: they are dropped, and counted.</summary>
    public DeadLetterTarget? DeadLetterTarget { get; init; }

    /// <summary>The name that the target's topic had when it was set; null without a target, or where it is not known.</summary>
    public string? DeadLetterTopic { get; init; }

    /// <summary>The most records that are kept, without those that consumers hold; null for no limit. With 0 each record is handed out as
    /// it comes, or is one too many.</summary>
    public long? MaxLength { get; init; }

    /// <summary>The most bytes of values of the records that are kept, without those that consumers hold; null for no limit: then they are
    /// not counted.</summary>
    public long? MaxBytes { get; init; }

    /// <summary>What is done at a limit.</summary>
    public OverflowAction Overflow { get; init; } = OverflowAction.DropHead;

    /// <summary>Whether records may have a time to live, by the cursor's topic or their own. They expire at the head: when they would be
    /// handed out next, whether or not a consumer is there.</summary>
    public bool HasTimeToLive { get; init; }

    /// <summary>With times to live, that of every record after the broker logged it, in milliseconds; 0: its own alone counts.</summary>
    public long TimeToLiveMs { get; init; }

    /// <summary>Whether records may have a time before which they are not handed out. They are deferred when they would be handed out
    /// next.</summary>
    public bool HasSchedules { get; init; }

    /// <summary>The number of priority levels, up to 32: the highest available record is handed out first. 0 or 1: log order. Order by key
    /// knows no priorities.</summary>
    public int PriorityLevels { get; init; }

    /// <summary>The text of the filter; see <see cref="Filters.RecordFilter"/>. A record that it does not match is as if
    /// it were none. Fixed at creation. Null: every record is handed out.</summary>
    public string? Filter { get; init; }

    /// <summary>Whether one attached consumer at a time receives.</summary>
    public bool IsSingleActiveConsumer { get; init; }

    /// <summary>Whether a record waits until every earlier one of its key is settled.</summary>
    public bool IsOrderedByKey { get; init; }

    /// <summary>With order by key, the most records that are read ahead and wait for their key.</summary>
    public int LookAhead { get; init; } = 1_000;

    /// <summary>The number of records that a consumer receives before the next one's turn.</summary>
    public int RecordsPerTurn { get; init; } = 1;

    /// <summary>The exceptions (held, returned, islands, dead letters) at which no further record is handed out; settlements always are
    /// accepted.</summary>
    public int MaxExceptions { get; init; } = 1_000_000;
}
