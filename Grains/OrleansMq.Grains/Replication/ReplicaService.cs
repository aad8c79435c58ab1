using Microsoft.Extensions.Logging;
using OrleansMq.Grains.Access;
using OrleansMq.Grains.Hosting;
using OrleansMq.Grains.Partitions;
using OrleansMq.Grains.Topics;
using OrleansMq.VirtualHosts;

namespace OrleansMq.Grains.Replication;

/// <summary>This silo's end of <see cref="IReplicaService"/>: forwards to the broker's replicas. Calls interleave, so a slow disk delays
/// only the calls that use it. Orleans' clients can address it: each method refuses them.</summary>
internal sealed class ReplicaService(GrainId grainId, Silo silo, ILoggerFactory loggers, SiloBroker broker, SiloReplicas replicas,
    PartitionLeadership leadership, IClusterImageSink images, ClusterVirtualHosts hosts, ControllerSeat controller,
    GatewayInbox gateways, GrainDoor door)
    : GrainService(grainId, silo, loggers), IReplicaService
{
    /// <inheritdoc/>
    public async Task<ReadOnlyMemory<byte>> DeliverAsync(int fromBroker, ReadOnlyMemory<byte> bundle)
    {
        door.DemandBroker<IReplicaService>();
        return await replicas.Manager.ReceiveAsync(fromBroker, bundle);
    }

    /// <inheritdoc/>
    public Task<ReplicaReportRecord[]> ReportAsync(ReplicaKeyRecord[] keys)
    {
        door.DemandBroker<IReplicaService>();
        return Task.FromResult(keys.Select(key => replicas.Manager.TryGet(key, out var replica)
            ? ReplicaReportRecord.Of(leadership.Report(replica)) : null)
            .OfType<ReplicaReportRecord>().ToArray());
    }

    /// <inheritdoc/>
    public Task OpenReplicaAsync(ReplicaKeyRecord key, string topic, Dictionary<string, string> configs)
    {
        door.DemandBroker<IReplicaService>();
        // Creates and flushes a directory, so it must not run on the thread that serves the other calls.
        return Task.Run(() => replicas.Manager.GetOrCreate(key, new(topic, broker.Parse(configs))));
    }

    /// <inheritdoc/>
    public Task DropReplicaAsync(ReplicaKeyRecord key)
    {
        door.DemandBroker<IReplicaService>();
        return replicas.Manager.DropAsync(key);
    }

    /// <inheritdoc/>
    public Task<long> PushImageAsync(ReadOnlyMemory<byte> image)
    {
        door.DemandBroker<IReplicaService>();
        return images.AcceptAsync(image);
    }

    /// <inheritdoc/>
    public Task<long> PushVirtualHostsAsync(ReadOnlyMemory<byte> delta)
    {
        door.DemandBroker<IReplicaService>();
        // Large ones take their time, and handlers of changes run.
        return Task.Run(() => hosts.Apply(VirtualHostsDelta.Parse(delta.Span)));
    }

    /// <inheritdoc/>
    public Task<ReadOnlyMemory<byte>> FenceVirtualHostsAsync(int epoch)
    {
        door.DemandBroker<IReplicaService>();
        return Task.Run(() => hosts.Fence(epoch) is { Version: > 0 } image
            ? new ReadOnlyMemory<byte>(VirtualHostsDelta.Between(null, image).ToBytes()) : default);
    }

    /// <inheritdoc/>
    public Task<bool> TellGatewayAsync(string gateway, ReadOnlyMemory<byte> message)
    {
        door.DemandBroker<IReplicaService>();
        return Task.FromResult(gateways.Take(gateway, message));
    }

    /// <inheritdoc/>
    public Task<ReadOnlyMemory<byte>?> AskGatewayAsync(string gateway, ReadOnlyMemory<byte> question)
    {
        door.DemandBroker<IReplicaService>();
        return Task.Run(() => gateways.AskAsync(gateway, question));
    }

    /// <inheritdoc/>
    public Task<int[][]> PlaceAsync(int count, int replicationFactor)
    {
        door.DemandBroker<IReplicaService>();
        return controller.CallAsync(grain => grain.PlaceAsync(count, replicationFactor));
    }

    /// <inheritdoc/>
    public Task AnnounceAsync(TopicRecord topic, int first, int[][] replicas)
    {
        door.DemandBroker<IReplicaService>();
        return controller.CallAsync(async grain =>
        {
            await grain.AnnounceAsync(topic, first, replicas);
            return true;
        });
    }
}
