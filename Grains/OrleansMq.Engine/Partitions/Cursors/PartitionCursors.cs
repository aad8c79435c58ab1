using OrleansMq.Diagnostics;
using OrleansMq.Queues;

namespace OrleansMq.Partitions.Cursors;

/// <summary>
/// The cursors of a partition, while it is led here: an actor. Thread safe.
/// </summary>
/// <remarks>
/// State: the term, from a leadership's begin to its end, with all cursors and consumers. It is changed in turns only. A turn follows the
/// leadership, then the lease, then carries out what was posted, then follows the high watermark, and appends the transitions of all
/// cursors as one control batch. It reads the high watermark first: each own control batch below it is then among what was posted.
/// <code>
/// no term -- the partition is led            --> term    the states are copied under the append lock
/// term    -- the leadership ends, or changes --> no term every request is answered, every attachment ends
/// </code>
/// <para>Failures: a control batch that is refused before it is written is appended again by its cursor; one that is written and not
/// acknowledged stays in suspense until the high watermark passes it. A control batch belongs to its epoch: in any other it is
/// refused.</para>
/// </remarks>
internal sealed partial class PartitionCursors : PartitionTurns
{
    /// <summary>The answer while the partition is not led here.</summary>
    public static readonly Answer NotLeader = new(CursorRequest.NoAnswer, CursorOutcome.NotLeader);

    /// <summary>The interval of retries: without lease while consumers wait, and of reads that had no file handle.</summary>
    public static readonly TimeSpan RetryInterval = TimeSpan.FromMilliseconds(50);

    // A cursor that does not serve yet drops the request.
    private const long RestateIntervalMs = 1_000;
    private const long NoCursors = -1;

    private readonly List<(long Offset, TaskCompletionSource Done)> _restates = [];
    private CursorTerm? _term;
    private string? _refusesPublishes;
    // A moment of the turns' time, and its timestamp.
    private long _startedAt;
    private long _started;
    private long _restatedAt;
    private long _turnAt;
    private long _settledBelow;

    /// <summary>Prepares the cursors; the first turn begins a term if the partition is led here.</summary>
    public PartitionCursors(Partition partition)
        : base(partition)
    {
        (_startedAt, _started) = (partition.Ports.Log.Now, Time.GetTimestamp());
        Queues = new PartitionQueues(this);
    }

    /// <summary>The cursors as queues of the broker API.</summary>
    public PartitionQueues Queues { get; }
    /// <summary>Publishes dead letters.</summary>
    public IDeadLetterPort DeadLetters => Partition.Ports.DeadLetters;
    /// <summary>The turn's time, in milliseconds since 1970. It never goes back.</summary>
    public long TurnTime { get; private set; }
    /// <summary>What the broker's clock said at the turn's begin, in milliseconds since 1970.</summary>
    public long ClockTime { get; private set; }

    /// <summary>No cursor needs a record below this offset, as far as is in force; null without cursors. 0 while that is not known. On any
    /// thread.</summary>
    public long? SettledBelow => Volatile.Read(ref _settledBelow) is var known && known == NoCursors ? null : known;

    /// <summary>Why nothing is published to the partition: a cursor that is full refuses it. Null: no cursor does. On any thread.</summary>
    public string? RefusesPublishes => Volatile.Read(ref _refusesPublishes);

    /// <summary>Resets a cursor. Its configuration stays.</summary>
    /// <inheritdoc cref="BeginAsync"/>
    public Task<Answer> ResetAsync(string name, Guid incarnation, long floor, Guid replaces) =>
        SendAsync(term => term.Find(name), id => new Begin(id, incarnation, Configuration: null, floor, replaces));

    /// <summary>Creates a cursor, or resets one.</summary>
    /// <param name="incarnation">A new id; that of an earlier call repeats it.</param>
    /// <param name="configuration">The configuration, with the cursor's name.</param>
    /// <param name="floor">The first record, or <see cref="CursorState.Latest"/>.</param>
    /// <param name="replaces">The incarnation that a reset ends; empty for a creation.</param>
    /// <returns>The outcome, and the floor that it has.</returns>
    public Task<Answer> BeginAsync(Guid incarnation, CursorConfiguration configuration, long floor, Guid replaces = default) =>
        SendAsync(term => term.FindOrHost(configuration.Name), id => new Begin(id, incarnation, configuration, floor, replaces));

