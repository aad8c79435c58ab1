namespace OrleansMq.Client;

/// <summary>Why an assigned partition hands out no records.</summary>
[Flags]
internal enum HoldReasons
{
    None = 0,
    /// <summary>The application paused it.</summary>
    Paused = 1,
    /// <summary>The maximum number of its records waits for a call.</summary>
    Full = 2,
    /// <summary>A record can be neither handled nor skipped.</summary>
    Stopped = 4,
    /// <summary>It continues elsewhere, after the records in flight have ended.</summary>
    Settling = 8,
    /// <summary>Its broker does not know it. Another session begins after a wait.</summary>
    BackingOff = 16,
}

/// <summary>
/// One assignment of a partition to this consumer. When a partition is revoked or lost and assigned again, a new object represents it. So
/// work that began under one assignment (a record in flight, a commit retry) cannot end in another.
/// <para>Within an assignment, a session replaces another after a seek, a restart or an error. Its first record is handed out when no
/// record of the former session is in flight. So records of two sessions are never handled at the same time.</para>
/// </summary>
/// <param name="buffer">The buffer that it is fetched into.</param>
/// <param name="partition">The partition.</param>
/// <param name="topicId">The id of its topic; empty if unknown.</param>
internal sealed class AssignedPartition(FetchBuffer buffer, TopicPartition partition, Guid topicId)
{
    private readonly Lock _gate = new();
    private readonly CancellationTokenSource _gone = new();
    private readonly CancellationTokenSource _draining = new();
    private readonly TaskCompletionSource<FetchSession> _begun = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private TaskCompletionSource? _idle;
    private FetchSession? _session;
    private ReadFrom? _sought;
    private bool _mayBegin;
    private bool _isDraining;
    private bool _restartsWhenIdle;
    private HoldReasons _holds;
    private int _inFlight;
    private long _handedOutTo = -1;
    private int _handedOutEpoch = -1;
    private long _done = -1;
    private int _doneEpoch = -1;
    private long _committed = -1;
    // Up to where a transaction has the offset, in force or not.
    private long _inTransaction = -1;

    public TopicPartition Partition { get; } = partition;

    public Guid TopicId { get; } = topicId;

    /// <summary>Whether the assignment has ended. Nothing is committed for it any more.</summary>
    public bool IsGone => _gone.IsCancellationRequested;

    /// <summary>Cancelled when the assignment has ended.</summary>
    public CancellationToken Gone => _gone.Token;

    /// <summary>Cancelled when the partition is being revoked, or the assignment has ended.</summary>
    public CancellationToken Draining => _draining.Token;

    /// <summary>The processing of its records; set by the code that hands them out.</summary>
    public IPartitionWork? Work { get; set; }

    /// <summary>The session that fetches it; null before the start is known.</summary>
    public FetchSession? Session
    {
        get
        {
            lock (_gate)
                return _session;
        }
    }

    /// <summary>Completes with the first session.</summary>
    public Task<FetchSession> Begun => _begun.Task;

    public bool IsPaused
    {
        get
        {
            lock (_gate)
                return _holds.HasFlag(HoldReasons.Paused);
        }
    }

    /// <summary>The number of records that are handed out and not done.</summary>
    public int InFlight
    {
        get
        {
            lock (_gate)
                return _inFlight;
        }
    }

    /// <summary>Whether its start still has to be found: it is assigned, no seek set a position, and no session fetches it.</summary>
    public bool NeedsStart
    {
        get
        {
            lock (_gate)
                return !IsGone && !_isDraining && _session is null && _sought is null;
        }
    }

    /// <summary>Starts fetching from a position. Before the application was notified of the partition, only records the position. Returns
    /// records of the former session that wait for a call; those that run end first.</summary>
    /// <param name="start">The position to start from.</param>
    /// <param name="committed">Whether the start is the committed offset.</param>
    /// <param name="failure">Why the partition cannot be fetched; null if it can.</param>
    /// <returns>False if the partition is being revoked or the assignment has ended.</returns>
    public bool Begin(ReadFrom start, bool committed = false, ConsumeException? failure = null)
    {
        Work?.Drop();
        lock (_gate)
        {
            if (IsGone || _isDraining)
                return false;
            if (_mayBegin)
                BeginLocked(start, committed, failure);
            else
                _sought = start;
            return true;
        }
    }

