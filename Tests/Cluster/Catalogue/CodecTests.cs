using Orleans.Runtime.Placement;
using OrleansMq.Api;
using OrleansMq.Diagnostics;
using OrleansMq.Grains.Topics;
using OrleansMq.Records;
using OrleansMq.Tests.PostgreSql.Server;

namespace OrleansMq.Tests.Cluster.Catalogue;

/// <summary>Brokers of a cluster with different codecs. A topic whose codec one of them lacks could not be written where that one
/// leads.</summary>
public sealed class CodecTests(PostgreSqlFixture postgres) : ReplicatedClusterTests(postgres)
{
    private static readonly Dictionary<string, string> Gzip = new() { ["compression.type"] = "gzip" };

    [SkippableFact]
    public async Task Topic_whose_codec_another_broker_lacks_is_refused_until_that_is_drained()
    {
        await Cluster.Broker(1).CreateTopicAsync(new NewTopic("before", 1, 1, Gzip));
        Cluster.CodecsOf = static _ => CompressionCodecs.Empty;
        await Cluster.StartAsync(4);
        await Cluster.SettleAsync();

        var refused = await RefusedAsync(Cluster.Broker(1).CreateTopicAsync(new NewTopic("orders", 1, 1, Gzip)));
        Assert.Contains("broker 4 has no codec", refused.Message, StringComparison.Ordinal);
        // Its grain is on the broker that lacks the codec, which must neither be named otherwise nor matter after the drain.
        RequestContext.Set(IPlacementDirector.PlacementHintKey, Cluster.Get<ILocalSiloDetails>(4).SiloAddress);
        await Cluster.Broker(2).CreateTopicAsync(new NewTopic("orders", 1, 1));
        RequestContext.Remove(IPlacementDirector.PlacementHintKey);
        refused = await RefusedAsync(Cluster.Broker(3).AlterTopicAsync("orders", new Dictionary<string, string?>(Gzip!)));
        Assert.Contains("broker 4 has no codec", refused.Message, StringComparison.Ordinal);
        await Cluster.Broker(3).AlterTopicAsync("before", new Dictionary<string, string?>(Gzip!) { ["retention.ms"] = "1000000" });

        await Cluster.Broker(1).Administration.DrainBrokerAsync(4, default);
        await Cluster.Broker(3).AlterTopicAsync("orders", new Dictionary<string, string?>(Gzip!));
        await Cluster.Broker(1).CreateTopicAsync(new NewTopic("later", 1, 1, Gzip));
    }

    [SkippableFact]
    public async Task Topics_whose_codec_a_broker_lacks_are_warned_of_when_it_joins_and_when_it_resumes()
    {
        await Cluster.Broker(1).CreateTopicAsync(new NewTopic("zipped", 1, 1, Gzip));
        await Cluster.Broker(1).CreateTopicAsync(new NewTopic("plain", 1, 1));
        Cluster.CodecsOf = static _ => CompressionCodecs.Empty;

        await Cluster.StartAsync(4);
        await WarnedAsync(1);
        await Cluster.Broker(1).Administration.DrainBrokerAsync(4, default);
        await Cluster.Broker(1).Administration.ResumeBrokerAsync(4, default);
        await WarnedAsync(2);
    }

    [SkippableFact]
    public async Task Cluster_grain_of_an_earlier_version_refuses_no_codec()
    {
        await Cluster.Broker(1).CreateTopicAsync(new NewTopic("orders", 1, 1));
        Cluster.FailCall = static method => method == nameof(IClusterOwnerGrain.RequireCodecAsync)
            ? new TypeLoadException("Unable to resolve the type alias of the call.") : null;

        await Cluster.Broker(1).AlterTopicAsync("orders", new Dictionary<string, string?>(Gzip!));

        var described = await Cluster.Broker(2).DescribeTopicAsync("orders");
        Assert.Equal("gzip", described.Configs.Single(static config => config.Name == "compression.type").Value);
    }

    private Task WarnedAsync(int times) => Wait.UntilAsync(() => Cluster.Log.At(EngineLogLevel.Warning).Count(static line =>
        line.Contains("Broker 4 has no codec for Gzip, but 'compression.type' asks for it in topic 'zipped':", StringComparison.Ordinal))
        >= times, $"{times} warnings of broker 4's codecs");

    private static async Task<BrokerException> RefusedAsync<T>(ValueTask<T> change)
    {
        var refused = await Assert.ThrowsAsync<BrokerException>(change.AsTask);
        Assert.Equal(ErrorCode.InvalidConfig, refused.Code);
        return refused;
    }
}
