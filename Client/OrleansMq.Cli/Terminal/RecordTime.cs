using System.Globalization;

namespace OrleansMq.Cli.Terminal;

/// <summary>The time of a record, for people.</summary>
internal static class RecordTime
{
    private const long EndOfCalendar = 253_402_300_799_999; // the last millisecond of the year 9999

    /// <summary>Formats milliseconds since 1970. The time is a client's: one outside of the calendar stays a number.</summary>
    public static string Format(long timestamp) => timestamp is >= 0 and <= EndOfCalendar
        ? DateTimeOffset.FromUnixTimeMilliseconds(timestamp).ToString("yyyy-MM-dd'T'HH:mm:ss'Z'", CultureInfo.InvariantCulture)
        : timestamp.ToString(CultureInfo.InvariantCulture);
}
