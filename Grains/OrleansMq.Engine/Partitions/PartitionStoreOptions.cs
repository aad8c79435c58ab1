using OrleansMq.Compaction;
using OrleansMq.Diagnostics;
using OrleansMq.Records;
using OrleansMq.Storage;

namespace OrleansMq.Partitions;

/// <summary>What a broker's partitions and replicas are given: their directory, their ports to the world, and their limits.</summary>
public record PartitionStoreOptions
{
    /// <summary>The data directory.</summary>
    public required string DataDirectory { get; init; }
    /// <summary>This broker's number.</summary>
    public BrokerId BrokerId { get; init; }
    /// <summary>The disk; null for the machine's.</summary>
    public IFileSystem? FileSystem { get; init; }
    /// <summary>The clock.</summary>
    public TimeProvider TimeProvider { get; init; } = TimeProvider.System;
    /// <summary>Where log lines go.</summary>
    public EngineLog Log { get; init; } = EngineLog.Silent;
    /// <summary>The codecs that compressed batches are read with.</summary>
    public CompressionCodecs Codecs { get; init; } = CompressionCodecs.Empty;
    /// <summary>Appends are refused when the volume has fewer free bytes: 256 MiB, so that checkpoints and state can still be
    /// written.</summary>
    public long MinFreeBytes { get; init; } = 256L << 20;
    /// <summary>
    /// The most open file handles of segments and indexes. 4,096 leaves room below common limits of open files (a machine may allow 20,000,
    /// connections count too).
    /// </summary>
    public int MaxOpenFiles { get; init; } = 4096;
    /// <summary>
    /// The most threads that write and flush, started as they are needed. Two suffice for writes to the page cache. Under <c>sync</c> each
    /// waits for the disk most of the time, flushes of different partitions overlap and the system merges them: 16 come to 1.45 times what
    /// 4 do, 32 to no more.
    /// </summary>
    public int AppendThreads { get; init; } = 16;
    /// <summary>The interval of retention, rolling by age and producer expiry.</summary>
    public TimeSpan RetentionCheckInterval { get; init; } = TimeSpan.FromMinutes(5);
    /// <summary>The interval at which recovery points are written: it bounds what a restart after a crash reads.</summary>
    public TimeSpan CheckpointInterval { get; init; } = TimeSpan.FromSeconds(60);
    /// <summary>The interval at which compaction looks for something to clean.</summary>
    public TimeSpan CompactionCheckInterval { get; init; } = TimeSpan.FromSeconds(15);
    /// <summary>
    /// The most memory for the keys of one pass of compaction: 64 MiB holds 2.1 million keys; a log with more takes several passes. One log
    /// is cleaned at a time.
    /// </summary>
    public int CompactionMapBytes { get; init; } = KeyOffsetMap.DefaultMaxBytes;
    /// <summary>The most bytes that compaction reads and writes in a second; 0 for no limit.</summary>
    public long CompactionMaxBytesPerSecond { get; init; }
    /// <summary>How long a producer id is remembered without a batch: 1 day, Kafka's <c>producer.id.expiration.ms</c>.</summary>
    public TimeSpan ProducerIdExpiration { get; init; } = TimeSpan.FromDays(1);
    /// <summary>
    /// The kernel's boot, on Linux <c>/proc/sys/kernel/random/boot_id</c>: what was written under it, and not flushed, survives a killed
    /// process. Empty where it is not known: then a replica that was not closed in good order rejoins the others by catching up.
    /// </summary>
    public Guid BootId { get; init; }
    /// <summary>Whether the CRC of batches is checked as they are read from disk.</summary>
    public bool VerifyOnRead { get; init; } = true;
}
