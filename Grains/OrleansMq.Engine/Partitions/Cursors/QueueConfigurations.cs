using System.Buffers;
using System.Text;
using OrleansMq.Api;
using OrleansMq.Filters;
using OrleansMq.Queues;

namespace OrleansMq.Partitions.Cursors;

/// <summary>The broker API's words for queues as those of cursors, and back. Pure.</summary>
internal static class QueueConfigurations
{
    private const int MaxNameLength = 249;
    private const int BackoffFactor = 2;
    private const long MostLength = 1_000_000_000_000_000;
    private static readonly TimeSpan MaxTimeToLive = TimeSpan.FromDays(366_000);
    // Other cursors have other prefixes: no queue of any name is one of theirs.
    private const string Prefix = "queue/";
    private const string SharePrefix = "share/";

    /// <summary>Returns the name of a queue's cursor.</summary>
    public static string CursorOf(string queue) => Prefix + queue;

    /// <summary>Returns the name of a share group's cursor.</summary>
    public static string CursorOfShare(string groupId) => SharePrefix + groupId;

    /// <summary>Returns the group whose cursor has the name; null if it is not a share group's.</summary>
    public static string? ShareOf(string cursor) =>
        cursor.StartsWith(SharePrefix, StringComparison.Ordinal) ? cursor[SharePrefix.Length..] : null;

    /// <summary>Returns the name of a cursor's queue.</summary>
    public static string QueueOf(string cursor) =>
        cursor.StartsWith(Prefix, StringComparison.Ordinal) ? cursor[Prefix.Length..] : cursor;

    /// <summary>Whether a cursor counts towards the most queues of a partition: it is a queue's, or a share group's.</summary>
    public static bool IsBounded(HostedCursor cursor) => IsQueue(cursor)
        || (cursor.Cursor.State is not null && ShareOf(cursor.Name) is not null);

    /// <summary>Whether a cursor is a queue's.</summary>
    public static bool IsQueue(HostedCursor cursor) =>
        cursor.Cursor.State is not null && cursor.Name.StartsWith(Prefix, StringComparison.Ordinal);

    /// <summary>Returns a new queue's configuration.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.InvalidRequest"/>.</exception>
    /// <param name="queue">The queue.</param>
    /// <param name="target">Where its dead letters go; null: nowhere.</param>
    public static CursorConfiguration ToConfiguration(NewQueue queue, DeadLetterTarget? target)
    {
        Check(queue.Name is { Length: >= 1 and <= MaxNameLength }, $"A queue's name has 1 to {MaxNameLength} characters.");
        Check(IsText(queue.Name), "A queue's name is text: no half of a surrogate pair stands alone in it.");
        Check(queue.Start.Value >= OffsetSpec.Earliest.Value || queue.Start.Offset is not null,
            "A queue starts at the earliest record, the latest, a time, or an offset.");
        return With(new CursorConfiguration { Name = CursorOf(queue.Name), LimitedCount = LimitedCount.Failures }, queue.Options,
            target) with
        {
            IsOrderedByKey = queue.Options.IsOrderedByKey,
            IsSingleActiveConsumer = queue.Options.IsSingleActiveConsumer,
            PriorityLevels = LevelsOf(queue.Options),
            Filter = FilterOf(queue.Options),
        };
    }

    /// <summary>Returns a configuration with other options.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.InvalidRequest"/>: one is out of range, or fixed.</exception>
    /// <param name="configuration">The configuration.</param>
    /// <param name="options">The options.</param>
    /// <param name="target">Where dead letters go; null: nowhere.</param>
    public static CursorConfiguration Alter(CursorConfiguration configuration, QueueOptions options, DeadLetterTarget? target)
    {
        Check(options.IsOrderedByKey == configuration.IsOrderedByKey
            && options.IsSingleActiveConsumer == configuration.IsSingleActiveConsumer && LevelsOf(options) == configuration.PriorityLevels
            && options.Filter == configuration.Filter,
            "IsOrderedByKey, IsSingleActiveConsumer, PriorityLevels and Filter are fixed at creation.");
        return With(configuration, options, target);
    }

