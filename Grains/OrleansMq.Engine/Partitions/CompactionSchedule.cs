using System.Collections.Concurrent;
using OrleansMq.Compaction;
using OrleansMq.Diagnostics;

namespace OrleansMq.Partitions;

/// <summary>
/// Compacts a broker's partitions, one log at a time, on a thread that lives as long as something is to be compacted.
/// </summary>
/// <remarks>
/// State: the timer; the run under way, which ticks do not overlap; and the lock that a run holds, so that a test's run and the timer's
/// exclude each other.
/// <para>Failures: any fault concerns its partition alone. One that is not of the storage is a bug: it is logged, and the next tick tries
/// again. A stop cancels the run, which deletes its unfinished files.</para>
/// </remarks>
internal sealed class CompactionSchedule(PartitionStoreOptions options, PartitionPorts ports,
    ConcurrentDictionary<TopicPartition, Partition> partitions)
{
    private readonly CancellationTokenSource _stop = new();
    private readonly Lock _lock = new();
    private ITimer? _timer;
    private Task _run = Task.CompletedTask;

    /// <summary>Starts the timer.</summary>
    public void Start() => _timer = options.TimeProvider.CreateTimer(static schedule => ((CompactionSchedule)schedule!).OnTick(), this,
        options.CompactionCheckInterval, options.CompactionCheckInterval);

    /// <summary>Compacts every compacted partition that is due, and removes what queues have settled.</summary>
    public void Run(CancellationToken cancellationToken)
    {
        lock (_lock)
        {
            var compactor = new LogCompactor(new CompactionOptions(options.CompactionMapBytes, options.CompactionMaxBytesPerSecond),
                ports.Log);
            foreach (var partition in partitions.Values)
            {
                if (IsCleaned(partition))
                    Compact(partition, compactor, cancellationToken);
            }
        }
    }

    private static bool IsCleaned(Partition partition) => partition.Config is { CleanupCompact: true } or { RetentionUntilSettled: true };

    private void Compact(Partition partition, LogCompactor compactor, CancellationToken cancellationToken)
    {
        try
        {
            partition.Compact(compactor, cancellationToken);
        }
        catch (Exception fault) when (!cancellationToken.IsCancellationRequested)
        {
            ports.EngineLog.Write(EngineLogLevel.Error,
                $"A bug in OrleansMq stopped the compaction of {partition.TopicPartition}: {fault.Message} Please report it.", fault);
        }
    }

    /// <summary>Stops the timer and the run under way, and waits for it.</summary>
    public async Task StopAsync()
    {
        if (_timer is not null)
            await _timer.DisposeAsync().ConfigureAwait(false);
        await _stop.CancelAsync().ConfigureAwait(false);
        await _run.ConfigureAwait(false);
    }

    private void OnTick()
    {
        // A run may take hours.
        if (!_run.IsCompleted || _stop.IsCancellationRequested || !partitions.Values.Any(IsCleaned))
            return;
        _run = Task.Factory.StartNew(RunToEnd, CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);
    }

    private void RunToEnd()
    {
        try
        {
            Run(_stop.Token);
        }
        catch (OperationCanceledException) when (_stop.IsCancellationRequested)
        {
            // The broker stops. The run has deleted its unfinished files; the next start compacts their segments.
        }
    }
}
