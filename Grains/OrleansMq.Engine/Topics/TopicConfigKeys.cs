using System.Collections.Frozen;

namespace OrleansMq.Topics;

/// <summary>
/// The table of topic configuration: every topic key of Kafka 4, and this broker's own, with its range, its meaning, and its
/// place in a <see cref="TopicConfig"/>.
/// Validation, description and the reference in the documentation are all derived from it.
/// </summary>
internal static class TopicConfigKeys
{
    private static readonly (string, CompressionType?)[] CompressionTypes =
    [
        ("producer", null), ("uncompressed", CompressionType.None), ("gzip", CompressionType.Gzip), ("snappy", CompressionType.Snappy),
        ("lz4", CompressionType.Lz4), ("zstd", CompressionType.Zstd),
    ];

    private static readonly (string, TimestampType)[] TimestampTypes =
        [("CreateTime", TimestampType.CreateTime), ("LogAppendTime", TimestampType.LogAppendTime)];

    /// <summary>All keys, ordered by name.</summary>
    public static IReadOnlyList<TopicConfigKey> All { get; } = [.. Retention(), .. Segments(), .. Compaction(), .. Messages(),
        .. Durability(), .. NotImplemented()];

    private static readonly FrozenDictionary<string, TopicConfigKey> ByName = All.ToFrozenDictionary(key => key.Name,
        StringComparer.Ordinal);

    /// <summary>Returns the key of a name; null if Kafka has none.</summary>
    public static TopicConfigKey? Find(string name) => ByName.GetValueOrDefault(name);

    /// <summary>Returns the known name most similar to a wrong one; null if none is similar.</summary>
    public static string? Nearest(string name)
    {
        var (nearest, distance) = All.Select(key => (key.Name, Distance: EditDistance(name, key.Name)))
            .MinBy(candidate => candidate.Distance);
        return distance <= Math.Max(2, name.Length / 3) ? nearest : null;
    }

    private static TopicConfigKey[] Retention() =>
    [
        TopicConfigKey.CleanupPolicy("cleanup.policy", "Old segments are deleted by age and size, or compacted to the latest record "
            + "of each key, or both."),
        TopicConfigKey.Int64("retention.ms", "ms", -1, c => c.RetentionMs, (c, v) => c with { RetentionMs = v },
            "The age of a segment's latest record at which the segment is deleted; -1 for no limit."),
        TopicConfigKey.Int64("retention.bytes", "bytes", -1, c => c.RetentionBytes, (c, v) => c with { RetentionBytes = v },
            "The size of a partition above which its oldest segments are deleted; -1 for no limit."),
        TopicConfigKey.Int64("retention.records", "records", -1, c => c.RetentionRecords, (c, v) => c with { RetentionRecords = v },
            "The number of records of a partition above which its oldest segments are deleted; -1 for no limit. Offsets are counted: a "
            + "queue's control batches and compacted records are among them."),
        TopicConfigKey.Boolean("retention.until.settled", c => c.RetentionUntilSettled, (c, v) => c with { RetentionUntilSettled = v },
            "Whether a partition that has queues keeps each record until all of them have settled it, and deletes segments that they have "
            + "settled. A record that waits holds back no other: segments of whose records queues need half or fewer lose the others. "
            + "Share groups count as queues, consumer groups do not. `retention.ms`, `retention.bytes` and `retention.records` "
            + "apply where there is no queue. A queue that is forgotten keeps everything."),
        TopicConfigKey.Int64("file.delete.delay.ms", "ms", 0, c => c.FileDeleteDelayMs, (c, v) => c with { FileDeleteDelayMs = v },
            "How long the files of a removed segment are kept, so that readers can finish."),
    ];

    private static TopicConfigKey[] Segments() =>
    [
        TopicConfigKey.Int32("segment.bytes", "bytes", 14, c => c.SegmentBytes, (c, v) => c with { SegmentBytes = v },
            "The size of a segment at which the next one is started."),
        TopicConfigKey.Int64("segment.ms", "ms", 1, c => c.SegmentMs, (c, v) => c with { SegmentMs = v },
            "The age of a segment at which the next one is started, even if it is not full."),
        TopicConfigKey.Int64("segment.jitter.ms", "ms", 0, c => c.SegmentJitterMs, (c, v) => c with { SegmentJitterMs = v },
            "The maximum random reduction of `segment.ms`, so that segments are not all rolled at the same time."),
        TopicConfigKey.Int32("segment.index.bytes", "bytes", 12, c => c.SegmentIndexBytes, (c, v) => c with { SegmentIndexBytes = v },
            "The maximum size of the offset index and of the timestamp index; a segment is rolled when one is full."),
        TopicConfigKey.Int32("index.interval.bytes", "bytes", 0, c => c.IndexIntervalBytes, (c, v) => c with { IndexIntervalBytes = v },
            "The bytes of records between two index entries: fewer make lookups faster and indexes larger."),
    ];