    private static CursorConfiguration With(CursorConfiguration configuration, QueueOptions options, DeadLetterTarget? target)
    {
        Check(options.MaxFailures is >= 0 and <= 1_000_000, $"MaxFailures is 0 to 1,000,000, not {options.MaxFailures}.");
        Check(options.TimeToLive == TimeSpan.Zero
            || (options.TimeToLive >= TimeSpan.FromMilliseconds(1) && options.TimeToLive <= MaxTimeToLive),
            $"TimeToLive is zero, or 1 millisecond to {MaxTimeToLive.TotalDays} days, not {options.TimeToLive}.");
        Check(options.MaxLength is >= 0 and <= MostLength, $"MaxLength is 0 to {MostLength}, not {options.MaxLength}.");
        Check(!options.HasNoBacklog || options.MaxLength == 0, "A queue with HasNoBacklog has no MaxLength: no record waits in it.");
        Check(options.MaxBytes is null or (>= 0 and <= MostLength), $"MaxBytes is null, or 0 to {MostLength}, not {options.MaxBytes}.");
        Check(options.Overflow is QueueOverflow.DropHead or QueueOverflow.RefusePublish, $"{options.Overflow} is no overflow of a queue.");
        Check(options.PriorityLevels is >= 0 and <= 32, $"PriorityLevels is 0 to 32, not {options.PriorityLevels}.");
        Check(options.PriorityLevels <= 1 || !options.IsOrderedByKey, "A queue that is ordered by key has no priorities.");
        Check(options.Filter is null || (options.MaxLength == 0 && !options.HasNoBacklog && options.MaxBytes is null), "A queue with a "
            + "Filter has no MaxLength, HasNoBacklog or MaxBytes: which of the waiting records match is known when they are delivered.");
        return configuration with
        {
            MaxDeliveries = options.MaxFailures,
            Backoff = new BackoffSchedule(Milliseconds(options.RetryDelay, nameof(options.RetryDelay)), BackoffFactor,
                Milliseconds(options.MaxRetryDelay, nameof(options.MaxRetryDelay))),
            HasTimeToLive = options.TimeToLive > TimeSpan.Zero || options.HasRecordTimes,
            TimeToLiveMs = (long)options.TimeToLive.TotalMilliseconds,
            HasSchedules = options.HasRecordTimes,
            MaxLength = options.HasNoBacklog ? 0 : options.MaxLength > 0 ? options.MaxLength : null,
            MaxBytes = options.MaxBytes,
            Overflow = (OverflowAction)options.Overflow,
            DeadLetterTarget = target,
            DeadLetterTopic = target is null ? null : options.DeadLetterTopic,
        };
    }

    /// <summary>Returns the options of a configuration.</summary>
    public static QueueOptions OptionsOf(CursorConfiguration configuration) => new()
    {
        MaxFailures = configuration.MaxDeliveries,
        RetryDelay = TimeSpan.FromMilliseconds(configuration.Backoff.FirstMs),
        MaxRetryDelay = TimeSpan.FromMilliseconds(configuration.Backoff.MostMs),
        IsOrderedByKey = configuration.IsOrderedByKey,
        IsSingleActiveConsumer = configuration.IsSingleActiveConsumer,
        TimeToLive = TimeSpan.FromMilliseconds(configuration.TimeToLiveMs),
        HasRecordTimes = configuration.HasSchedules,
        MaxLength = configuration.MaxLength ?? 0,
        HasNoBacklog = configuration.MaxLength == 0,
        MaxBytes = configuration.MaxBytes,
        Overflow = (QueueOverflow)configuration.Overflow,
        PriorityLevels = configuration.PriorityLevels,
        Filter = configuration.Filter,
        DeadLetterTopic = configuration.DeadLetterTopic,
    };

    /// <summary>Returns how a consumer attaches.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.InvalidRequest"/>.</exception>
    public static AttachOptions ToAttach(QueueAttachOptions options)
    {
        Check(options.Prefetch is >= 0 and <= 10_000, $"Prefetch is 0 to 10,000, not {options.Prefetch}.");
        // Each lock that ends is written to the log.
        Check(options.LockDuration == TimeSpan.Zero
            || (options.LockDuration >= TimeSpan.FromSeconds(1) && options.LockDuration <= TimeSpan.FromDays(1)),
            $"LockDuration is zero, or 1 second to a day, not {options.LockDuration}.");
        Check(options.SessionTimeout >= TimeSpan.FromSeconds(1) && options.SessionTimeout <= TimeSpan.FromMinutes(5),
            $"SessionTimeout is 1 second to 5 minutes, not {options.SessionTimeout}.");
        Check(options.KeyRun is >= 1 and <= 1_000, $"KeyRun is 1 to 1,000, not {options.KeyRun}.");
        Check(options.KeyRun == 1 || options.Prefetch > 0, "KeyRun above 1 needs a Prefetch: runs take at most half of it.");
        Check(options.KeyRun == 1 || options.LockDuration == TimeSpan.Zero,
            "KeyRun above 1 needs a LockDuration of zero: a lock that ends alone would let its record come after later ones of its key.");
        return new AttachOptions
        {
            Priority = options.Priority,
            Prefetch = options.Prefetch,
            LockDuration = options.LockDuration,
            KeyRun = options.KeyRun,
        };
    }

    /// <summary>Describes a cursor, but for its records. In a turn.</summary>
    public static QueueDescription Describe(HostedCursor cursor)
    {
        var state = cursor.Cursor.State!;
        var configuration = state.Configuration;
        return new QueueDescription(QueueOf(configuration.Name), state.Incarnation, OptionsOf(configuration))
        {
            Floor = state.Floor,
            Held = cursor.Cursor.Held,
            WaitingBytes = cursor.Cursor.Bytes,
            Deferred = cursor.Cursor.CountDeferred(cursor.Term.Now),
            Redelivered = cursor.Cursor.Redelivered,
            Consumers = cursor.Attachments.Count,
            Accepted = state.Total(SettlementCause.Accepted),
            Rejected = state.Total(SettlementCause.Rejected) + state.Total(SettlementCause.DeliveryLimit),
            Purged = state.Total(SettlementCause.Purged),
            DeadLettered = state.Total(SettlementCause.DeadLettered),
            Expired = state.Total(SettlementCause.Expired),
            Dropped = state.Total(SettlementCause.LengthLimit),
            Filtered = cursor.Cursor.Filtered,
        };
    }

