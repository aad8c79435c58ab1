using OrleansMq.Api;

namespace OrleansMq.Clusters;

/// <summary>This broker's current view of the cluster. Thread-safe.</summary>
internal interface IClusterMetadata
{
    /// <summary>The newest image received; <see cref="ClusterImage.Empty"/> before the first.</summary>
    ClusterImage Image { get; }

    /// <summary>Raised when a newer image has arrived and become <see cref="Image"/>. Called in order, one at a time; must not
    /// block.</summary>
    event Action<ClusterImage>? Changed;

    /// <summary>Describes the cluster for the broker API.</summary>
    ClusterDescription Describe();

    /// <summary>Completes with the first image newer than <paramref name="version"/>.</summary>
    Task<ClusterImage> WaitForNewerAsync(long version, CancellationToken cancellationToken);
}