    private void BeginLocked(ReadFrom start, bool committed = false, ConsumeException? failure = null)
    {
        _restartsWhenIdle = false;
        _holds = (_holds & (HoldReasons.Paused | HoldReasons.Stopped)) | (_inFlight > 0 ? HoldReasons.Settling : HoldReasons.None);
        var session = _session = buffer.Begin(Partition, start, this, _holds != HoldReasons.None, failure, TopicId);
        (_done, _doneEpoch) = (start.ExactOffset ?? -1, -1);
        (_handedOutTo, _inTransaction) = (-1, -1);
        if (committed)
            _committed = _done;
        _begun.TrySetResult(session);
        if (start.ExactOffset is null)
            _ = FollowStartAsync(session);
    }

    /// <summary>Permits fetching, once the application was notified. A seek made in the meantime decides the position.</summary>
    public void AllowBegin()
    {
        ReadFrom? sought;
        lock (_gate)
        {
            _mayBegin = true;
            sought = _sought;
        }
        if (sought is { } start)
            Begin(start);
    }

    /// <summary>Hands out a record of a session, if allowed. It is in flight until <see cref="End"/>.</summary>
    /// <param name="session">The session that fetched it.</param>
    /// <param name="next">The offset after the record.</param>
    /// <param name="leaderEpoch">The record's leader epoch.</param>
    public bool TryHandOut(FetchSession session, long next, int leaderEpoch)
    {
        lock (_gate)
        {
            if (IsGone || _isDraining || session != _session)
                return false;
            _inFlight++;
            (_handedOutTo, _handedOutEpoch) = (next, leaderEpoch);
            // A start that had to be looked up may become known here first.
            if (_done < 0)
                _done = next - 1;
            return true;
        }
    }

    /// <summary>Ends the flight of a record.</summary>
    /// <param name="session">The session that fetched it.</param>
    /// <param name="done">The offset up to which all records are now done; -1 if unchanged.</param>
    /// <param name="leaderEpoch">The leader epoch of the record before <paramref name="done"/>.</param>
    public void End(FetchSession session, long done, int leaderEpoch)
    {
        lock (_gate)
        {
            _inFlight--;
            // After a seek the records of the earlier session no longer move the position.
            if (session == _session && done > _done)
                (_done, _doneEpoch) = (done, leaderEpoch);
            if (_inFlight > 0)
                return;
            _idle?.TrySetResult();
            if (!_holds.HasFlag(HoldReasons.Settling) || IsGone || _isDraining)
                return;
            if (_restartsWhenIdle)
                BeginLocked(ReadFrom.Offset(_done));
            else
                Hold(HoldReasons.Settling, false);
            buffer.Wake();
        }
    }

    /// <summary>The offset that is done and not committed yet; null for none.</summary>
    public TopicPartitionOffset? ToCommit()
    {
        lock (_gate)
            return IsGone || _done < 0 || _done == _committed ? null : new TopicPartitionOffset(Partition, _done, _doneEpoch);
    }

    /// <summary>Marks all handed-out records as done, for a commit by the application, and returns the offset to commit.</summary>
    public TopicPartitionOffset? ToCommitHandedOut()
    {
        lock (_gate)
        {
            if (IsGone)
                return null;
            if (_handedOutTo > _done)
                (_done, _doneEpoch) = (_handedOutTo, _handedOutEpoch);
            return _done < 0 ? null : new TopicPartitionOffset(Partition, _done, _doneEpoch);
        }
    }

    /// <summary>Whether records were handed out whose offset is neither committed nor in a transaction.</summary>
    public bool HasUncommitted
    {
        get
        {
            lock (_gate)
                return _handedOutTo > Math.Max(_committed, _inTransaction);
        }
    }

    /// <summary>Notes that a transaction has an offset.</summary>
    public void TakenIntoTransaction(long offset)
    {
        lock (_gate)
            _inTransaction = offset;
    }

