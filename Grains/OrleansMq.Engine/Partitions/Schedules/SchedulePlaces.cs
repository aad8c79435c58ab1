using System.Globalization;
using OrleansMq.Schedules;

namespace OrleansMq.Partitions.Schedules;

/// <summary>Places in the list of schedules, which is ordered by time and id. Pure.</summary>
internal static class SchedulePlaces
{
    /// <summary>Returns the first timers behind a place, in order; one pass, and no more memory than those take.</summary>
    public static List<ScheduledTimer> First(IEnumerable<ScheduledTimer> timers, ScheduleHandle? after, int maxCount)
    {
        // The last of those that are kept comes out first.
        var kept = new PriorityQueue<ScheduledTimer, ScheduleHandle>(Comparer<ScheduleHandle>.Create((one, other) => other.CompareTo(one)));
        foreach (var timer in timers)
        {
            if (after is { } place && timer.Handle.CompareTo(place) <= 0)
                continue;
            if (kept.Count < maxCount)
                kept.Enqueue(timer, timer.Handle);
            else
                kept.EnqueueDequeue(timer, timer.Handle);
        }
        var first = new List<ScheduledTimer>(kept.Count);
        while (kept.TryDequeue(out var timer, out _))
            first.Add(timer);
        first.Reverse();
        return first;
    }

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
