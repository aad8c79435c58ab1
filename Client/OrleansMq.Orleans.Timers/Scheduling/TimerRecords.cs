using System.Globalization;
using System.Text;
using OrleansMq.Client;
using OrleansMq.Consumers;
using OrleansMq.Schedules;

namespace OrleansMq.Timers;

/// <summary>Records of timers. The key is the grain, the value the message; headers say the rest. They are the same for the same timer, so
/// that a call that is repeated is known as one.</summary>
internal static class TimerRecords
{
    private const byte Separator = (byte)'/';
    private const int MaxType = 256;
    private static readonly long s_last = DateTimeOffset.MaxValue.ToUnixTimeMilliseconds();

    /// <summary>The timer's id.</summary>
    public const string Id = "timer-id";
    /// <summary>The name of the message's type.</summary>
    public const string Type = "timer-type";
    /// <summary>When it is due, in milliseconds since 1970; of one that does not repeat.</summary>
    public const string Due = "timer-due";
    /// <summary>The expression by which it repeats.</summary>
    public const string Cron = "timer-cron";
    /// <summary>The time zone of the expression.</summary>
    public const string Zone = "timer-zone";

    /// <summary>Returns the key of a grain's records: its type, a slash and its key.</summary>
    public static byte[] KeyOf(GrainId grain) => [.. grain.Type.AsSpan(), Separator, .. grain.Key.AsSpan()];

    /// <summary>Says why a grain can have no timers; null: it can.</summary>
    public static string? WhyNotWritable(GrainId grain) =>
        grain.Type.AsSpan().Contains(Separator) ? $"The grain type of {grain} has a '/', which ends the type in the keys of records: give "
            + "the class a [GrainType] without one."
        : grain.Type.AsSpan().Length > MaxType ? $"The grain type {grain.Type} has more than {MaxType} bytes: give the class a shorter "
            + "[GrainType]."
        : GrainKeys.CanBeKey(grain.Key.AsSpan()) ? null
        : $"The key of a grain of type {grain.Type} has {grain.Key.AsSpan().Length:N0} bytes: one with timers has 1 to "
            + $"{GrainKeys.MaxLength:N0}, without U+0000.";

    /// <summary>Reads the key of a record.</summary>
    public static bool TryReadKey(ReadOnlySpan<byte> key, out GrainId grain)
    {
        grain = default;
        var end = key.IndexOf(Separator);
        if (end <= 0 || end == key.Length - 1)
            return false;
        if (end > MaxType || !GrainKeys.CanBeKey(key[(end + 1)..]))
            return false;
        grain = GrainId.Create(new GrainType(key[..end].ToArray()), new IdSpan(key[(end + 1)..].ToArray()));
        return !grain.IsSystemTarget() && !grain.IsClient();
    }

    /// <summary>Returns the headers of a timer's record.</summary>
    public static RecordHeader[] HeadersOf(string id, string type, DateTimeOffset at) =>
    [
        RecordHeaders.Text(Id, id), RecordHeaders.Text(Type, type),
        RecordHeaders.Text(Due, MillisecondsOf(at).ToString(CultureInfo.InvariantCulture)),
    ];

    /// <summary>Returns the headers of the records of a timer that repeats.</summary>
    public static RecordHeader[] HeadersOf(string id, string type, string cron, string zone) =>
    [
        RecordHeaders.Text(Id, id), RecordHeaders.Text(Type, type), RecordHeaders.Text(Cron, cron), RecordHeaders.Text(Zone, zone),
    ];

    /// <summary>Returns a header as text; null: there is none.</summary>
    public static string? Find(in ConsumedItem item, string name)
    {
        var wanted = Encoding.UTF8.GetBytes(name);
        return item.Headers.LastOrDefault(header => header.Key.AsSpan().SequenceEqual(wanted)).Value is { } value
            ? Encoding.UTF8.GetString(value) : null;
    }

    /// <summary>Returns the timer of a record.</summary>
    public static FiredTimer TimerOf(RecordDelivery delivery, in ConsumedItem item)
    {
        var cron = Find(item, Cron);
        var due = cron is null ? DueOf(Find(item, Due), item.Timestamp) : LastDue(cron, Find(item, Zone), item.Timestamp);
        return new FiredTimer(RecordPosition.Of(delivery.TopicId, delivery.Partition, delivery.Key, item.Offset))
        {
            Id = Find(item, Id) ?? "",
            Due = RecordTimes.Of(due),
            FiredAt = RecordTimes.Of(item.Timestamp),
            Cron = cron,
            Attempt = item.Attempt,
            IsRedelivered = item.IsRedelivered,
        };
    }

    /// <summary>Returns a time in milliseconds since 1970, as a schedule has it: rounded up, so that it is never earlier.</summary>
    public static long MillisecondsOf(DateTimeOffset at)
    {
        var milliseconds = at.ToUnixTimeMilliseconds();
        return at.Ticks % TimeSpan.TicksPerMillisecond == 0 || milliseconds == s_last ? milliseconds : milliseconds + 1;
    }

    /// <summary>Returns the last time of an expression at or before a moment; the moment, where the zone is not known here.</summary>
    internal static long LastDue(string cron, string? zone, long at)
    {
        const long FirstLook = 1_000;
        at = Math.Min(at, s_last);
        Repetition repetition;
        try
        {
            repetition = Repetition.Parse(cron, zone ?? Repetition.DefaultZone);
        }
        catch (FormatException)
        {
            return at;
        }
        for (var look = FirstLook; look <= at; look *= 2)
        {
            if (!IsDueBy(at - look))
                continue;
            // Few steps: an expression may have millions of times in a look.
            var (first, end) = (at - look, at + 1);
            while (end - first > 1)
            {
                var middle = first + ((end - first) / 2);
                (first, end) = IsDueBy(middle) ? (middle, end) : (first, middle);
            }
            return first;
        }
        return at;

        // Whether it is due at a moment or later, and not after the firing.
        bool IsDueBy(long from) => repetition.NextAt(from) is { } due && due <= at;
    }

    private static long DueOf(string? due, long at) =>
        long.TryParse(due, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var known) ? known : at;
}
