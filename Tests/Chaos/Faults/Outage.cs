using OrleansMq.Tests.Chaos.Load;

namespace OrleansMq.Tests.Chaos.Faults;

/// <summary>A fault that took a partition's leader from a healthy cluster.</summary>
/// <param name="Kind">The fault.</param>
/// <param name="Partition">The partition.</param>
/// <param name="Moment">The time of the fault, as a stopwatch timestamp.</param>
internal readonly record struct Outage(FaultKind Kind, int Partition, long Moment);

/// <summary>How long partitions were unavailable for writes.</summary>
internal static class Outages
{
    /// <summary>The times from each fault to the first acknowledged append sent after it, by kind of fault, ascending.</summary>
    public static IReadOnlyDictionary<FaultKind, IReadOnlyList<TimeSpan>> Measure(IEnumerable<Outage> outages,
        IReadOnlyList<AvailabilityProbe> probes) => outages
        .Select(outage => (outage.Kind, Time: probes[outage.Partition].TimeToNextSuccess(outage.Moment)))
        .Where(outage => outage.Time is not null)
        .GroupBy(outage => outage.Kind, outage => outage.Time!.Value)
        .ToDictionary(kind => kind.Key, kind => (IReadOnlyList<TimeSpan>)[.. kind.Order()]);

    /// <summary>The median of an ascending list.</summary>
    public static TimeSpan Median(IReadOnlyList<TimeSpan> ascending) => ascending[ascending.Count / 2];
}
