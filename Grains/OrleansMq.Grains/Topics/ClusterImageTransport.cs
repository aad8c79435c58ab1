using OrleansMq.Clusters;
using OrleansMq.Grains.Replication;

namespace OrleansMq.Grains.Topics;

/// <summary>Takes the cluster's metadata to the brokers.</summary>
internal sealed class ClusterImageTransport(ReplicaServices brokers) : IImageTransport<ClusterImage>
{
    /// <inheritdoc/>
    public string Noun => "metadata";

    /// <inheritdoc/>
    public long VersionOf(ClusterImage image) => image.Version;

    /// <inheritdoc/>
    public ReadOnlyMemory<byte> Write(ClusterImage? before, ClusterImage after) =>
        ClusterDeltaCodec.Write(ClusterDelta.Between(before ?? ClusterImage.Empty, after));

    /// <inheritdoc/>
    public Task<long> PushAsync(int broker, ReadOnlyMemory<byte> written) => brokers.Of(broker).PushImageAsync(written);
}
