using OrleansMq.Api;
using OrleansMq.Clusters;
using OrleansMq.Grains;
using OrleansMq.Tests.PostgreSql.Server;

namespace OrleansMq.Tests.Cluster.Catalogue;

/// <summary>Metadata as seen by a client of the grains, through a long poll.</summary>
public sealed class MetadataPollTests(PostgreSqlFixture postgres) : ReplicatedClusterTests(postgres)
{
    [SkippableFact]
    public async Task Metadata_poll_returns_newer_state_at_once_and_otherwise_waits()
    {
        var image = await PollAsync(0);
        Assert.NotNull(image);
        Assert.Equal([1, 2, 3], image.Brokers.Keys);
        Assert.Empty(image.Topics);
        var changed = UntilAsync(image, newer => newer.FindServed("orders") is not null);
        await Cluster.Broker(1).CreateTopicAsync(new NewTopic("orders", 2, 2));
        image = await changed;
        Assert.Equal(2, image.FindServed("orders")!.Serving);

        await Cluster.UntilInSyncAsync("orders");
        var died = UntilAsync(image, newer => newer.Brokers.Values.Count(broker => broker.IsAlive) == 2);
        var victim = Cluster.Running.First(broker => broker != image.Controller);
        await Cluster.KillAsync(victim);
        Assert.DoesNotContain(victim, (await died).Brokers.Values.Where(broker => broker.IsAlive)
            .Select(broker => broker.Registration.BrokerId));
        await Cluster.SettleAsync();
        image = await UntilAsync(ClusterImage.Empty,
            newer => newer.FindServed("orders")!.Partitions.All(partition => partition.Leader >= 0 && partition.Leader != victim));
        Assert.Equal(2, image.FindServed("orders")!.Partitions.Length);
    }

    [SkippableFact]
    public async Task Metadata_poll_without_a_change_returns_nothing()
    {
        await Cluster.SettleAsync();
        var known = await UntilAsync(ClusterImage.Empty, _ => true);
        // News of a broker that has just joined may still arrive: poll until there is none.
        await Wait.UntilAsync(async () =>
        {
            var newer = await PollAsync(known.Version);
            known = newer ?? known;
            return newer is null;
        }, "nothing new");
        Assert.Equal(Cluster.ImageOf(1).Version, known.Version);
    }

    private async Task<ClusterImage> UntilAsync(ClusterImage known, Func<ClusterImage, bool> condition)
    {
        using var deadline = new CancellationTokenSource(Wait.Deadline);
        while (true)
        {
            deadline.Token.ThrowIfCancellationRequested();
            if (await PollAsync(known.Version) is not { } newer)
                continue;
            Assert.True(newer.Version > known.Version);
            if (condition(newer))
                return newer;
            known = newer;
        }
    }

    private async Task<ClusterImage?> PollAsync(long version)
    {
        var bytes = await Cluster.Get<IGrainFactory>(Cluster.Running.First()).GetGrain<IClusterGrain>(GrainKeys.Cluster)
            .GetMetadataAsync(version);
        return bytes.IsEmpty ? null : ClusterDeltaCodec.Read(bytes.Span).Apply(ClusterImage.Empty);
    }
}
