namespace OrleansMq.Api;

/// <summary>A record that is to be appended to a topic at a time.</summary>
/// <param name="Topic">The topic. It must exist. A record whose topic is deleted before its time is dropped.</param>
public sealed record NewSchedule(string Topic)
{
    /// <summary>The most bytes of key, value and headers together: 1,000,000.</summary>
    public const int MaxBytes = 1_000_000;

    /// <summary>The most characters of an id: 200.</summary>
    public const int MaxIdLength = 200;

    /// <summary>How far ahead a record may be scheduled: 36,500 days.</summary>
    public static TimeSpan MaxAhead => TimeSpan.FromDays(36_500);

    /// <summary>The name by which the schedule is cancelled, among those of its topic: 1 to <see cref="MaxIdLength"/> characters; null, the
    /// default: a new one. A call that is repeated unchanged is one schedule, until an hour after its record was appended, or
    /// 250,000 later ones were: so a call without an answer can be repeated. Another record for the same id and time is refused.</summary>
    public string? Id { get; init; }

    /// <summary>When the record is appended, to the millisecond; a time that has passed means at once. It is never appended
    /// earlier.</summary>
    public DateTimeOffset At { get; init; }

    /// <summary>The partition; -1, the default: by the key, as a producer chooses it.</summary>
    public int Partition { get; init; } = -1;

    /// <summary>The record's key; null for none.</summary>
    public ReadOnlyMemory<byte>? Key { get; init; }

    /// <summary>The record's value; null for a tombstone.</summary>
    public ReadOnlyMemory<byte>? Value { get; init; }

    /// <summary>The record's headers.</summary>
    public IReadOnlyList<RecordHeader> Headers { get; init; } = [];
}

/// <summary>A schedule that waits.</summary>
/// <param name="Id">Its id.</param>
/// <param name="Topic">The topic that it is for.</param>
/// <param name="At">When its record is appended.</param>
public sealed record ScheduleDescription(string Id, string Topic, DateTimeOffset At)
{
    /// <summary>The topic's id. One that is created again under the same name is another, to which the record is not appended.</summary>
    public Guid TopicId { get; init; }
    /// <summary>The partition; -1: by the key.</summary>
    public int Partition { get; init; } = -1;
    /// <summary>When it was scheduled.</summary>
    public DateTimeOffset CreatedAt { get; init; }
    /// <summary>The bytes of key, value and headers.</summary>
    public long Bytes { get; init; }
}

/// <summary>Which schedules to list.</summary>
public sealed record ScheduleQuery
{
    /// <summary>The topic; null: all.</summary>
    public string? Topic { get; init; }

    /// <summary>The most schedules that are looked at, 1 to 1,000; 100 by default.</summary>
    public int MaxCount { get; init; } = 100;

    /// <summary>The <see cref="SchedulePage.Next"/> of the page before; null: the first page.</summary>
    public string? After { get; init; }
}

/// <summary>Some schedules, in the order of their times.</summary>
/// <param name="Schedules">The schedules. There may be fewer than asked for, also none, although more pages follow.</param>
/// <param name="Next">Asks for the next page; null: this is the last one.</param>
public sealed record SchedulePage(IReadOnlyList<ScheduleDescription> Schedules, string? Next);
