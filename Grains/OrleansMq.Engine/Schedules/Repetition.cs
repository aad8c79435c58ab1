using Cronos;

namespace OrleansMq.Schedules;

/// <summary>When a schedule repeats: a cron expression by the local time of a zone. Pure, but for the machine's time zones.</summary>
/// <remarks>
/// A local time that a change of the clock skips fires at the change. One that comes twice fires the first time, unless the expression
/// says an interval, as in <c>*/30 * * * *</c>. The library finds the local times; this class turns them into times, by the zone's offset
/// at each. What the zone says of its local times is not used: it is wrong where the clock goes back for the winter's saving, as in Dublin.
/// <para>A clock that changes does so once within a day, and by at most a day.</para>
/// </remarks>
internal sealed class Repetition
{
    /// <summary>The zone where none is given.</summary>
    public const string DefaultZone = "UTC";

    /// <summary>The most characters of an expression.</summary>
    public const int MaxLength = 500;

    /// <summary>The most characters of a zone's id.</summary>
    public const int MaxZoneLength = 64;

    private const int FieldsWithSeconds = 6;
    private const int DateFields = 3;
    private const long Day = 86_400_000;

    private readonly CronExpression _expression;
    private readonly TimeZoneInfo _zone;
    private readonly bool _isInterval;

    private Repetition(CronExpression expression, TimeZoneInfo zone, bool isInterval) =>
        (_expression, _zone, _isInterval) = (expression, zone, isInterval);

    /// <summary>Parses an expression.</summary>
    /// <param name="cron">Five fields, or six of which the first is the second.</param>
    /// <param name="zone">The IANA id of the time zone.</param>
    /// <exception cref="FormatException">The expression or the zone is not valid here; the message says what to do.</exception>
    public static Repetition Parse(string cron, string zone)
    {
        var fields = cron.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries);
        if (cron.Length > MaxLength || fields.Length is not (FieldsWithSeconds - 1 or FieldsWithSeconds))
            throw new FormatException($"Cron '{Shown(cron)}' has {fields.Length} fields and {cron.Length} characters; expected are 5 "
                + $"fields, 'minute hour day month weekday', or 6 that begin with the second, and at most {MaxLength} characters.");
        try
        {
            var format = fields.Length == FieldsWithSeconds ? CronFormat.IncludeSeconds : CronFormat.Standard;
            return new Repetition(CronExpression.Parse(cron, format), ZoneOf(zone),
                fields[..^DateFields].Any(static field => field.AsSpan().ContainsAny("*?-/")));
        }
        catch (Exception fault) when (fault is CronFormatException or MissingSeedException)
        {
            throw new FormatException($"Cron '{cron}' is not valid: {fault.Message} An example is '0 9 * * MON-FRI': at nine on workdays.",
                fault);
        }
    }

    /// <summary>Returns the first firing at a time or later, in milliseconds since 1970; null: there is none.</summary>
    public long? NextAt(long from) => NextAfter(from - 1);

    /// <summary>Returns the first firing after a time, in milliseconds since 1970; null: there is none.</summary>
    public long? NextAfter(long after)
    {
        var (at, offset) = (after, OffsetAt(after));
        while (LocalAfter(at + offset) is { } local)
        {
            var due = local - offset;
            var end = Math.Min(due, at + Day);
            if (FindChange(at, offset, end) is { } change)
            {
                var changed = OffsetAt(change);
                // Skipped: the local time is at the change or behind it by the old offset, and before it by the new one.
                if (local < change + changed)
                    return change;
                (at, offset) = (change - 1, changed);
            }
            else if (due > end)
            {
                // No local time in between matches, also none that comes again.
                at = Math.Max(end, local - 2 * Day);
                offset = OffsetAt(at);
            }
            else if (_isInterval || !IsSecond(due, offset))
                return due;
            else
                at = due;
        }
        return null;
    }

    // Whether the local time of a moment came before.
    private bool IsSecond(long at, long offset)
    {
        var earlier = OffsetAt(at - Day);
        return earlier > offset && OffsetAt(at - (earlier - offset)) == earlier;
    }

    // The first moment of another offset, behind a moment and up to another.
    private long? FindChange(long after, long offset, long end)
    {
        if (OffsetAt(end) == offset)
            return null;
        while (end - after > 1)
        {
            var middle = after + (end - after) / 2;
            if (OffsetAt(middle) == offset)
                after = middle;
            else
                end = middle;
        }
        return end;
    }

    private long OffsetAt(long at) => (long)_zone.GetUtcOffset(DateTimeOffset.FromUnixTimeMilliseconds(at).UtcDateTime).TotalMilliseconds;

    // Local times are counted as UTC's are.
    private long? LocalAfter(long local) =>
        _expression.GetNextOccurrence(DateTimeOffset.FromUnixTimeMilliseconds(local).UtcDateTime) is { } next
            ? new DateTimeOffset(next).ToUnixTimeMilliseconds() : null;

    // The system keeps each spelling for ever, and takes some that are none: the id is checked before.
    private static TimeZoneInfo ZoneOf(string zone) => IsId(zone) && TimeZoneInfo.TryFindSystemTimeZoneById(zone, out var found) ? found
        : throw new FormatException($"Time zone '{Shown(zone)}' is not known to the broker. Give an IANA id such as 'Europe/Berlin', or "
            + "install the time zone data (tzdata) on the brokers' machines.");

    /// <summary>Whether the broker knows a time zone.</summary>
    public static bool IsZoneKnown(string zone) => IsId(zone) && TimeZoneInfo.TryFindSystemTimeZoneById(zone, out _);

    private static bool IsId(string zone) => zone.Length is > 0 and <= MaxZoneLength && zone.Split('/').All(static part =>
        part.Length > 0 && part.All(static one => char.IsAsciiLetterOrDigit(one) || one is '_' or '+' or '-'));

    private static string Shown(string text) => text.Length <= 100 ? text : text[..100] + "...";
}