    /// <summary>Marks the handed-out records below an offset as done, which the application commits. Else an automatic commit of what was
    /// done before would take the group back.</summary>
    public void MarkDone(TopicPartitionOffset offset)
    {
        lock (_gate)
        {
            if (offset.Offset > _done && offset.Offset <= _handedOutTo)
                (_done, _doneEpoch) = (offset.Offset, offset.LeaderEpoch);
        }
    }

    /// <summary>Notes that an offset is stored.</summary>
    public void Committed(long offset)
    {
        lock (_gate)
            _committed = offset;
    }

    /// <summary>Stops handing out records. Completes when no record is in flight, or the assignment has ended.</summary>
    public Task DrainAsync()
    {
        Close();
        lock (_gate)
        {
            _idle ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            if (_inFlight == 0 || IsGone)
                _idle.TrySetResult();
            return _idle.Task;
        }
    }

    /// <summary>Ends the assignment.</summary>
    public void Leave()
    {
        Close();
        // Cancelled at once. Handlers are notified on another thread, since removing partitions must not wait for them.
        _ = _gone.CancelAsync();
        _begun.TrySetException(new InvalidOperationException($"{Partition} is no longer assigned to this consumer."));
        _ = _begun.Task.Exception;
        lock (_gate)
            _idle?.TrySetResult();
    }

    private void Close()
    {
        lock (_gate)
        {
            _isDraining = true;
            if (_session is { } session)
                buffer.End(session);
        }
        _ = _draining.CancelAsync();
        Work?.Drop();
    }

    /// <summary>Pauses or resumes the partition on behalf of the application.</summary>
    public void Pause(bool isPaused)
    {
        lock (_gate)
            Hold(HoldReasons.Paused, isPaused);
    }

    /// <summary>Holds the partition while the maximum number of its records waits for a call.</summary>
    public void SetFull(bool isFull)
    {
        lock (_gate)
            Hold(HoldReasons.Full, isFull);
    }

    /// <summary>Stops the partition before a record that can be neither handled nor skipped, until <see cref="Restart"/>.</summary>
    public void Stop()
    {
        lock (_gate)
            Hold(HoldReasons.Stopped, true);
        Work?.Drop();
    }

    /// <summary>Continues a stopped partition from the offset up to which all records are done. Records in flight end first, since they
    /// may move that offset.</summary>
    public void Restart()
    {
        Work?.Drop();
        lock (_gate)
        {
            Hold(HoldReasons.Stopped, false);
            // Without an offset nothing was handed out, and the session continues as it is.
            if (_done >= 0 && _session is not null && !IsGone && !_isDraining)
            {
                if (_inFlight == 0)
                    BeginLocked(ReadFrom.Offset(_done));
                else
                    Hold(HoldReasons.Settling, _restartsWhenIdle = true);
            }
            buffer.Wake();
        }
    }

    /// <summary>Holds the partition until no record is in flight, and then wakes the reader. Returns false if none is.</summary>
    public bool HoldUntilIdle()
    {
        lock (_gate)
        {
            if (_inFlight > 0)
                Hold(HoldReasons.Settling, true);
            return _inFlight > 0;
        }
    }

    /// <summary>Holds the partition until another session begins.</summary>
    public void BackOff()
    {
        lock (_gate)
            Hold(HoldReasons.BackingOff, true);
    }

    private void Hold(HoldReasons reason, bool isHeld)
    {
        _holds = isHeld ? _holds | reason : _holds & ~reason;
        if (_session is { } session)
            session.IsHeld = _holds != HoldReasons.None;
    }

    /// <summary>Treats a start that had to be looked up as done up to there, and so commits it. A consumer that crashes before its first
    /// record then starts at the same position again.</summary>
    private async Task FollowStartAsync(FetchSession session)
    {
        try
        {
            var offset = await session.Started.ConfigureAwait(false);
            lock (_gate)
            {
                if (session == _session && _done < 0)
                    _done = offset;
            }
        }
        catch (Exception e) when (e is ConsumeException or OperationCanceledException)
        {
            // The reader reports the failure, or nothing reads this session any more.
        }
    }
}