    /// <summary>Deletes a cursor, with its consumers.</summary>
    public Task<Answer> RemoveAsync(string name, Guid incarnation) =>
        SendAsync(term => term.Find(name), id => new Remove(id, incarnation));

    /// <summary>Changes a cursor's configuration.</summary>
    /// <param name="configuration">The configuration, with the cursor's name.</param>
    /// <param name="incarnation">The id that the cursor must have; null for any.</param>
    public Task<Answer> ConfigureAsync(CursorConfiguration configuration, Guid? incarnation = null) => SendAsync(
        term => term.Find(configuration.Name) is { } cursor
            && (incarnation is null || cursor.Cursor.State?.Incarnation == incarnation) ? cursor : null,
        id => new Configure(id, configuration));

    /// <summary>Settles a cursor's records below an offset that are not held.</summary>
    public Task<Answer> PurgeAsync(string name, long below) => SendAsync(term => term.Find(name), id => new Purge(id, below));

    /// <summary>Attaches a consumer.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.NotLeaderOrFollower"/>, <see cref="ErrorCode.GroupIdNotFound"/>: there is no
    /// such cursor.</exception>
    public Task<CursorAttachment> AttachAsync(string name, AttachOptions options)
    {
        var attached = new TaskCompletionSource<CursorAttachment>(TaskCreationOptions.RunContinuationsAsynchronously);
        Post(() =>
        {
            if (_term is null)
                attached.TrySetException(NotLedHere());
            else if (_term.Attach(name, options) is { } attachment)
                attached.TrySetResult(attachment);
            else
                attached.TrySetException(new BrokerException(ErrorCode.GroupIdNotFound,
                    $"{Partition.TopicPartition} has no cursor '{name}'. Create it first."));
        });
        return attached.Task;
    }

    /// <summary>Asks about the cursors, in a turn.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.NotLeaderOrFollower"/>.</exception>
    public Task<T> AskAsync<T>(Func<CursorTerm, T> ask)
    {
        var answer = new TaskCompletionSource<T>(TaskCreationOptions.RunContinuationsAsynchronously);
        Post(() =>
        {
            if (_term is null)
                answer.TrySetException(NotLedHere());
            else
                answer.TrySetResult(ask(_term));
        });
        return answer.Task;
    }

    /// <summary>Asks the cursors to repeat statements, so that the log may start at an offset later.</summary>
    public void Restate(long offset) => Post(() => _term?.Restate(offset));

    /// <summary>Asks the cursors to repeat statements; completes when the log may start at an offset.</summary>
    /// <param name="offset">The offset.</param>
    /// <param name="deadline">The longest wait.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <exception cref="TimeoutException">The log must not start there yet.</exception>
    public async Task RestateAsync(long offset, TimeSpan deadline, CancellationToken cancellationToken)
    {
        var done = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        Post(() =>
        {
            _restates.Add((offset, done));
            _restatedAt = 0;
        });
        try
        {
            await done.Task.WaitAsync(deadline, Time, cancellationToken).ConfigureAwait(false);
        }
        finally
        {
            Post(() => _restates.RemoveAll(restate => restate.Done == done));
        }
    }

    /// <summary>Passes a request to a cursor.</summary>
    internal Task<Answer> SendAsync(HostedCursor cursor, Func<long, CursorRequest> request) => SendAsync(_ => cursor, request);

    internal void Warn(string message, Exception fault) =>
        Partition.Ports.EngineLog.Write(EngineLogLevel.Warning, $"Partition {Partition.TopicPartition}: {message}", fault);

    private BrokerException NotLedHere() => new(ErrorCode.NotLeaderOrFollower,
        $"{Partition.TopicPartition} is not led here. Find its leader, and retry.");

    /// <inheritdoc/>
    protected override void RunTurn()
    {
        var highWatermark = Partition.HighWatermark;
        TakePosted();
        ReadTime();
        FollowLeadership();
        // A clock that is set forward ends no other leader's lease: the wait for that is by elapsed time.
        var handOutWait = _term is null ? 0 : Partition.Replication.HandOutWaitMs;
        var leaseLeft = _term is null || handOutWait > 0 ? 0 : Partition.Replication.LeaseLeftMs;
        _term?.Extend(leaseLeft == long.MaxValue ? long.MaxValue : TurnTime + leaseLeft);
        // No control batch of this leadership is in the log yet, so the first requests find a cursor that serves.
        if (_term is { HighWatermark: < 0 })
            Advance(highWatermark);
        RunPosted();
        Advance(highWatermark);
        _term?.Tick();
        ContinueRestates();
        _term?.ForgetAbsent();
        Volatile.Write(ref _refusesPublishes, _term?.RefusesPublishes);
        _term?.AppendAll();
        NoteSettled();
        SetTimer(leaseLeft, handOutWait);
    }

