using OrleansMq.Brokers;
using OrleansMq.Log;

namespace OrleansMq.Partitions;

/// <summary>What all partitions of a broker share.</summary>
internal sealed class PartitionPorts(BrokerOptions options)
{
    /// <summary>Disk, clock and log lines.</summary>
    public LogPorts Log { get; } = LogPorts.For(options);
    /// <summary>The threads that write and flush.</summary>
    public AppendThreads Threads { get; } = new(options.AppendThreads);
    /// <summary>Who may write on his own thread.</summary>
    public CallerWrites CallerWrites { get; } = new(options.TimeProvider);
    /// <summary>Operations to use again.</summary>
    public AppendOperationPool Operations { get; } = new();
    /// <summary>Whether the volume has room.</summary>
    public FreeSpaceGuard Space { get; } = new(options.FileSystem ?? new Storage.DiskFileSystem(), options.DataDirectory,
        options.MinFreeBytes, options.TimeProvider);
    /// <summary>Told of partitions that have something to flush in the background.</summary>
    public FlushSchedule Flushes { get; } = new();
    /// <summary>How long an idle producer is remembered.</summary>
    public TimeSpan ProducerIdExpiration { get; } = options.ProducerIdExpiration;
}