    private static TopicConfigKey[] Compaction() =>
    [
        TopicConfigKey.Int64("delete.retention.ms", "ms", 0, c => c.DeleteRetentionMs, (c, v) => c with { DeleteRetentionMs = v },
            "How long compaction keeps a tombstone, so that readers see the deletion, and the marker of a transaction "
                + "of which no record is left."),
        TopicConfigKey.Int64("min.compaction.lag.ms", "ms", 0, c => c.MinCompactionLagMs, (c, v) => c with { MinCompactionLagMs = v },
            "The minimum age of a record before it can be compacted."),
        TopicConfigKey.Int64("max.compaction.lag.ms", "ms", 1, c => c.MaxCompactionLagMs, (c, v) => c with { MaxCompactionLagMs = v },
            "The maximum time until a record is compacted, however little there is to clean."),
        TopicConfigKey.Ratio("min.cleanable.dirty.ratio", c => c.MinCleanableDirtyRatio, (c, v) => c with { MinCleanableDirtyRatio = v },
            "The proportion of bytes not yet compacted at which a partition is compacted."),
    ];

    private static TopicConfigKey[] Messages() =>
    [
        TopicConfigKey.Int32("max.message.bytes", "bytes", 0, c => c.MaxMessageBytes, (c, v) => c with { MaxMessageBytes = v },
            "The maximum size of a record batch as sent, after compression."),
        TopicConfigKey.Int64("dedupe.window.ms", "ms", 0, c => c.DedupeWindowMs, (c, v) => c with { DedupeWindowMs = v },
            "How long a partition remembers the id of a record (header `omq.message-id`): one with an id that it remembers is acknowledged "
            + "and not appended. 0 for not at all. While it is set, each batch with ids takes one offset more, and compressed batches are "
            + "decompressed."),
        TopicConfigKey.Int32("dedupe.max.ids", "ids", 1, c => c.DedupeMaxIds, (c, v) => c with { DedupeMaxIds = v },
            "The most ids that a partition remembers, about 100 bytes of memory each; above it the oldest are forgotten before their time.",
            max: 1_000_000),
        TopicConfigKey.Choice("compression.type", CompressionTypes, c => c.CompressionType, (c, v) => c with { CompressionType = v },
            "The codec in which batches are stored; `producer` keeps them as they were sent."),
        TopicConfigKey.Choice("message.timestamp.type", TimestampTypes, c => c.TimestampType, (c, v) => c with { TimestampType = v },
            "Whether a record's timestamp is set by its producer or by the append."),
        TopicConfigKey.Int64("message.timestamp.before.max.ms", "ms", 0, c => c.TimestampBeforeMaxMs,
            (c, v) => c with { TimestampBeforeMaxMs = v },
            "How far a producer's timestamp may be in the past."),
        TopicConfigKey.Int64("message.timestamp.after.max.ms", "ms", 0, c => c.TimestampAfterMaxMs,
            (c, v) => c with { TimestampAfterMaxMs = v },
            "How far a producer's timestamp may be in the future."),
    ];

    private static TopicConfigKey[] Durability() =>
    [
        TopicConfigKey.Int64("flush.messages", "records", 1, c => c.FlushMessages, (c, v) => c with { FlushMessages = v },
            "The number of records after which to flush to disk; with 1 nothing is acknowledged before it is on disk."),
        TopicConfigKey.Int64("flush.ms", "ms", 0, c => c.FlushMs, (c, v) => c with { FlushMs = v },
            "The time after which to flush to disk."),
        TopicConfigKey.Int32("min.insync.replicas", "replicas", 1, c => c.MinInsyncReplicas, (c, v) => c with { MinInsyncReplicas = v },
            "How many replicas must hold a batch sent with `acks=all`."),
        TopicConfigKey.Boolean("unclean.leader.election.enable", c => c.UncleanLeaderElection,
            (c, v) => c with { UncleanLeaderElection = v },
            "Whether a replica that may lack acknowledged records may become leader when no other is left."),
    ];

    private static TopicConfigKey[] NotImplemented() =>
    [
        TopicConfigKey.NotImplemented("compression.gzip.level", "-1", "The compression level of gzip."),
        TopicConfigKey.NotImplemented("compression.lz4.level", "9", "The compression level of lz4."),
        TopicConfigKey.NotImplemented("compression.zstd.level", "3", "The compression level of zstd."),
        TopicConfigKey.NotImplemented("follower.replication.throttled.replicas", "", "Replicas whose followers are throttled."),
        TopicConfigKey.NotImplemented("leader.replication.throttled.replicas", "", "Replicas whose leaders are throttled."),
        TopicConfigKey.NotImplemented("local.retention.bytes", "-2", "How much of a tiered partition stays on the local disk."),
        TopicConfigKey.NotImplemented("local.retention.ms", "-2", "How long the segments of a tiered partition stay on the local disk."),
        TopicConfigKey.NotImplemented("preallocate", "false", "Whether the file of a new segment is preallocated to its full size."),
        TopicConfigKey.NotImplemented("remote.log.copy.disable", "false",
            "Whether a tiered partition stops copying segments to remote storage."),
        TopicConfigKey.NotImplemented("remote.log.delete.on.disable", "false",
            "Whether disabling remote storage deletes the segments in it."),
        TopicConfigKey.NotImplemented("remote.storage.enable", "false", "Whether segments are copied to remote storage."),
    ];

    private static int EditDistance(string one, string other)
    {
        var previous = Enumerable.Range(0, other.Length + 1).ToArray();
        var current = new int[other.Length + 1];
        for (var i = 1; i <= one.Length; i++)
        {
            current[0] = i;
            for (var j = 1; j <= other.Length; j++)
                current[j] = Math.Min(Math.Min(current[j - 1], previous[j]) + 1, previous[j - 1] + (one[i - 1] == other[j - 1] ? 0 : 1));
            (previous, current) = (current, previous);
        }
        return previous[other.Length];
    }
}
