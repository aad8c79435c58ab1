using OrleansMq.Api;

namespace OrleansMq.Clusters;

/// <summary>What this broker knows of the cluster at the moment. Thread safe.</summary>
public interface IClusterMetadata
{
    /// <summary>The newest image that has arrived; <see cref="ClusterImage.Empty"/> before the first.</summary>
    ClusterImage Image { get; }

    /// <summary>A newer image has arrived, and is <see cref="Image"/> by now. Called in order, one at a time; must not block.</summary>
    event Action<ClusterImage>? Changed;

    /// <summary>The image as the broker API describes a cluster.</summary>
    ClusterDescription Describe();

    /// <summary>The image, as soon as it is newer than <paramref name="version"/>.</summary>
    Task<ClusterImage> WaitForNewerAsync(long version, CancellationToken cancellationToken);
}
