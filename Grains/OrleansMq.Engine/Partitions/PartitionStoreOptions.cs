using OrleansMq.Compaction;
using OrleansMq.Diagnostics;
using OrleansMq.Records;
using OrleansMq.Storage;

namespace OrleansMq.Partitions;

/// <summary>The directory, the ports and the limits of a broker's partitions and replicas.</summary>
public record PartitionStoreOptions
{
    /// <summary>The data directory: a path, not empty.</summary>
    public required string DataDirectory { get; init; }
    /// <summary>This broker's number: 0 or more. Default 0.</summary>
    public BrokerId BrokerId { get; init; }
    /// <summary>The file system; null for the machine's.</summary>
    internal IFileSystem? FileSystem { get; init; }
    /// <summary>The clock.</summary>
    public TimeProvider TimeProvider { get; init; } = TimeProvider.System;
    /// <summary>Receives the engine's messages.</summary>
    internal EngineLog Log { get; init; } = EngineLog.Silent;
    /// <summary>The codecs of compressed batches.</summary>
    public CompressionCodecs Codecs { get; init; } = CompressionCodecs.Empty;
    /// <summary>The free bytes of the volume below which appends are refused: 0 or more. Default 256 MiB, so that checkpoints and
    /// state can still be written.</summary>
    public long MinFreeBytes { get; init; } = 256L << 20;
    /// <summary>
    /// The most open file handles of segments and indexes: 1 to 1,000,000. The default, 4,096, leaves room for connections below a common
    /// limit of 20,000 open files.
    /// </summary>
    public int MaxOpenFiles { get; init; } = 4096;
    /// <summary>
    /// The most threads that write and flush, started when they are needed: 1 to 256. Two suffice for writes to the page cache. Under
    /// <c>sync</c> a thread mostly waits for the disk; flushes of different partitions overlap, and the system merges them. The default,
    /// 16 threads, reaches 1.45 times the rate of 4; 32 reach no more.
    /// </summary>
    public int AppendThreads { get; init; } = 16;
    /// <summary>The interval of retention, rolling by age and producer expiry: 1 to 2,147,483,647 milliseconds. Default 5
    /// minutes.</summary>
    public TimeSpan RetentionCheckInterval { get; init; } = TimeSpan.FromMinutes(5);
    /// <summary>The interval at which recovery points are written: it bounds what a restart after a crash reads. 1 to 2,147,483,647
    /// milliseconds. Default 1 minute.</summary>
    public TimeSpan CheckpointInterval { get; init; } = TimeSpan.FromSeconds(60);
    /// <summary>The interval at which compaction looks for something to clean: 1 to 2,147,483,647 milliseconds. Default 15
    /// seconds.</summary>
    public TimeSpan CompactionCheckInterval { get; init; } = TimeSpan.FromSeconds(15);
    /// <summary>
    /// The most memory for the keys of one pass of compaction, above zero: the default, 64 MiB, holds 2.1 million keys; a log with more
    /// takes several passes. One log is cleaned at a time.
    /// </summary>
    public int CompactionMapBytes { get; init; } = KeyOffsetMap.DefaultMaxBytes;
    /// <summary>The most bytes that compaction reads and writes in a second; 0, the default, for no limit.</summary>
    public long CompactionMaxBytesPerSecond { get; init; }
    /// <summary>How long a producer id is remembered without a batch: above zero. Default 1 day, Kafka's
    /// <c>producer.id.expiration.ms</c>.</summary>
    public TimeSpan ProducerIdExpiration { get; init; } = TimeSpan.FromDays(1);
    /// <summary>
    /// The kernel's boot, on Linux <c>/proc/sys/kernel/random/boot_id</c>: unflushed writes of the same boot survive a killed process.
    /// Empty if it is not known: a replica that was not closed cleanly then rejoins by catching up.
    /// </summary>
    public Guid BootId { get; init; }
    /// <summary>Whether the records of compressed batches are read when they are appended; those of uncompressed ones always are, and of
    /// those that claim more records than bytes. Off, since decompression takes several times as long as the append.</summary>
    public bool VerifyCompressed { get; init; }
    /// <summary>The most queues of a partition: each takes memory and a part of the log. 1 to 100,000. Default 1,000.</summary>
    public int MaxQueuesPerPartition { get; init; } = 1_000;
    /// <summary>The most message ids that all partitions remember, about 100 bytes of memory each. Above it partitions with more than their
    /// share forget the oldest before their time. 1 to 1,000,000,000. Default 5,000,000.</summary>
    public int MaxMessageIds { get; init; } = 5_000_000;
    /// <summary>Whether the CRC of batches is checked as they are read from disk.</summary>
    public bool VerifyOnRead { get; init; } = true;
}
