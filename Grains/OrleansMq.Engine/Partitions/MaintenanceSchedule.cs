using System.Collections.Concurrent;
using OrleansMq.Diagnostics;

namespace OrleansMq.Partitions;

/// <summary>
/// The timers that maintain a broker's partitions: one for background flushes, one for checkpoints and retention, which may take long.
/// </summary>
/// <remarks>
/// State: a lock for each timer, held during its run, so that a run longer than a tick is not started twice; and, under the second lock,
/// when checkpoints and retention are due.
/// <para>Failures: any fault concerns its partition alone. One that is not of the storage is a bug: it is logged, and the next tick tries
/// again.</para>
/// </remarks>
internal sealed class MaintenanceSchedule(PartitionStoreOptions options, PartitionPorts ports,
    ConcurrentDictionary<TopicPartition, Partition> partitions)
{
    /// <summary>The period of both timers, and so the precision of <c>flush.ms</c>.</summary>
    private static readonly TimeSpan Tick = TimeSpan.FromMilliseconds(200);

    private readonly Lock _flushesLock = new();
    private readonly Lock _upkeepLock = new();
    private ITimer? _flushTimer;
    private ITimer? _upkeepTimer;
    private long _nextRetention;
    private long _nextCheckpoint;

    /// <summary>Starts the timers.</summary>
    public void Start()
    {
        var now = ports.Log.Now;
        _nextRetention = now + (long)options.RetentionCheckInterval.TotalMilliseconds;
        _nextCheckpoint = now + (long)options.CheckpointInterval.TotalMilliseconds;
        var time = options.TimeProvider;
        _flushTimer = time.CreateTimer(static state => ((MaintenanceSchedule)state!).OnFlushTick(), this, Tick, Tick);
        _upkeepTimer = time.CreateTimer(static state => ((MaintenanceSchedule)state!).OnUpkeepTick(), this, Tick, Tick);
    }

    /// <summary>Does what is due: background flushes, checkpoints, rolling by age and retention.</summary>
    /// <param name="now">Milliseconds since 1970.</param>
    public void Run(long now)
    {
        lock (_flushesLock)
            ports.Flushes.Run(now);
        lock (_upkeepLock)
            RunUpkeep(now);
    }

    /// <summary>Stops the timers, and waits for the runs under way.</summary>
    public async Task StopAsync()
    {
        if (_flushTimer is not null)
            await _flushTimer.DisposeAsync().ConfigureAwait(false);
        if (_upkeepTimer is not null)
            await _upkeepTimer.DisposeAsync().ConfigureAwait(false);
        lock (_flushesLock)
            lock (_upkeepLock)
            {
                // The runs have ended.
            }
    }

    private void OnFlushTick() => RunOnce(_flushesLock, "background flush", static (schedule, now) => schedule.RunFlushes(now));

    private void OnUpkeepTick() => RunOnce(_upkeepLock, "maintenance run", static (schedule, now) => schedule.RunUpkeep(now));

    private void RunFlushes(long now) => ports.Flushes.Run(now);

    private void RunUpkeep(long now)
    {
        if (IsDue(ref _nextRetention, options.RetentionCheckInterval, now))
        {
            foreach (var partition in partitions.Values)
                RunOne(partition, now, static (partition, now) => partition.Maintain(now));
        }
        else
        {
            foreach (var partition in ports.Settled.Keys)
            {
                if (ports.Settled.TryRemove(partition, out _))
                    RunOne(partition, now, static (partition, now) => partition.Maintain(now));
            }
        }
        if (IsDue(ref _nextCheckpoint, options.CheckpointInterval, now))
        {
            foreach (var partition in partitions.Values)
                RunOne(partition, now, static (partition, _) => partition.Checkpoint());
        }
    }

    private void RunOne(Partition partition, long now, Action<Partition, long> run)
    {
        try
        {
            run(partition, now);
        }
        catch (Exception fault)
        {
            ports.EngineLog.Write(EngineLogLevel.Error,
                $"A bug in OrleansMq stopped the maintenance of {partition.TopicPartition}: {fault.Message} Please report it.", fault);
        }
    }

    private void RunOnce(Lock running, string what, Action<MaintenanceSchedule, long> run)
    {
        if (!running.TryEnter())
            return;
        try
        {
            run(this, ports.Log.Now);
        }
        catch (Exception fault)
        {
            ports.EngineLog.Write(EngineLogLevel.Error, $"A bug in OrleansMq stopped a {what}: {fault.Message} Please report it.", fault);
        }
        finally
        {
            running.Exit();
        }
    }

    private static bool IsDue(ref long next, TimeSpan interval, long now)
    {
        var step = (long)interval.TotalMilliseconds;
        // Also due if the clock was set back by more than the interval.
        if (now < next && next - now <= step)
            return false;
        next = now + step;
        return true;
    }
}
