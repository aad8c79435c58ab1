using System.Globalization;
using System.Xml;
using OrleansMq.Cli.CommandLine;

namespace OrleansMq.Cli.Groups;

/// <summary>Parses times and durations.</summary>
internal static class Times
{
    /// <summary>Parses an ISO 8601 time; UTC unless it has an offset.</summary>
    /// <exception cref="CommandFailedException">It is not a time, or before 1970.</exception>
    public static DateTimeOffset ParseTime(string option, string text) =>
        // Year first: a date such as 01/02/2026 is ambiguous.
        text.Length >= 10 && text[4] == '-' && DateTimeOffset.TryParse(text, CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal,
            out var time) && time >= DateTimeOffset.UnixEpoch
            ? time
            : throw CommandFailedException.Usage($"{option} '{text}' is not a time since 1970. Write it like 2026-01-31T08:00:00Z, or "
            + "2026-01-31.");

    /// <summary>Parses a duration such as 90s, 30m, 12h or 7d, or one in ISO 8601.</summary>
    /// <exception cref="CommandFailedException">It is not a duration, or negative.</exception>
    public static TimeSpan ParseDuration(string option, string text)
    {
        try
        {
            if (text.StartsWith('P'))
                return XmlConvert.ToTimeSpan(text);
            if (text.Length > 1 && Unit(text[^1]) is { } unit
                && double.TryParse(text[..^1], NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out var count))
                return unit * count;
        }
        catch (Exception e) when (e is FormatException or OverflowException)
        {
            // Not a duration: reported below.
        }
        throw CommandFailedException.Usage($"{option} '{text}' is not a duration. Write it like 90s, 30m, 12h, 7d or PT1H30M.");
    }

    private static TimeSpan? Unit(char unit) => unit switch
    {
        's' => TimeSpan.FromSeconds(1),
        'm' => TimeSpan.FromMinutes(1),
        'h' => TimeSpan.FromHours(1),
        'd' => TimeSpan.FromDays(1),
        _ => null,
    };
}
