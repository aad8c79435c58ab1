using OrleansMq.Diagnostics;
using OrleansMq.Groups;
using OrleansMq.Records;
using OrleansMq.Storage;
using OrleansMq.Topics;

namespace OrleansMq.Brokers;

/// <summary>What a broker's engine is given: its directory, its ports to the world, and its limits.</summary>
public sealed record BrokerOptions
{
    /// <summary>The data directory.</summary>
    public required string DataDirectory { get; init; }
    /// <summary>This broker's number.</summary>
    public BrokerId BrokerId { get; init; }
    /// <summary>Null: the machine's disk.</summary>
    public IFileSystem? FileSystem { get; init; }
    /// <summary>Where the time comes from.</summary>
    public TimeProvider TimeProvider { get; init; } = TimeProvider.System;
    /// <summary>Where log lines go.</summary>
    public EngineLog Log { get; init; } = EngineLog.Silent;
    /// <summary>The codecs batches can be looked into with.</summary>
    public CompressionCodecs Codecs { get; init; } = CompressionCodecs.Empty;
    /// <summary>The configuration topics have where they set nothing.</summary>
    public TopicConfig TopicDefaults { get; init; } = TopicConfig.Default;
    /// <summary>Partitions of a topic created without a number.</summary>
    public int DefaultPartitions { get; init; } = 1;
    /// <summary>Appends are refused when the volume has fewer free bytes: 256 MiB, so that checkpoints and state can still be
    /// written.</summary>
    public long MinFreeBytes { get; init; } = 256L << 20;
    /// <summary>
    /// Open file handles of segments and indexes at most. 4,096 leaves room below common limits of open files (a machine may allow 20,000,
    /// connections count too).
    /// </summary>
    public int MaxOpenFiles { get; init; } = 4096;
    /// <summary>
    /// Threads that write and flush at most, started as they are needed. Two suffice for writes to the page cache; under <c>sync</c> each
    /// waits for the disk most of the time, flushes of different partitions overlap and the system merges them: 16 come to 1.45 times what
    /// 4 do, 32 to no more.
    /// </summary>
    public int AppendThreads { get; init; } = 16;
    /// <summary>How often retention, rolling by age and producer expiry are looked at.</summary>
    public TimeSpan RetentionCheckInterval { get; init; } = TimeSpan.FromMinutes(5);
    /// <summary>How often recovery points are written: bounds what a restart after a crash reads.</summary>
    public TimeSpan CheckpointInterval { get; init; } = TimeSpan.FromSeconds(60);
    /// <summary>How often compaction looks for something to clean.</summary>
    public TimeSpan CompactionCheckInterval { get; init; } = TimeSpan.FromSeconds(15);
    /// <summary>
    /// The most memory for the keys of one pass of compaction: 64 MiB holds 2.1 million keys; a log with more takes several passes. One log
    /// is cleaned at a time.
    /// </summary>
    public int CompactionMapBytes { get; init; } = Compaction.KeyOffsetMap.DefaultMaxBytes;
    /// <summary>Bytes that compaction reads and writes in a second at most; 0 for no limit.</summary>
    public long CompactionMaxBytesPerSecond { get; init; }
    /// <summary>After how long without a batch a producer id is forgotten: 1 day, Kafka's <c>producer.id.expiration.ms</c>.</summary>
    public TimeSpan ProducerIdExpiration { get; init; } = TimeSpan.FromDays(1);
    /// <summary>Bounds and times of consumer groups.</summary>
    public GroupOptions Groups { get; init; } = new();
    /// <summary>
    /// The kernel's boot, on Linux <c>/proc/sys/kernel/random/boot_id</c>: what was written under it, and not flushed, is still there after
    /// a killed process. Empty where it is not known: then a replica that was not closed in good order joins the others again by catching
    /// up.
    /// </summary>
    public Guid BootId { get; init; }
    /// <summary>Whether the CRC of batches is checked as they are read from disk.</summary>
    public bool VerifyOnRead { get; init; } = true;
}

/// <summary>The data directory cannot be used; the message names it, and the fix.</summary>
public sealed class DataDirectoryException(string message, Exception? inner = null) : Exception(message, inner);
