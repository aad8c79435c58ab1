namespace OrleansMq.Partitions;

/// <summary>
/// Has a partition flushed beside its appends: on an append thread, while another one may write. Used where a round must not wait for the
/// flush: by a follower, and by a leader to which senders append that wait for none (<see cref="Acks.Replicated"/>).
/// <code>
/// idle       -- Schedule -->                 scheduled
/// scheduled  -- an append thread runs it --> running
/// running    -- Schedule -->                 running, wanted again
/// running    -- the flush has ended -->      idle, or scheduled if it is wanted again
/// </code>
/// </summary>
/// <remarks>So at most one thread waits for a partition's disk, and all records that were written before a flush begins share it.</remarks>
internal sealed class FlushWork(Partition partition) : IAppendWork
{
    private readonly Lock _lock = new();
    private bool _isScheduled;
    private bool _isWantedAgain;
    private bool _hasFailed;
    private TaskCompletionSource? _idle;

    /// <summary>Has all that is in the log by now flushed. Any thread.</summary>
    public void Schedule()
    {
        lock (_lock)
        {
            if (_isScheduled)
            {
                _isWantedAgain = true;
                return;
            }
            _isScheduled = true;
        }
        partition.Ports.Threads.Schedule(this);
    }

    /// <summary>Completes when no flush is scheduled or under way.</summary>
    public Task IdleAsync()
    {
        lock (_lock)
        {
            if (!_isScheduled)
                return Task.CompletedTask;
            _idle ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            return _idle.Task;
        }
    }

    /// <inheritdoc/>
    public void Run(AppendRound round)
    {
        // Records that are written from here on need another flush.
        lock (_lock)
            _isWantedAgain = false;
        var hasFailed = false;
        try
        {
            partition.Replication.FlushAndAnswer();
        }
        catch (Exception bug) when (!_hasFailed)
        {
            // As in an append round: the partition goes offline. The next run fails what waits.
            _hasFailed = hasFailed = true;
            partition.GoOffline(StorageFaults.DescribeBug(bug), bug);
        }
        lock (_lock)
        {
            if (!_isWantedAgain && !hasFailed)
            {
                _isScheduled = false;
                _idle?.TrySetResult();
                _idle = null;
                return;
            }
        }
        partition.Ports.Threads.Schedule(this);
    }
}
