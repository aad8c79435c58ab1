using OrleansMq.Api;
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
        await Cluster.Broker(2).CreateTopicAsync(new NewTopic("orders", 1, 1));
        refused = await RefusedAsync(Cluster.Broker(3).AlterTopicAsync("orders", new Dictionary<string, string?>(Gzip!)));
        Assert.Contains("broker 4 has no codec", refused.Message, StringComparison.Ordinal);
        await Cluster.Broker(3).AlterTopicAsync("before", new Dictionary<string, string?> { ["retention.ms"] = "1000000" });

        await Cluster.Broker(1).Administration.DrainBrokerAsync(4, default);
        await Cluster.Broker(3).AlterTopicAsync("orders", new Dictionary<string, string?>(Gzip!));
        await Cluster.Broker(1).CreateTopicAsync(new NewTopic("later", 1, 1, Gzip));
    }

    private static async Task<BrokerException> RefusedAsync<T>(ValueTask<T> change)
    {
        var refused = await Assert.ThrowsAsync<BrokerException>(change.AsTask);
        Assert.Equal(ErrorCode.InvalidConfig, refused.Code);
        return refused;
    }
}
