using System.Collections.Concurrent;
using OrleansMq.Api;
using OrleansMq.Dedupe;
using OrleansMq.Diagnostics;
using OrleansMq.Log;
using OrleansMq.Partitions.Cursors;
using OrleansMq.Partitions.Schedules;
using OrleansMq.Storage;

namespace OrleansMq.Partitions;

/// <summary>What all partitions of a broker share.</summary>
internal sealed class PartitionPorts
{
    /// <summary>Makes them from the broker's options.</summary>
    public PartitionPorts(PartitionStoreOptions options)
    {
        var files = options.FileSystem ?? new DiskFileSystem();
        Log = new LogPorts(new FileHandleCache(files, options.MaxOpenFiles), options.TimeProvider, options.Log, options.Codecs,
            options.VerifyOnRead);
        EngineLog = options.Log;
        Threads = new AppendThreads(options.AppendThreads);
        CallerWrites = new CallerWrites(options.TimeProvider);
        Space = new FreeSpaceGuard(files, options.DataDirectory, options.MinFreeBytes, options.TimeProvider, options.Log);
        FailedWrites = new RareLine(options.Log, options.TimeProvider);
        FailedFlushes = new RareLine(options.Log, options.TimeProvider);
        MissingCodecs = new RareLine(options.Log, options.TimeProvider);
        FailedLetters = new RareLine(options.Log, options.TimeProvider);
        FailedSchedules = new RareLine(options.Log, options.TimeProvider);
        SchedulePublishes = new SchedulePublishes(options.TimeProvider);
        ProducerIdExpiration = options.ProducerIdExpiration;
        VerifyCompressed = options.VerifyCompressed;
        MaxQueuesPerPartition = options.MaxQueuesPerPartition;
        MessageIds = new MessageIdBudget(options.MaxMessageIds);
        foreach (var missing in options.Codecs.Missing())
            options.Log.Write(EngineLogLevel.Warning, $"Batches of one codec can neither be read nor written by this broker. {missing}");
    }

    /// <summary>What a log depends on: disk, clock, codecs.</summary>
    public LogPorts Log { get; }
    /// <summary>Receives messages about repairs and faults.</summary>
    public EngineLog EngineLog { get; }
    /// <summary>The threads that write and flush.</summary>
    public AppendThreads Threads { get; }
    /// <summary>The threads that open, create and delete partitions.</summary>
    public StorageThreads Creation { get; } = new();
    /// <summary>The threads that close partitions.</summary>
    public StorageThreads Closing { get; } = new();
    /// <summary>The threads that begin to lead: a claim has a deadline, and must not wait behind thousands of creations.</summary>
    public StorageThreads Claims { get; } = new();
    /// <summary>The threads that begin to follow a new leader.</summary>
    public StorageThreads Epochs { get; } = new();
    /// <summary>Decides whether a caller's thread may write.</summary>
    public CallerWrites CallerWrites { get; }
    /// <summary>Operations to reuse.</summary>
    public AppendOperationPool Operations { get; } = new();
    /// <summary>Checks whether the volume has room.</summary>
    public FreeSpaceGuard Space { get; }
    /// <summary>Lines about writes that failed and were undone: a full volume refuses every append.</summary>
    public RareLine FailedWrites { get; }
    /// <summary>Lines about background flushes that a bug stopped: each tick tries them again.</summary>
    public RareLine FailedFlushes { get; }
    /// <summary>Publishes dead letters to other partitions.</summary>
    public IDeadLetterPort DeadLetters { get; set; } = NoDeadLetters.Instance;
    /// <summary>Lines about dead letters that could not be published: they are retried each second.</summary>
    public RareLine FailedLetters { get; }
    /// <summary>Lines about scheduled records that could not be appended, or are dropped.</summary>
    public RareLine FailedSchedules { get; }
    /// <summary>Bounds what schedules publish at once.</summary>
    public SchedulePublishes SchedulePublishes { get; }
    /// <summary>The broker, through which schedules reach their topics; null until it serves.</summary>
    public Func<IBroker>? Broker { get; set; }
    /// <summary>Lines about appends that were refused since a codec is missing: each producer goes on to send.</summary>
    public RareLine MissingCodecs { get; }
    /// <summary>The partitions with segments that their queues have settled.</summary>
    public ConcurrentDictionary<Partition, bool> Settled { get; } = new();
    /// <summary>The partitions with a background flush ahead.</summary>
    public FlushSchedule Flushes { get; } = new();
    /// <summary>How long an idle producer is remembered.</summary>
    public TimeSpan ProducerIdExpiration { get; }
    /// <summary>Whether the records of compressed batches are read when they are appended.</summary>
    public bool VerifyCompressed { get; }
    /// <summary>The most queues of a partition.</summary>
    public int MaxQueuesPerPartition { get; }
    /// <summary>Bounds the message ids of all partitions.</summary>
    public MessageIdBudget MessageIds { get; }
}
