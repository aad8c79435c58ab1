using System.Globalization;
using OrleansMq.Compaction;
using OrleansMq.Diagnostics;
using OrleansMq.Log;

namespace OrleansMq.Partitions;

/// <summary>
/// Compacts a partition's log, and stops that when the partition is deleted.
/// </summary>
/// <remarks>
/// State: the compaction lock, held for a whole pass, and the source that cancels a pass. Appends and reads do not take the lock. A
/// deletion sets its mark, then looks for the source; a pass creates the source, then looks for the mark. So at least one of them sees the
/// other.
/// <para>Failures: as <see cref="Partition.TryOnLog"/>. A full disk leaves the log as it was. Damage, and a disk that fails, take the
/// partition offline.</para>
/// </remarks>
internal sealed class PartitionCompaction(Partition partition)
{
    private readonly Lock _lock = new();
    private CancellationTokenSource? _stop;

    /// <summary>Compacts the log if it is due, or removes what its queues have settled.</summary>
    /// <exception cref="OperationCanceledException"><paramref name="cancellationToken"/> was cancelled. The log keeps its
    /// records.</exception>
    public void Run(LogCompactor compactor, CancellationToken cancellationToken)
    {
        var availability = partition.Availability;
        lock (_lock)
        {
            var stop = _stop ??= new CancellationTokenSource();
            Interlocked.MemoryBarrier();
            if (availability.IsDeleted || availability.IsClosed)
                return;
            using var registration = cancellationToken.UnsafeRegister(static source => ((CancellationTokenSource)source!).Cancel(), stop);
            try
            {
                partition.TryOnLog(log => Report(log.Config.RetentionUntilSettled
                    ? compactor.RemoveSettled(log, () => partition.HighWatermark, () => MayClean(log), stop.Token)
                    : compactor.Run(log, partition.HighWatermark, partition.Replication, stop.Token)));
            }
            catch (OperationCanceledException) when (availability.IsDeleted && !cancellationToken.IsCancellationRequested)
            {
                // The deletion stopped it.
            }
        }
    }

    /// <summary>Stops a pass that is under way, and waits for its end: it must not write into a directory that another partition may get.
    /// Called after the partition is marked as deleted.</summary>
    public Task StopAsync()
    {
        Interlocked.MemoryBarrier();
        if (Volatile.Read(ref _stop) is not { } stop)
            return Task.CompletedTask;
        stop.Cancel();
        return Task.Run(() =>
        {
            lock (_lock)
            {
                // The pass has ended.
            }
        });
    }

    private bool MayClean(SegmentedLog log) => log.Config.RetentionUntilSettled && partition.Replication.IsSoleLeader;

    private void Report(in CompactionResult result)
    {
        if (result.SegmentsBefore > 0)
            partition.Ports.EngineLog.Write(EngineLogLevel.Information, string.Create(CultureInfo.InvariantCulture,
                $"Partition {partition.TopicPartition}: compacted {result.SegmentsBefore} segments of {result.BytesBefore:N0} bytes into "
                    + $"{result.SegmentsAfter} of {result.BytesAfter:N0}."));
    }
}
