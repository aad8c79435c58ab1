using OrleansMq.Diagnostics;

namespace OrleansMq.Partitions;

// The clockwork of a broker: flushes by the clock, and everything else, which may take long. Each runs once at a time. Tests call
// RunMaintenance
// with a time of their own.
public sealed partial class PartitionStore
{
    /// <summary>
    /// How often the timers look whether something is due: what <c>flush.ms</c> is exact to.
    /// </summary>
    private static readonly TimeSpan Tick = TimeSpan.FromMilliseconds(200);

    private readonly Lock _flushesLock = new();
    private readonly Lock _upkeepLock = new();
    private ITimer? _flushTimer;
    private ITimer? _upkeepTimer;
    private long _nextRetention;
    private long _nextCheckpoint;

    /// <summary>
    /// Does what is due: background flushes, recovery points, rolling by age and retention.
    /// </summary>
    /// <param name="now">The broker's clock, in milliseconds since 1970.</param>
    internal void RunMaintenance(long now)
    {
        lock (_flushesLock)
            _ports.Flushes.Run(now);
        lock (_upkeepLock)
            RunUpkeep(now);
    }

    private void RunUpkeep(long now)
    {
        if (IsDue(ref _nextRetention, _options.RetentionCheckInterval, now))
        {
            foreach (var partition in _partitions.Values)
                partition.Maintain(now);
        }
        if (IsDue(ref _nextCheckpoint, _options.CheckpointInterval, now))
        {
            foreach (var partition in _partitions.Values)
                partition.Checkpoint();
        }
    }

    private void StartMaintenance()
    {
        var now = _ports.Log.Now;
        _nextRetention = now + (long)_options.RetentionCheckInterval.TotalMilliseconds;
        _nextCheckpoint = now + (long)_options.CheckpointInterval.TotalMilliseconds;
        var time = _options.TimeProvider;
        _flushTimer = time.CreateTimer(static state => ((PartitionStore)state!).OnFlushTick(), this, Tick, Tick);
        _upkeepTimer = time.CreateTimer(static state => ((PartitionStore)state!).OnUpkeepTick(), this, Tick, Tick);
        StartCompaction();
    }

    private void OnFlushTick() => RunOnce(_flushesLock, "background flush", static (store, now) => store._ports.Flushes.Run(now));

    private void OnUpkeepTick() => RunOnce(_upkeepLock, "maintenance run", static (store, now) => store.RunUpkeep(now));

    private void RunOnce(Lock running, string what, Action<PartitionStore, long> run)
    {
        // A run that takes longer than a tick is not run twice.
        if (!running.TryEnter())
            return;
        try
        {
            run(this, _ports.Log.Now);
        }
        catch (Exception fault)
        {
            _options.Log.Write(EngineLogLevel.Error, $"A bug in OrleansMq stopped a {what}: {fault.Message} Please report it.", fault);
        }
        finally
        {
            running.Exit();
        }
    }

    private async Task StopMaintenanceAsync()
    {
        if (_flushTimer is not null)
            await _flushTimer.DisposeAsync().ConfigureAwait(false);
        if (_upkeepTimer is not null)
            await _upkeepTimer.DisposeAsync().ConfigureAwait(false);
        await StopCompactionAsync().ConfigureAwait(false);
        lock (_flushesLock)
            lock (_upkeepLock)
            {
                // Runs that were under way are over.
            }
    }

    private static bool IsDue(ref long next, TimeSpan interval, long now)
    {
        var step = (long)interval.TotalMilliseconds;
        // Also where the clock was set back by more than the interval.
        if (now < next && next - now <= step)
            return false;
        next = now + step;
        return true;
    }
}
