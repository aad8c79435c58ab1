using System.Globalization;
using OrleansMq.Compaction;
using OrleansMq.Diagnostics;

namespace OrleansMq.Partitions;

// Cleaning the log of a compacted topic.
public sealed partial class Partition
{
    private readonly Lock _compactionLock = new();
    private CancellationTokenSource? _compactionStop;

    /// <summary>
    /// Cleans the log if it is due. A full disk is told and leaves everything as it was; damage, and a disk that fails, take the partition
    /// offline.
    /// </summary>
    /// <exception cref="OperationCanceledException"><paramref name="cancellationToken"/> was cancelled; nothing is lost by
    /// that.</exception>
    internal void Compact(LogCompactor compactor, CancellationToken cancellationToken)
    {
        lock (_compactionLock)
        {
            // Seen by who deletes the partition before he looks whether there is something to stop; or his mark is seen here.
            var stop = _compactionStop ??= new CancellationTokenSource();
            Interlocked.MemoryBarrier();
            if (_deleted || _closed)
                return;
            using var registration = cancellationToken.UnsafeRegister(static source => ((CancellationTokenSource)source!).Cancel(), stop);
            try
            {
                Guarded(log => Report(compactor.Run(log, HighWatermark, stop.Token)));
            }
            catch (OperationCanceledException) when (_deleted && !cancellationToken.IsCancellationRequested)
            {
                // Nobody needs it any more.
            }
        }
    }

    /// <summary>Stops a cleaning that is under way, once the partition is marked as deleted, and waits for it: it must not write into a
    /// directory that somebody else gets.</summary>
    private Task StopCompactionAsync()
    {
        Interlocked.MemoryBarrier();
        if (Volatile.Read(ref _compactionStop) is not { } stop)
            return Task.CompletedTask;
        stop.Cancel();
        return Task.Run(() =>
        {
            lock (_compactionLock)
            {
                // It is over.
            }
        });
    }

    private void Report(in CompactionResult result)
    {
        if (result.SegmentsBefore > 0)
            _ports.Log.EngineLog.Write(EngineLogLevel.Information, string.Create(CultureInfo.InvariantCulture,
                $"Partition {TopicPartition}: compacted {result.SegmentsBefore} segments of {result.BytesBefore:N0} bytes into "
                    + $"{result.SegmentsAfter} of {result.BytesAfter:N0}."));
    }
}
