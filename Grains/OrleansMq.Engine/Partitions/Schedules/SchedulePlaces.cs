using System.Globalization;
using OrleansMq.Schedules;

namespace OrleansMq.Partitions.Schedules;

/// <summary>Places in the list of schedules, which is ordered by time and id. Pure.</summary>
internal static class SchedulePlaces
{
    /// <summary>Formats a place.</summary>
    public static string Format(ScheduleHandle handle) => string.Create(CultureInfo.InvariantCulture, $"{handle.Due}-{handle.Id:N}");

    /// <summary>Parses a place.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.InvalidRequest"/>.</exception>
    public static ScheduleHandle Parse(string place)
    {
        var dash = place.LastIndexOf('-');
        return dash > 0 && long.TryParse(place.AsSpan(0, dash), NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var due)
            && Guid.TryParseExact(place.AsSpan(dash + 1), "N", out var id)
                ? new ScheduleHandle(due, id)
                : throw new BrokerException(ErrorCode.InvalidRequest, $"'{place}' is no place in a list. Give the 'next' of a page.");
    }
}
