using OrleansMq.Api;
using OrleansMq.Grains;
using OrleansMq.Records;

namespace OrleansMq.Tests.Cluster.Catalogue;

/// <summary>Grains under keys that no broker uses, and topics that a broker cannot serve.</summary>
public sealed class GrainKeyTests
{
    [Fact]
    public async Task Cluster_grain_under_another_key_refuses_every_call()
    {
        using var directory = new TempDirectory();
        await using var silo = await TestSilo.StartAsync(directory.Path);
        var stray = silo.Client.GetGrain<IClusterGrain>("x");
        foreach (var call in (Func<Task>[])[() => stray.CreateTopicAsync(new NewTopic("orders")), () => stray.ListTopicsAsync()])
        {
            var refused = await Assert.ThrowsAsync<BrokerException>(call);
            Assert.Equal(ErrorCode.InvalidRequest, refused.Code);
            Assert.Contains("'x'", refused.Message, StringComparison.Ordinal);
            Assert.Contains("GetCluster()", refused.Message, StringComparison.Ordinal);
        }
        Assert.Empty(await silo.Client.GetCluster().ListTopicsAsync());
    }

    [Fact]
    public async Task Grains_are_found_by_what_they_stand_for()
    {
        using var directory = new TempDirectory();
        await using var silo = await TestSilo.StartAsync(directory.Path);
        await silo.Client.GetCluster().CreateTopicAsync(new NewTopic("orders", 2));
        var topic = await silo.Client.GetTopic("orders").FindAsync();
        Assert.Equal(2, topic!.Partitions);
        Assert.Equal(GrainKeys.Partition(topic.TopicId, 1), silo.Client.GetPartition(topic.TopicId, 1).GetPrimaryKeyString());
    }

    [Fact]
    public async Task Silo_has_all_codecs_by_default()
    {
        using var directory = new TempDirectory();
        await using var silo = await TestSilo.StartAsync(directory.Path);
        foreach (var codec in (string[])["gzip", "snappy", "lz4", "zstd"])
        {
            var configs = new Dictionary<string, string> { ["compression.type"] = codec };
            await silo.Outside.CreateTopicAsync(new NewTopic(codec, Configs: configs));
        }
    }

    [Fact]
    public async Task Topic_whose_codec_the_broker_lacks_is_refused()
    {
        using var directory = new TempDirectory();
        await using var silo = await TestSilo.StartAsync(directory.Path,
            configure: options => options with { Codecs = CompressionCodecs.Empty });
        var gzip = new Dictionary<string, string> { ["compression.type"] = "gzip" };
        var refused = await Assert.ThrowsAsync<BrokerException>(() =>
            silo.Outside.CreateTopicAsync(new NewTopic("orders", Configs: gzip)).AsTask());
        Assert.Equal(ErrorCode.InvalidConfig, refused.Code);
        await silo.Outside.CreateTopicAsync(new NewTopic("orders"));
        refused = await Assert.ThrowsAsync<BrokerException>(() => silo.Outside.AlterTopicAsync("orders",
            new Dictionary<string, string?> { ["compression.type"] = "gzip" }).AsTask());
        Assert.Equal(ErrorCode.InvalidConfig, refused.Code);
    }
}
