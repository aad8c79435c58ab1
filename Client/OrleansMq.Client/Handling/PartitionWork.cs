namespace OrleansMq.Client;

/// <summary>The processing of records that an assigned partition hands out.</summary>
internal interface IPartitionWork
{
    /// <summary>Returns the records that were handed out and not started.</summary>
    void Drop();
}

/// <summary>Processes the records of one session of a partition.</summary>
/// <param name="claim">The partition.</param>
/// <param name="session">The session that fetches them.</param>
/// <param name="maxRunning">The maximum number of concurrent calls.</param>
/// <param name="handle">Handles one record. Returns whether it is done.</param>
/// <param name="wake">Called when the partition has room again.</param>
internal sealed class PartitionWork<TKey, TValue>(AssignedPartition claim, FetchSession session, int maxRunning,
    Func<PartitionWork<TKey, TValue>, HandledRecord<TKey, TValue>, Task<bool>> handle, Action wake) : IPartitionWork
{
    /// <summary>How many records may wait for a call: enough to keep all calls busy, few enough to drop quickly.</summary>
    private const int QueueAhead = 256;

    /// <summary>How many bytes of records may wait for a call.</summary>
    private const long QueueAheadBytes = 1 << 20;

    private readonly Lock _gate = new();
    private readonly OffsetTracker _tracker = new();
    private readonly RecordSchedule<HandledRecord<TKey, TValue>> _schedule = new(maxRunning);
    private long _waitingBytes;
    private bool _isFull;
    private bool _isDropped;

    public AssignedPartition Claim { get; } = claim;

    public FetchSession Session { get; } = session;

    /// <summary>Adds a record that was handed out.</summary>
    public void Add(HandledRecord<TKey, TValue> record)
    {
        HandledRecord<TKey, TValue>? first = null;
        ulong key = 0;
        lock (_gate)
        {
            if (_isDropped || Claim.Draining.IsCancellationRequested)
            {
                Claim.End(Session, -1, -1);
                return;
            }
            _tracker.Start(record.Record.Offset, record.Record.LeaderEpoch);
            _schedule.Add(record.ScheduleKey, record);
            _waitingBytes += Size(record);
            if (_schedule.TryStart(out key, out var started))
                _waitingBytes -= Size(first = started);
            // Judged by the records that still wait: as long as one waits, a running record's end starts it and judges again.
            if (!_isFull && (_schedule.Waiting >= QueueAhead || _waitingBytes >= QueueAheadBytes))
                Claim.SetFull(_isFull = true);
        }
        if (first is not null)
            _ = Task.Run(() => RunAsync(key, first));
    }

    public void Drop()
    {
        lock (_gate)
        {
            _isDropped = true;
            foreach (var _ in _schedule.Drop())
                Claim.End(Session, -1, -1);
        }
    }

    /// <summary>Stops before a record that can be neither handled nor skipped. No further record of the partition is handled.</summary>
    public void Stop()
    {
        Drop();
        Claim.Stop();
    }

    private async Task RunAsync(ulong key, HandledRecord<TKey, TValue> record)
    {
        while (true)
        {
            var isDone = await handle(this, record).ConfigureAwait(false);
            lock (_gate)
            {
                // The partition is draining, lost or stopped. Records behind one that is not done must not run.
                if (isDone)
                    _tracker.Finish(record.Record.Offset);
                else
                    Drop();
                Claim.End(Session, _tracker.DoneTo, _tracker.DoneEpoch);
                _schedule.Finish(key);
                if (_isDropped || !_schedule.TryStart(out key, out var next))
                    return;
                record = next;
                _waitingBytes -= Size(record);
                if (!_isFull || _schedule.Waiting > QueueAhead / 2 || _waitingBytes > QueueAheadBytes / 2)
                    continue;
                Claim.SetFull(_isFull = false);
            }
            wake();
        }
    }

    private static long Size(HandledRecord<TKey, TValue> record) => (record.RawKey?.Length ?? 0) + (record.RawValue?.Length ?? 0);
}
