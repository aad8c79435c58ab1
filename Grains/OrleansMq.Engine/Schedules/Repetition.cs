using Cronos;

namespace OrleansMq.Schedules;

/// <summary>When a schedule repeats: a cron expression by the local time of a zone. Pure, but for the machine's time zones.</summary>
/// <remarks>A local time that a change of the clock skips fires at the change. One that comes twice fires the first time, unless the
/// expression says an interval, as in <c>*/30 * * * *</c>.</remarks>
internal sealed class Repetition
{
    /// <summary>The zone where none is given.</summary>
    public const string DefaultZone = "UTC";

    /// <summary>The most characters of an expression.</summary>
    public const int MaxLength = 500;

    private const int FieldsWithSeconds = 6;

    private readonly CronExpression _expression;
    private readonly TimeZoneInfo _zone;

    private Repetition(CronExpression expression, TimeZoneInfo zone) => (_expression, _zone) = (expression, zone);

    /// <summary>Parses an expression.</summary>
    /// <param name="cron">Five fields, or six of which the first is the second.</param>
    /// <param name="zone">The IANA id of the time zone.</param>
    /// <exception cref="FormatException">The expression or the zone is not valid here; the message says what to do.</exception>
    public static Repetition Parse(string cron, string zone)
    {
        var fields = cron.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries).Length;
        if (cron.Length > MaxLength || fields is not (FieldsWithSeconds - 1 or FieldsWithSeconds))
            throw new FormatException($"Cron '{Shown(cron)}' has {fields} fields and {cron.Length} characters; expected are 5 fields, "
                + $"'minute hour day month weekday', or 6 that begin with the second, and at most {MaxLength} characters.");
        try
        {
            var expression = CronExpression.Parse(cron, fields == FieldsWithSeconds ? CronFormat.IncludeSeconds : CronFormat.Standard);
            return new Repetition(expression, TimeZoneInfo.FindSystemTimeZoneById(zone));
        }
        catch (Exception fault) when (fault is CronFormatException or MissingSeedException)
        {
            throw new FormatException($"Cron '{cron}' is not valid: {fault.Message} An example is '0 9 * * MON-FRI': at nine on workdays.",
                fault);
        }
        catch (Exception fault) when (fault is TimeZoneNotFoundException or InvalidTimeZoneException)
        {
            throw new FormatException($"Time zone '{Shown(zone)}' is not known to the broker. Give an IANA id such as 'Europe/Berlin', or "
                + "install the time zone data (tzdata) on the brokers' machines.", fault);
        }
    }

    /// <summary>Returns the first firing at a time or later, in milliseconds since 1970; null: there is none.</summary>
    public long? NextAt(long from) => NextAfter(from - 1);

    /// <summary>Returns the first firing after a time, in milliseconds since 1970; null: there is none.</summary>
    public long? NextAfter(long after) =>
        _expression.GetNextOccurrence(DateTimeOffset.FromUnixTimeMilliseconds(after), _zone)?.ToUnixTimeMilliseconds();

    private static string Shown(string text) => text.Length <= 100 ? text : text[..100] + "...";
}
