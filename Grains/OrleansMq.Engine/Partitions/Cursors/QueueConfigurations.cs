using OrleansMq.Api;
using OrleansMq.Queues;

namespace OrleansMq.Partitions.Cursors;

/// <summary>The broker API's words for queues as those of cursors, and back. Pure.</summary>
internal static class QueueConfigurations
{
    private const int MaxNameLength = 249;
    private const int BackoffFactor = 2;
    // Other cursors have other prefixes: no queue of any name is one of theirs.
    private const string Prefix = "queue/";

    /// <summary>Returns the name of a queue's cursor.</summary>
    public static string CursorOf(string queue) => Prefix + queue;

    /// <summary>Whether a cursor is a queue's.</summary>
    public static bool IsQueue(HostedCursor cursor) =>
        cursor.Cursor.State is not null && cursor.Name.StartsWith(Prefix, StringComparison.Ordinal);

    /// <summary>Returns a queue's configuration.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.InvalidRequest"/>.</exception>
    public static CursorConfiguration ToConfiguration(NewQueue queue)
    {
        var options = queue.Options;
        Check(queue.Name is { Length: >= 1 and <= MaxNameLength }, $"A queue's name has 1 to {MaxNameLength} characters.");
        Check(queue.Start.Value >= OffsetSpec.Earliest.Value, "A queue starts at the earliest record, the latest, or a time.");
        Check(options.MaxFailures is >= 0 and <= 1_000_000, $"MaxFailures is 0 to 1,000,000, not {options.MaxFailures}.");
        return new CursorConfiguration
        {
            Name = CursorOf(queue.Name),
            MaxDeliveries = options.MaxFailures,
            LimitedCount = LimitedCount.Failures,
            Backoff = new BackoffSchedule(Milliseconds(options.RetryDelay, nameof(options.RetryDelay)), BackoffFactor,
                Milliseconds(options.MaxRetryDelay, nameof(options.MaxRetryDelay))),
            IsOrderedByKey = options.IsOrderedByKey,
            IsSingleActiveConsumer = options.IsSingleActiveConsumer,
        };
    }

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
        return new AttachOptions { Priority = options.Priority, Prefetch = options.Prefetch, LockDuration = options.LockDuration };
    }

    /// <summary>Describes a cursor. In a turn.</summary>
    public static QueueDescription Describe(HostedCursor cursor)
    {
        var (state, term) = (cursor.Cursor.State!, cursor.Term);
        var configuration = state.Configuration;
        return new QueueDescription(configuration.Name[Prefix.Length..], state.Incarnation, new QueueOptions
        {
            MaxFailures = configuration.MaxDeliveries,
            RetryDelay = TimeSpan.FromMilliseconds(configuration.Backoff.FirstMs),
            MaxRetryDelay = TimeSpan.FromMilliseconds(configuration.Backoff.MostMs),
            IsOrderedByKey = configuration.IsOrderedByKey,
            IsSingleActiveConsumer = configuration.IsSingleActiveConsumer,
        })
        {
            Floor = state.Floor,
            Unsettled = Math.Max(0, term.HighWatermark - state.Floor - state.Settled.Count),
            Held = cursor.Cursor.Held,
            Consumers = cursor.Attachments.Count,
            Accepted = state.Total(SettlementCause.Accepted),
            Rejected = state.Total(SettlementCause.Rejected) + state.Total(SettlementCause.DeliveryLimit),
            Purged = state.Total(SettlementCause.Purged),
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

    private static ReadOnlyMemory<byte>? Copy(ReadOnlyMemory<byte>? bytes) =>
        bytes is { } given ? (ReadOnlyMemory<byte>?)given.ToArray() : null;

    private static int Milliseconds(TimeSpan time, string name)
    {
        Check(time >= TimeSpan.Zero && time.TotalMilliseconds <= int.MaxValue, $"{name} is at most 24 days, not {time}.");
        return (int)time.TotalMilliseconds;
    }
}