    /// <summary>Describes a share group's cursor: without the offsets that are known to have no record. In a turn.</summary>
    public static QueueDescription DescribeShare(HostedCursor cursor, string groupId)
    {
        var (state, end) = (cursor.Cursor.State!, cursor.ReadableEnd);
        return new QueueDescription(groupId, state.Incarnation, new QueueOptions
        {
            MaxFailures = state.Configuration.MaxDeliveries,
            DeadLetterTopic = state.Configuration.DeadLetterTopic,
        })
        {
            Floor = state.Floor,
            Unsettled = Math.Max(0, end - state.Floor - state.Settled.Count - cursor.Cursor.KnownNaturals),
            Held = cursor.Cursor.Held,
            Consumers = cursor.Attachments.Count,
            Accepted = state.Total(SettlementCause.Accepted),
            Rejected = state.Total(SettlementCause.Rejected) + state.Total(SettlementCause.DeliveryLimit),
            Purged = state.Total(SettlementCause.Purged),
            DeadLettered = state.Total(SettlementCause.DeadLettered),
        };
    }

    /// <summary>Returns the first offsets that are not settled, with what is known of their deliveries.</summary>
    public static List<DeliveredRecord> UnsettledFrom(CursorState state, long from, long end, int most)
    {
        var records = new List<DeliveredRecord>();
        for (var offset = state.Settled.NextNotIn(Math.Max(from, state.Floor)); offset < end && records.Count < most;
            offset = state.Settled.NextNotIn(offset + 1))
        {
            var counts = state.Returns.TryGetValue(offset, out var returned) ? returned.Counts : default;
            records.Add(new DeliveredRecord(offset, counts, counts.Deliveries > 0));
        }
        return records;
    }

    /// <summary>Copies a record out of the memory of its delivery.</summary>
    public static QueueRecord Copy(ReceivedRecord received)
    {
        var record = received.Record;
        return new QueueRecord(record.Offset, record.Timestamp, Copy(record.Key), Copy(record.Value),
            record.HeaderCount == 0 ? [] : [.. record.ReadHeaders().Select(header => new RecordHeader(header.Key.ToArray(),
                Copy(header.Value)))],
            received.Counts.Deliveries, received.Counts.Failures, received.IsRedelivered);
    }

    /// <summary>Whether a record may be returned with this delay.</summary>
    public static bool IsDelay(TimeSpan? delay) => delay is not { } time || (time >= TimeSpan.Zero && time <= TimeSpan.FromDays(366));

    /// <summary>Returns the error of an outcome.</summary>
    public static ErrorCode ErrorOf(CursorOutcome outcome) => outcome switch
    {
        CursorOutcome.Done => ErrorCode.None,
        CursorOutcome.InvalidLock => ErrorCode.InvalidRecordState,
        CursorOutcome.NotReady => ErrorCode.LeaderNotAvailable,
        CursorOutcome.NotLeader => ErrorCode.NotLeaderOrFollower,
        CursorOutcome.NoCursor => ErrorCode.GroupIdNotFound,
        _ => ErrorCode.RequestTimedOut,
    };

    /// <summary>Refuses a request that does not meet a condition.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.InvalidRequest"/>.</exception>
    public static void Check(bool condition, string message)
    {
        if (!condition)
            throw new BrokerException(ErrorCode.InvalidRequest, message);
    }

    // It is stored as UTF-8, and is found again under the same name.
    private static bool IsText(ReadOnlySpan<char> name)
    {
        for (; !name.IsEmpty && Rune.DecodeFromUtf16(name, out _, out var length) == OperationStatus.Done; name = name[length..])
        {
        }
        return name.IsEmpty;
    }

    private static ReadOnlyMemory<byte>? Copy(ReadOnlyMemory<byte>? bytes) =>
        bytes is { } given ? (ReadOnlyMemory<byte>?)given.ToArray() : null;

    private static string? FilterOf(QueueOptions options)
    {
        if (options.Filter is not { } text)
            return null;
        try
        {
            RecordFilter.Parse(text);
            return text;
        }
        catch (FilterSyntaxException wrong)
        {
            throw new BrokerException(ErrorCode.InvalidRequest,
                $"Filter is neither a condition over headers nor KEY() = 'text'. {wrong.Message}", wrong);
        }
    }

    private static int LevelsOf(QueueOptions options) => options.PriorityLevels <= 1 ? 0 : options.PriorityLevels;

    private static int Milliseconds(TimeSpan time, string name)
    {
        Check(time >= TimeSpan.Zero && time.TotalMilliseconds <= int.MaxValue, $"{name} is at most 24 days, not {time}.");
        return (int)time.TotalMilliseconds;
    }
}
