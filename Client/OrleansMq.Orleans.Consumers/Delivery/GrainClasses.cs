using Orleans.Metadata;

namespace OrleansMq.Consumers;

/// <summary>Which grain classes the cluster has, and for how long it has had none of a name. Thread-safe.</summary>
internal sealed class GrainClasses(IClusterManifestProvider manifests, TimeProvider time)
{
    private readonly Absences<GrainType> _missing = new(manifests, IsIn, time);

    /// <summary>Returns for how long no silo has been known to have a class; null: one has it.</summary>
    /// <param name="grainType">The class.</param>
    /// <param name="isReported">Whether that was returned as not reported within the last minute.</param>
    public TimeSpan? MissingFor(GrainType grainType, out bool isReported) => _missing.Of(grainType, out isReported);

    private static bool IsIn(ClusterManifest manifest, GrainType grainType)
    {
        // A generic class is in the manifest without its type arguments.
        var arguments = grainType.AsSpan().IndexOf((byte)'[');
        var declared = arguments < 0 ? grainType : new GrainType(grainType.AsSpan()[..arguments].ToArray());
        return manifest.AllGrainManifests.Any(silo => silo.Grains.ContainsKey(declared));
    }
}
