using OrleansMq.Topics;

namespace OrleansMq.Tests.Engine.Topics;

public sealed class TopicConfigTests
{
    /// <summary>The topic configuration keys and defaults of Kafka 4, from its documentation.</summary>
    public static readonly TheoryData<string, string> KafkaDefaults = new()
    {
        { "cleanup.policy", "delete" },
        { "compression.gzip.level", "-1" },
        { "compression.lz4.level", "9" },
        { "compression.type", "producer" },
        { "compression.zstd.level", "3" },
        { "delete.retention.ms", "86400000" },
        { "file.delete.delay.ms", "60000" },
        { "flush.messages", "9223372036854775807" },
        { "flush.ms", "9223372036854775807" },
        { "follower.replication.throttled.replicas", "" },
        { "index.interval.bytes", "4096" },
        { "leader.replication.throttled.replicas", "" },
        { "local.retention.bytes", "-2" },
        { "local.retention.ms", "-2" },
        { "max.compaction.lag.ms", "9223372036854775807" },
        { "max.message.bytes", "1048588" },
        { "message.timestamp.after.max.ms", "3600000" },
        { "message.timestamp.before.max.ms", "9223372036854775807" },
        { "message.timestamp.type", "CreateTime" },
        { "min.cleanable.dirty.ratio", "0.5" },
        { "min.compaction.lag.ms", "0" },
        { "min.insync.replicas", "1" },
        { "preallocate", "false" },
        { "remote.log.copy.disable", "false" },
        { "remote.log.delete.on.disable", "false" },
        { "remote.storage.enable", "false" },
        { "retention.bytes", "-1" },
        { "retention.ms", "604800000" },
        { "segment.bytes", "1073741824" },
        { "segment.index.bytes", "10485760" },
        { "segment.jitter.ms", "0" },
        { "segment.ms", "604800000" },
        { "unclean.leader.election.enable", "false" },
    };

    private static TopicDecision<TopicConfig> Parse(params (string Key, string Value)[] configs) =>
        TopicConfigRules.Parse(configs.ToDictionary(pair => pair.Key, pair => pair.Value), TopicConfig.Default);

    [Fact]
    public void Key_table_has_Kafkas_keys_and_four_of_its_own() =>
        Assert.Equal(KafkaDefaults.Select(row => (string)row[0])
            .Concat(["dedupe.max.ids", "dedupe.window.ms", "retention.records", "retention.until.settled"])
            .Order(StringComparer.Ordinal), TopicConfigKeys.All.Select(key => key.Name).Order(StringComparer.Ordinal));

    [Theory]
    [MemberData(nameof(KafkaDefaults))]
    public void Key_has_Kafkas_default_and_accepts_it(string key, string value)
    {
        Assert.Equal(value, TopicConfigKeys.Find(key)!.Format(TopicConfig.Default));
        Assert.Equal(TopicConfig.Default, Parse((key, value)).Next);
    }

    [Theory]
    [InlineData("cleanup.policy", "compact")]
    [InlineData("cleanup.policy", "compact,delete")]
    [InlineData("compression.type", "uncompressed")]
    [InlineData("compression.type", "gzip")]
    [InlineData("compression.type", "snappy")]
    [InlineData("compression.type", "lz4")]
    [InlineData("compression.type", "zstd")]
    [InlineData("delete.retention.ms", "1")]
    [InlineData("file.delete.delay.ms", "0")]
    [InlineData("flush.messages", "1")]
    [InlineData("flush.ms", "0")]
    [InlineData("index.interval.bytes", "0")]
    [InlineData("max.compaction.lag.ms", "1")]
    [InlineData("max.message.bytes", "2147483647")]
    [InlineData("message.timestamp.after.max.ms", "0")]
    [InlineData("message.timestamp.before.max.ms", "0")]
    [InlineData("message.timestamp.type", "LogAppendTime")]
    [InlineData("min.cleanable.dirty.ratio", "0")]
    [InlineData("min.cleanable.dirty.ratio", "0.25")]
    [InlineData("min.compaction.lag.ms", "5")]
    [InlineData("min.insync.replicas", "2")]
    [InlineData("retention.bytes", "9223372036854775807")]
    [InlineData("retention.ms", "-1")]
    [InlineData("segment.bytes", "14")]
    [InlineData("segment.index.bytes", "12")]
    [InlineData("segment.jitter.ms", "9")]
    [InlineData("segment.ms", "1")]
    [InlineData("unclean.leader.election.enable", "true")]
    [InlineData("retention.until.settled", "true")]
    [InlineData("dedupe.window.ms", "600000")]
    [InlineData("dedupe.max.ids", "1000000")]
    public void Key_sets_what_it_reads_back(string key, string value)
    {
        var config = Parse((key, value)).Next;
        Assert.Equal(value, TopicConfigKeys.Find(key)!.Format(config));
        Assert.NotEqual(TopicConfig.Default, config);
        foreach (var other in TopicConfigKeys.All.Where(other => other.Name != key))
            Assert.Equal(other.Format(TopicConfig.Default), other.Format(config));
    }