    // A clock that is set forward, or a machine that slept, takes the turns along: what is due has not to wait again. From there on elapsed
    // time counts, also when the clock is set back.
    private void ReadTime()
    {
        // The clock first: what passes in between is then counted once.
        ClockTime = Partition.Ports.Log.Now;
        _turnAt = Time.GetTimestamp();
        TurnTime = _startedAt + (long)Time.GetElapsedTime(_started, _turnAt).TotalMilliseconds;
        if (ClockTime > TurnTime)
            (TurnTime, _startedAt, _started) = (ClockTime, ClockTime, _turnAt);
    }

    private void Advance(long highWatermark) =>
        _term?.Advance(highWatermark, Math.Min(Partition.LastStableOffset, highWatermark), Partition.LogStartOffset);

    private void FollowLeadership()
    {
        var leadership = Partition.Availability.IsServing ? Partition.Replication.Leadership : null;
        if (ReferenceEquals(leadership, _term?.Leadership))
            return;
        _term?.End();
        _term = null;
        if (leadership is null)
            return;
        var log = Partition.Log!;
        List<CursorState> states;
        LeaderTerm term;
        lock (log.AppendLock)
        {
            // A later leadership signals again.
            if (!ReferenceEquals(leadership, Partition.Replication.Leadership))
                return;
            // No control batch of an earlier epoch is appended from here on.
            states = [.. log.State.Cursors.Cursors.Values.Select(cursor => cursor.Clone())];
            var wait = Partition.Replication.HandOutWaitMs;
            // The wait for the lock is over: an earlier time would end it early.
            ReadTime();
            term = new LeaderTerm(leadership.Epoch, log.LogEndOffset, wait > 0 ? TurnTime + wait : 0)
            {
                Origin = Random.Shared.NextInt64(1, long.MaxValue),
            };
        }
        _term = new CursorTerm(this, leadership, term, states);
    }

    private Task<Answer> SendAsync(Func<CursorTerm, HostedCursor?> find, Func<long, CursorRequest> request)
    {
        var answer = new TaskCompletionSource<Answer>(TaskCreationOptions.RunContinuationsAsynchronously);
        Post(() =>
        {
            if (_term is null)
                answer.TrySetResult(NotLeader);
            else if (find(_term) is { } cursor)
                cursor.Term.Send(cursor, request, answer);
            else
                answer.TrySetResult(new Answer(CursorRequest.NoAnswer, CursorOutcome.NoCursor));
        });
        return answer.Task;
    }

    private void ContinueRestates()
    {
        if (_restates.Count == 0)
            return;
        var bound = Partition.Log!.StartBound(Partition.HighWatermark);
        foreach (var (offset, done) in _restates)
        {
            if (offset <= bound)
                done.TrySetResult();
        }
        _restates.RemoveAll(restate => restate.Done.Task.IsCompleted);
        if (_restates.Count == 0 || TurnTime - _restatedAt < RestateIntervalMs)
            return;
        _restatedAt = TurnTime;
        _term?.Restate(_restates.Max(restate => restate.Offset));
    }

    // The records may be deleted where the topic keeps them until they are settled.
    private void NoteSettled()
    {
        var below = _term is null || !Partition.Config.RetentionUntilSettled ? 0 : _term.SettledBelow ?? NoCursors;
        Volatile.Write(ref _settledBelow, below);
        if (below > 0 && Partition.Log!.Segments is { Count: > 1 } segments
            && segments[0].NextOffset <= below)
            Partition.Ports.Settled[Partition] = true;
    }

    private void SetTimer(long leaseLeft, long handOutWait)
    {
        var at = _term?.WakeAt ?? long.MaxValue;
        if (handOutWait > 0)
            at = Math.Min(at, TurnTime + handOutWait);
        // The lease is told to the cursors before it ends, so that the clock of locks runs on.
        else if (_term is { HasConsumers: true } && leaseLeft != long.MaxValue)
            at = Math.Min(at, TurnTime + Math.Max(leaseLeft / 2, (long)RetryInterval.TotalMilliseconds));
        if (_restates.Count > 0)
            at = Math.Min(at, _restatedAt + RestateIntervalMs);
        SetTimer(at, TurnTime, _turnAt);
    }
}
