using OrleansMq.Diagnostics;

namespace OrleansMq.Partitions;

// The clockwork of a broker: one timer, one run at a time, each part when it is due. Tests call RunMaintenance with a time of their own.
public sealed partial class PartitionStore
{
    /// <summary>
    /// How often the timer looks whether something is due: what <c>flush.ms</c> and <c>file.delete.delay.ms</c> are exact to.
    /// </summary>
    private static readonly TimeSpan Tick = TimeSpan.FromMilliseconds(200);

    private readonly Lock _maintenanceLock = new();
    private ITimer? _timer;
    private long _nextRetention;
    private long _nextCheckpoint;

    /// <summary>
    /// Does what is due: background flushes, recovery points, rolling by age and retention.
    /// </summary>
    /// <param name="now">The broker's clock, in milliseconds since 1970.</param>
    internal void RunMaintenance(long now)
    {
        lock (_maintenanceLock)
        {
            _ports.Flushes.Run(now);
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
    }

    private void StartMaintenance()
    {
        var now = _ports.Log.Now;
        _nextRetention = now + (long)_options.RetentionCheckInterval.TotalMilliseconds;
        _nextCheckpoint = now + (long)_options.CheckpointInterval.TotalMilliseconds;
        _timer = _options.TimeProvider.CreateTimer(static store => ((PartitionStore)store!).OnTick(), this, Tick, Tick);
        StartCompaction();
    }

    private void OnTick()
    {
        // A run that takes longer than a tick is not run twice.
        if (!_maintenanceLock.TryEnter())
            return;
        try
        {
            RunMaintenance(_ports.Log.Now);
        }
        catch (Exception fault)
        {
            _options.Log.Write(EngineLogLevel.Error, $"A bug in OrleansMq stopped a maintenance run: {fault.Message} Please report it.",
                fault);
        }
        finally
        {
            _maintenanceLock.Exit();
        }
    }

    private async Task StopMaintenanceAsync()
    {
        if (_timer is not null)
            await _timer.DisposeAsync().ConfigureAwait(false);
        await StopCompactionAsync().ConfigureAwait(false);
        lock (_maintenanceLock)
        {
            // A run that was under way is over.
        }
    }

    private static bool IsDue(ref long next, TimeSpan interval, long now)
    {
        if (now < next)
            return false;
        next = now + (long)interval.TotalMilliseconds;
        return true;
    }
}
