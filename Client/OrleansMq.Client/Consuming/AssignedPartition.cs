namespace OrleansMq.Client;

/// <summary>
/// A partition while it is a consumer's, once: what comes after it was given up or lost is another object. By that nothing that began for
/// the one (a record in flight, a commit that is tried again) can end in the other.
/// </summary>
internal sealed class AssignedPartition(TopicPartition partition, Guid topicId)
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
    private bool _isPaused;
    private bool _isFull;
    private int _inFlight;
    private long _handedOutTo = -1;
    private int _handedOutEpoch = -1;
    private long _done = -1;
    private int _doneEpoch = -1;
    private long _committed = -1;

    public TopicPartition Partition { get; } = partition;

    public Guid TopicId { get; } = topicId;

    /// <summary>Whether it is another's, or nobody's: nothing is committed for it any more.</summary>
    public bool IsGone => _gone.IsCancellationRequested;

    /// <summary>Cancelled when it is gone.</summary>
    public CancellationToken Gone => _gone.Token;

    /// <summary>Cancelled when it is to be given up, or is gone.</summary>
    public CancellationToken Draining => _draining.Token;

    /// <summary>What is done with its records; set by who hands them out.</summary>
    public IPartitionWork? Work { get; set; }

    /// <summary>What fetches it; null before the start is known.</summary>
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
                return _isPaused;
        }
    }

    /// <summary>Records that are handed out and not done.</summary>
    public int InFlight
    {
        get
        {
            lock (_gate)
                return _inFlight;
        }
    }

    /// <summary>The next offset to be done; -1 before the start is known.</summary>
    public long Done
    {
        get
        {
            lock (_gate)
                return _done;
        }
    }

    /// <summary>Whether its start still has to be found: it is here, was not sought, and nothing fetches it.</summary>
    public bool NeedsStart
    {
        get
        {
            lock (_gate)
                return !IsGone && !_isDraining && _session is null && _sought is null;
        }
    }

    /// <summary>Fetches from a start on. Before the application has heard of the partition only the start is noted.</summary>
    /// <param name="buffer">Where.</param>
    /// <param name="start">From which offset on.</param>
    /// <param name="committed">The start is what is committed.</param>
    /// <param name="failure">Why it cannot be fetched.</param>
    /// <returns>False where the partition is given up or gone.</returns>
    public bool Begin(FetchBuffer buffer, ReadFrom start, bool committed = false, ConsumeException? failure = null)
    {
        FetchSession session;
        lock (_gate)
        {
            if (IsGone || _isDraining)
                return false;
            if (!_mayBegin)
            {
                _sought = start;
                return true;
            }
            session = _session = buffer.Begin(Partition, start, this, _isPaused || _isFull, failure, TopicId);
            (_done, _doneEpoch) = (start.ExactOffset ?? -1, -1);
            _handedOutTo = -1;
            if (committed)
                _committed = _done;
        }
        _begun.TrySetResult(session);
        if (start.ExactOffset is null)
            _ = FollowStartAsync(session);
        return true;
    }

    /// <summary>The application has heard of it: it may be fetched, from where it was sought meanwhile.</summary>
    public void AllowBegin(FetchBuffer buffer)
    {
        ReadFrom? sought;
        lock (_gate)
        {
            _mayBegin = true;
            sought = _sought;
        }
        if (sought is { } start)
            Begin(buffer, start);
    }

    /// <summary>Whether a record of that session may be handed out; it is in flight then, until <see cref="End"/>.</summary>
    /// <param name="session">The session that it came from.</param>
    /// <param name="next">The offset after it.</param>
    /// <param name="leaderEpoch">Its own.</param>
    public bool TryHandOut(FetchSession session, long next, int leaderEpoch)
    {
        lock (_gate)
        {
            if (IsGone || _isDraining || session != _session)
                return false;
            _inFlight++;
            (_handedOutTo, _handedOutEpoch) = (next, leaderEpoch);
            return true;
        }
    }

    /// <summary>A record is not in flight any more.</summary>
    /// <param name="session">The session that it came from.</param>
    /// <param name="done">The offset up to which all is done by that; -1: no more than before.</param>
    /// <param name="leaderEpoch">Of the record before <paramref name="done"/>.</param>
    public void End(FetchSession session, long done, int leaderEpoch)
    {
        lock (_gate)
        {
            _inFlight--;
            // Sought meanwhile: where it is to go on was said since.
            if (session == _session && done > _done)
                (_done, _doneEpoch) = (done, leaderEpoch);
            if (_inFlight == 0)
                _idle?.TrySetResult();
        }
    }

    /// <summary>What is done and not committed yet, to be committed; null for nothing.</summary>
    public TopicPartitionOffset? ToCommit()
    {
        lock (_gate)
            return IsGone || _done < 0 || _done == _committed ? null : new TopicPartitionOffset(Partition, _done, _doneEpoch);
    }

    /// <summary>The application commits what it was handed out: all up to there is done.</summary>
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

    /// <summary>An offset is stored.</summary>
    public void Committed(long offset)
    {
        lock (_gate)
            _committed = offset;
    }

    /// <summary>Hands out no more. Completes when no record is in flight, or the partition is gone.</summary>
    public Task DrainAsync(FetchBuffer buffer)
    {
        Close(buffer);
        lock (_gate)
        {
            _idle ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            if (_inFlight == 0 || IsGone)
                _idle.TrySetResult();
            return _idle.Task;
        }
    }

    /// <summary>It is not the consumer's any more.</summary>
    public void Leave(FetchBuffer buffer)
    {
        Close(buffer);
        // Gone at once; handlers hear of it on another thread, since whoever takes partitions away must not wait for them.
        _ = _gone.CancelAsync();
        _begun.TrySetException(new InvalidOperationException($"{Partition} is not this consumer's any more."));
        _ = _begun.Task.Exception;
        lock (_gate)
            _idle?.TrySetResult();
    }

    private void Close(FetchBuffer buffer)
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

    /// <summary>The application's wish to hear nothing of it for now.</summary>
    public void Pause(bool isPaused)
    {
        lock (_gate)
        {
            _isPaused = isPaused;
            Hold();
        }
    }

    /// <summary>As many records of it are in flight as may be.</summary>
    public void SetFull(bool isFull)
    {
        lock (_gate)
        {
            _isFull = isFull;
            Hold();
        }
    }

    private void Hold()
    {
        if (_session is { } session)
            session.IsHeld = _isPaused || _isFull;
    }

    /// <summary>A start that had to be looked up counts as done up to there, and is committed as such: a consumer that dies before its
    /// first record begins there again.</summary>
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
            // The reader meets it, or nobody reads there any more.
        }
    }
}
