using System.Collections.Concurrent;

namespace OrleansMq.Consumers;

/// <summary>Which grain classes the cluster has, and for how long it has had none of a name. Thread-safe.</summary>
internal sealed class GrainClasses(IClusterManifestProvider manifests, TimeProvider time)
{
    private static readonly TimeSpan ReportInterval = TimeSpan.FromMinutes(1);

    private readonly ConcurrentDictionary<GrainType, (long Since, long Reported)> _missing = new();

    /// <summary>Returns for how long no silo has been known to have a class; null: one has it.</summary>
    /// <param name="grainType">The class.</param>
    /// <param name="isReported">Whether that was returned as not reported within the last minute.</param>
    public TimeSpan? MissingFor(GrainType grainType, out bool isReported)
    {
        isReported = true;
        // A generic class is in the manifest without its type arguments.
        if (manifests.Current.AllGrainManifests.Any(silo => silo.Grains.ContainsKey(grainType))
            || grainType.ToString()!.Contains('`', StringComparison.Ordinal))
        {
            _missing.TryRemove(grainType, out _);
            return null;
        }
        var now = time.GetTimestamp();
        isReported = !_missing.TryAdd(grainType, (now, now));
        var entry = _missing.GetValueOrDefault(grainType, (Since: now, Reported: now));
        if (isReported && time.GetElapsedTime(entry.Reported, now) >= ReportInterval)
            isReported = !_missing.TryUpdate(grainType, entry with { Reported = now }, entry);
        return time.GetElapsedTime(entry.Since, now);
    }
}