    [Theory]
    [InlineData("retention.ms", "-2")]
    [InlineData("retention.ms", "1.5")]
    [InlineData("retention.ms", "1,000")]
    [InlineData("retention.ms", "7d")]
    [InlineData("retention.ms", "")]
    [InlineData("retention.ms", "9223372036854775808")]
    [InlineData("segment.bytes", "13")]
    [InlineData("segment.bytes", "2147483648")]
    [InlineData("min.cleanable.dirty.ratio", "1.1")]
    [InlineData("min.cleanable.dirty.ratio", "NaN")]
    [InlineData("min.insync.replicas", "0")]
    [InlineData("flush.messages", "0")]
    [InlineData("cleanup.policy", "")]
    [InlineData("cleanup.policy", "compact,compact")]
    [InlineData("cleanup.policy", "compact;delete")]
    [InlineData("compression.type", "none")]
    [InlineData("message.timestamp.type", "createtime")]
    [InlineData("unclean.leader.election.enable", "yes")]
    [InlineData("retention.until.settled", "1")]
    [InlineData("dedupe.window.ms", "-1")]
    [InlineData("dedupe.max.ids", "0")]
    [InlineData("dedupe.max.ids", "1000001")]
    public void Invalid_value_is_refused_with_key_value_and_allowed_range(string key, string value)
    {
        var refused = Parse((key, value));
        Assert.Equal(ErrorCode.InvalidConfig, refused.Error);
        Assert.Contains($"'{key}'", refused.Message);
        Assert.Contains($"'{value}'", refused.Message);
        Assert.Contains(TopicConfigKeys.Find(key)!.Allowed, refused.Message);
        Assert.Equal(ErrorCode.InvalidConfig, Assert.Throws<BrokerException>(() => refused.Next).Code);
    }

    [Theory]
    [InlineData("retention.mss", "retention.ms")]
    [InlineData("retention_ms", "retention.ms")]
    [InlineData("cleanup.polcy", "cleanup.policy")]
    [InlineData("max.messages.bytes", "max.message.bytes")]
    public void Unknown_key_is_refused_with_the_nearest_and_all_known_keys(string key, string nearest)
    {
        var refused = Parse((key, "1"));
        Assert.Equal(ErrorCode.InvalidConfig, refused.Error);
        Assert.Contains($"Did you mean '{nearest}'?", refused.Message);
        Assert.Contains("cleanup.policy, compression.type, dedupe.max.ids, dedupe.window.ms, delete.retention.ms", refused.Message);
        Assert.DoesNotContain("remote.", refused.Message);
    }

    [Fact]
    public void Unrecognisable_key_gets_no_suggestion() => Assert.DoesNotContain("Did you mean", Parse(("xyzzy", "1")).Message);

    [Theory]
    [InlineData("remote.storage.enable", "true")]
    [InlineData("preallocate", "true")]
    [InlineData("compression.zstd.level", "9")]
    [InlineData("follower.replication.throttled.replicas", "*")]
    public void Unimplemented_key_is_refused_and_reported_as_such(string key, string value)
    {
        var refused = Parse((key, value));
        Assert.Equal(ErrorCode.InvalidConfig, refused.Error);
        Assert.Contains($"'{key}'", refused.Message);
        Assert.Contains("not implemented", refused.Message);
    }

    [Fact]
    public void All_errors_are_reported_at_once()
    {
        var message = Parse(("retention.ms", "x"), ("nonsense.key", "1"), ("segment.ms", "0")).Message;
        Assert.Contains("'retention.ms'", message);
        Assert.Contains("'nonsense.key'", message);
        Assert.Contains("'segment.ms'", message);
    }

    [Fact]
    public void Contradictory_keys_are_refused()
    {
        var refused = Parse(("min.compaction.lag.ms", "10"), ("max.compaction.lag.ms", "9"));
        Assert.Equal(ErrorCode.InvalidConfig, refused.Error);
        Assert.Contains("min.compaction.lag.ms", refused.Message);
    }

    [Fact]
    public void Values_may_have_surrounding_blanks() => Assert.Equal(5, Parse(("retention.ms", " 5 ")).Next.RetentionMs);

    [Fact]
    public void Compression_type_producer_means_no_broker_codec()
    {
        Assert.Null(Parse(("compression.type", "producer")).Next.CompressionType);
        Assert.Equal(CompressionType.None, Parse(("compression.type", "uncompressed")).Next.CompressionType);
        Assert.Equal(CompressionType.Zstd, Parse(("compression.type", "zstd")).Next.CompressionType);
    }

    [Fact]
    public void Unset_value_is_the_brokers_default()
    {
        var defaults = TopicConfig.DefaultFor(FlushPolicy.Sync);
        var configs = new Dictionary<string, string> { ["retention.ms"] = "5" };
        var config = TopicConfigRules.Parse(configs, defaults).Next;
        Assert.Equal(FlushPolicy.Sync, config.FlushPolicy);
        var entries = TopicConfigRules.Describe(configs, config).ToDictionary(entry => entry.Name);
        Assert.Equal(TopicConfigKeys.All.Count, entries.Count);
        Assert.Equal(("5", false), (entries["retention.ms"].Value, entries["retention.ms"].IsDefault));
        Assert.Equal(("1", true), (entries["flush.messages"].Value, entries["flush.messages"].IsDefault));
    }

    [Fact]
    public void Reference_lists_every_key_with_default_range_and_meaning()
    {
        var lines = TopicConfigReference.ToMarkdown().Split('\n');
        foreach (var key in TopicConfigKeys.All)
        {
            var line = Assert.Single(lines, line => line.StartsWith($"| `{key.Name}` |", StringComparison.Ordinal));
            Assert.Contains(key.Documentation, line);
            Assert.Equal(5, line.Split(" | ").Length + (key.IsImplemented ? 1 : 2));
        }
        Assert.Contains("| `retention.ms` | 604800000 ms | a whole number from -1 to 2^63-1 |", TopicConfigReference.ToMarkdown());
    }
}
