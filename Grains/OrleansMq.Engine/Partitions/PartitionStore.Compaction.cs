using OrleansMq.Compaction;
using OrleansMq.Diagnostics;

namespace OrleansMq.Partitions;

// Compaction: one log at a time, on a thread of its own that lives as long as there is something to clean.
public sealed partial class PartitionStore
{
    private readonly CancellationTokenSource _compactionStop = new();
    private readonly Lock _compactionLock = new();
    private ITimer? _compactionTimer;
    private Task _compaction = Task.CompletedTask;

    /// <summary>Cleans every compacted partition that is due.</summary>
    internal void RunCompaction(CancellationToken cancellationToken = default)
    {
        lock (_compactionLock)
        {
            var compactor = new LogCompactor(new CompactionOptions(_options.CompactionMapBytes, _options.CompactionMaxBytesPerSecond),
                _ports.Log);
            foreach (var partition in _partitions.Values)
            {
                if (partition.Config.CleanupCompact)
                    partition.Compact(compactor, cancellationToken);
            }
        }
    }

    private void StartCompaction() =>
        _compactionTimer = _options.TimeProvider.CreateTimer(static store => ((PartitionStore)store!).OnCompactionTick(), this,
            _options.CompactionCheckInterval,
            _options.CompactionCheckInterval);

    private void OnCompactionTick()
    {
        // Ticks do not overlap a cleaning, which may take hours.
        if (!_compaction.IsCompleted || _compactionStop.IsCancellationRequested
            || !_partitions.Values.Any(partition => partition.Config.CleanupCompact))
            return;
        _compaction = Task.Factory.StartNew(Compact, CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);
    }

    private void Compact()
    {
        try
        {
            RunCompaction(_compactionStop.Token);
        }
        catch (OperationCanceledException) when (_compactionStop.IsCancellationRequested)
        {
            // The broker closes: what was cleaned in part is deleted, and cleaned the next time.
        }
        catch (Exception fault)
        {
            _options.Log.Write(EngineLogLevel.Error, $"A bug in OrleansMq stopped a compaction: {fault.Message} Please report it.", fault);
        }
    }

    private async Task StopCompactionAsync()
    {
        if (_compactionTimer is not null)
            await _compactionTimer.DisposeAsync().ConfigureAwait(false);
        await _compactionStop.CancelAsync().ConfigureAwait(false);
        await _compaction.ConfigureAwait(false);
    }
}
