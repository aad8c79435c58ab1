using System.Text.Json;
using OrleansMq.Clusters;
using OrleansMq.Compression;
using OrleansMq.Records;

namespace OrleansMq.Tests.Engine.Clusters;

public class BrokerRegistryTests
{
    [Fact]
    public void Codec_is_missing_where_a_broker_that_is_not_drained_lacks_it()
    {
        var old = new BrokerRegistration { BrokerId = 1 };
        var registry = BrokerRegistry.Empty.Register(old)
            .Register(new BrokerRegistration { BrokerId = 2, Codecs = BrokerRegistration.NamesOf(StandardCodecs.All) });
        Assert.Null(registry.WhyMissing(CompressionType.Gzip));
        registry = registry.Register(new BrokerRegistration { BrokerId = 3, Codecs = BrokerRegistration.NamesOf(CompressionCodecs.Empty) });
        Assert.Null(registry.WhyMissing(CompressionType.None));
        Assert.Contains("broker 3 has no codec", registry.WhyMissing(CompressionType.Gzip), StringComparison.Ordinal);
        Assert.Null(registry.Drain(3, 1, static _ => true).Next.WhyMissing(CompressionType.Gzip));
    }

    [Fact]
    public void Topics_whose_codec_a_broker_lacks_are_named()
    {
        var without = new BrokerRegistration { BrokerId = 3, Codecs = BrokerRegistration.NamesOf(CompressionCodecs.Empty) };
        (string, CompressionType?)[] topics = [("b", CompressionType.Zstd), ("a", CompressionType.Gzip), ("c", null),
            ("d", CompressionType.None)];

        Assert.Contains("Broker 3 has no codec for Gzip, Zstd, but 'compression.type' asks for it in topics 'a', 'b':",
            MissingCodecs.Describe(without, topics), StringComparison.Ordinal);
        Assert.Contains("'t19' and 30 more:", MissingCodecs.Describe(without,
            Enumerable.Range(0, 50).Select(static number => ($"t{number:00}", (CompressionType?)CompressionType.Lz4))),
            StringComparison.Ordinal);
        Assert.Null(MissingCodecs.Describe(without, topics[2..]));
        Assert.Null(MissingCodecs.Describe(new BrokerRegistration { BrokerId = 1 }, topics));
        Assert.Null(MissingCodecs.Describe(without with { Codecs = BrokerRegistration.NamesOf(StandardCodecs.All) }, topics));
    }

    [Fact]
    public void Unchanged_broker_that_returns_changes_nothing()
    {
        var registry = Three();
        Assert.Same(registry, registry.Register(new BrokerRegistration { BrokerId = 2, Http = "h:2" }));
        Assert.Equal("h:9", registry.Register(new BrokerRegistration { BrokerId = 2, Http = "h:9" }).Brokers[2].Registration.Http);
    }

    [Fact]
    public void Drained_broker_that_returns_stays_drained()
    {
        var registry = Three().Drain(2, 2, _ => true).Next;
        Assert.True(registry.Register(new BrokerRegistration { BrokerId = 2, Http = "h:9" }).Brokers[2].Draining);
        Assert.False(registry.Resume(2).Next.Brokers[2].Draining);
    }

    [Fact]
    public void Drain_without_room_for_the_replicas_is_refused()
    {
        Assert.Equal(ErrorCode.InvalidReplicationFactor, Three().Drain(2, 3, _ => true).Error);
        Assert.Equal(ErrorCode.InvalidReplicationFactor, Three().Drain(2, 2, id => id != 1).Error);
        Assert.Equal(ErrorCode.BrokerIdNotRegistered, Three().Drain(7, 1, _ => true).Error);
    }

    [Fact]
    public void Broker_that_holds_replicas_or_is_alive_is_not_removed()
    {
        Assert.Equal(ErrorCode.InvalidRequest, Three().Remove(2, replicas: 1, isAlive: false).Error);
        Assert.Equal(ErrorCode.InvalidRequest, Three().Remove(2, replicas: 0, isAlive: true).Error);
        Assert.Equal([1, 3], Three().Remove(2, replicas: 0, isAlive: false).Next.Brokers.Keys);
    }

    private static string Entry(int broker, string draining) =>
        $$"""
        "{{broker}}":{"registration":{"brokerId":{{broker}},"http":"h:{{broker}}","version":"","dataDirectory":""},"draining":{{draining}}}
        """;

    [Fact]
    public void Document_round_trips()
    {
        var registry = Three().TakeOver().Drain(2, 1, _ => true).Next with { AutoRebalance = true };
        var json = JsonSerializer.Serialize(registry, ClusterJson.Default.BrokerRegistry);
        Assert.Equal(
            """{"metadataEpoch":1,"autoRebalance":true,"brokers":{"""
            + $"{Entry(1, "false")},{Entry(2, "true")},{Entry(3, "false")}}}}}",
            json);
        Assert.Equal(json, JsonSerializer.Serialize(JsonSerializer.Deserialize(json, ClusterJson.Default.BrokerRegistry),
            ClusterJson.Default.BrokerRegistry));
    }

    private static BrokerRegistry Three() => Enumerable.Range(1, 3).Aggregate(BrokerRegistry.Empty,
        (registry, id) => registry.Register(new BrokerRegistration { BrokerId = id, Http = $"h:{id}" }));
}
