namespace OrleansMq.Api;

/// <summary>A record that is to be appended to a topic at a time.</summary>
/// <param name="Topic">The topic. It must exist. A record whose topic is deleted before its time is dropped.</param>
public sealed record NewSchedule(string Topic)
{
    /// <summary>The most bytes of key, value and headers together: 1,000,000.</summary>
    public const int MaxBytes = 1_000_000;

    /// <summary>The most characters of an id: 200.</summary>
    public const int MaxIdLength = 200;

    /// <summary>The most bytes of key, value and headers of a record that repeats: 65,536.</summary>
    public const int MaxRepeatedBytes = 65_536;

    /// <summary>How far ahead a record may be scheduled: 36,500 days.</summary>
    public static TimeSpan MaxAhead => TimeSpan.FromDays(36_500);

    /// <summary>The name by which the schedule is cancelled, among those of its topic: 1 to <see cref="MaxIdLength"/> characters; null, the
    /// default: a new one. A call that is repeated unchanged is one schedule, until an hour after its record was appended, or
    /// 250,000 later ones were: so a call without an answer can be repeated. Another record for the same id and time is refused. One that
    /// repeats is one schedule until it is cancelled; another one for its id is refused.</summary>
    public string? Id { get; init; }

    /// <summary>When the record is appended, to the millisecond; a time that has passed means at once. It is never appended
    /// earlier. With <see cref="Cron"/>: the time before which it is not appended; the default is now.</summary>
    public DateTimeOffset At { get; init; }

    /// <summary>When the record is appended again and again: a cron expression by the local time of <see cref="TimeZone"/>; null, the
    /// default: it is appended once. Five fields, <c>minute hour day month weekday</c>, or six, of which the first is the second. A field
    /// is <c>*</c>, or values, ranges and steps such as <c>MON-FRI</c>, <c>0,30</c> or <c>*/15</c>; also <c>L</c>, <c>W</c> and <c>#</c>.
    /// Where day and weekday are both given, both must match. A local time that a change of the clock skips fires at the change; one that
    /// comes twice fires the first time, unless minutes or hours are an interval.
    /// <para>Each firing is appended once, also when brokers fail meanwhile. Firings that are missed are not made up: after an outage one
    /// is appended at once, or a second one where the topic was away for long, and the next at its time. All firings have the same key,
    /// value and headers; the record's timestamp is when it was appended. A schedule fires once a second at most, and a topic may have
    /// 2,000 that repeat in each of the eight partitions of <c>__schedules</c>: more are refused. A firing that the topic refuses waits, as
    /// a record does that is appended once; those behind it are then missed.</para>
    /// <para>The next firing is computed when one is decided, by the clock and the time zone data of the broker that leads then. Where its
    /// clock was far ahead, the next firing is as far away; cancel and create the schedule then. Where the data changes afterwards, the
    /// next firing is still by the old rules, so that one may come twice on a day; the firings behind it are by the new ones.</para>
    /// <para>The schedule ends when it is cancelled, or its topic is deleted. All brokers are to be of a version that knows repeating
    /// schedules before the first is created: an older one cannot lead its partition of <c>__schedules</c>, which then is offline until
    /// another broker leads it. No schedule ends by that.</para></summary>
    public string? Cron { get; init; }

    /// <summary>The time zone of <see cref="Cron"/>, by its IANA id, such as <c>Europe/Berlin</c>; null, the default: UTC. The brokers'
    /// machines must know it.</summary>
    public string? TimeZone { get; init; }

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
/// <param name="At">When its record is appended; where it repeats, when next.</param>
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
    /// <summary>When it repeats: see <see cref="NewSchedule.Cron"/>; null: it does not.</summary>
    public string? Cron { get; init; }
    /// <summary>The time zone of <see cref="Cron"/>; null: it does not repeat.</summary>
    public string? TimeZone { get; init; }
    /// <summary>Why the topic refuses the record, which is due: it is appended when the topic's configuration takes it again. Null: the
    /// record is not due, or is not known to be refused.</summary>
    public string? Refusal { get; init; }
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
