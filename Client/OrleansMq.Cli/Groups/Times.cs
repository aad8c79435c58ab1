using System.Globalization;
using System.Xml;
using OrleansMq.Cli.CommandLine;

namespace OrleansMq.Cli.Groups;

/// <summary>Times as people write them.</summary>
internal static class Times
{
    /// <summary>A time by ISO 8601; UTC unless it says otherwise.</summary>
    /// <exception cref="CommandFailedException">It is none, or before 1970.</exception>
    public static DateTimeOffset ParseTime(string option, string text) =>
        // Year first: 01/02/2026 is another day on the other side of an ocean.
        text.Length >= 10 && text[4] == '-' && DateTimeOffset.TryParse(text, CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal,
            out var time) && time >= DateTimeOffset.UnixEpoch
            ? time
            : throw CommandFailedException.Usage($"{option} '{text}' is no time since 1970. Write it like 2026-01-31T08:00:00Z, or "
            + "2026-01-31.");

    /// <summary>A duration such as 90s, 30m, 12h or 7d, or by ISO 8601.</summary>
    /// <exception cref="CommandFailedException">It is none, or below 0.</exception>
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
            // Not a duration, as the text below says.
        }
        throw CommandFailedException.Usage($"{option} '{text}' is no duration. Write it like 90s, 30m, 12h, 7d or PT1H30M.");
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
