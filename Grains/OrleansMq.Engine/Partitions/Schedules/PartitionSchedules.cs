using OrleansMq.Api;
using OrleansMq.Schedules;

namespace OrleansMq.Partitions.Schedules;

/// <summary>
/// The schedules of a partition of <see cref="Topics.InternalTopics.Schedules"/>, while it is led here: an actor, as the cursors are.
/// Thread safe.
/// </summary>
/// <remarks>
/// State: the term, from a leadership's begin to its end, changed in turns only. The log is the only state
/// that outlives a term. A new term waits until the high watermark passes what earlier leaders appended, reads the whole log, and serves.
/// Calls that come before wait for it.
/// <para>Failures: a batch of the log belongs to its epoch, and is refused in any other. A batch that was not written is appended again;
/// one that was written is in force when the high watermark passes it. A record of the log that cannot be understood takes the partition
/// offline: another broker may lead it.</para>
/// </remarks>
internal sealed class PartitionSchedules : PartitionTurns, IPartitionSchedules
{
    /// <summary>The interval of retries.</summary>
    public static readonly TimeSpan RetryInterval = TimeSpan.FromMilliseconds(50);

    // How often the clock is read while it is not believed.
    private const long ClockCheckMs = 1_000;
    private const int MaxRequests = 50_000;
    private const long MaxRequestBytes = 64 << 20;
    private const int MaxDescribing = 100;
    // Some 650 MB.
    private const int MaxTimers = 10_000_000;
    // No topic takes the places of all others.
    internal const int MaxTimersOfTopic = 2_000_000;
    // A schedule fires once a second at most: so do as many firings of a topic.
    internal const int MaxRepeatingOfTopic = 2_000;
    private static readonly TimeSpan AnswerTimeout = TimeSpan.FromSeconds(30);

    private readonly long _started;
    private readonly ScheduleClock _clock = new();
    private readonly List<Action> _held = [];
    private readonly SemaphoreSlim _reading = new(1, 1);
    private ScheduleTerm? _term;
    private long _requestBytes;
    private int _describing;
    private int _waiting;
    private long _dropped;

    /// <summary>Prepares the schedules; the first turn begins a term if the partition is led here.</summary>
    public PartitionSchedules(Partition partition)
        : base(partition) => _started = Time.GetTimestamp();

    /// <summary>The number of schedules that wait, where the partition is led here.</summary>
    public int Waiting => Volatile.Read(ref _waiting);

    /// <summary>The number of records that were dropped here since the broker started: their topic was deleted, or their schedule was
    /// cancelled while their topic refused them.</summary>
    public long Dropped => Interlocked.Read(ref _dropped);

    /// <summary>The most schedules of a topic that wait here; a test sets fewer.</summary>
    internal int MostOfTopic { get; set; } = MaxTimersOfTopic;

    /// <summary>The most of them that repeat; a test sets fewer.</summary>
    internal int MostRepeatingOfTopic { get; set; } = MaxRepeatingOfTopic;

    /// <summary>The broker's time of day, in milliseconds since 1970.</summary>
    public long Now => Partition.Ports.Log.Now;

    /// <inheritdoc/>
    public async Task<ScheduleDescription> CreateAsync(Guid topicId, NewSchedule schedule, CancellationToken cancellationToken)
    {
        var id = schedule.Id!;
        // Rounded up: never earlier.
        var at = schedule.At.AddTicks(TimeSpan.TicksPerMillisecond - 1).ToUnixTimeMilliseconds();
        var payload = new ScheduledPayload
        {
            Id = id,
            Topic = schedule.Topic,
            TopicId = topicId,
            Partition = schedule.Partition,
            CreatedAt = Now,
            Key = schedule.Key,
            Value = schedule.Value,
            Headers = schedule.Headers,
            Cron = schedule.Cron ?? "",
            TimeZone = schedule.Cron is null ? "" : schedule.TimeZone ?? Repetition.DefaultZone,
            Begins = schedule.Cron is null ? 0 : Math.Max(at, 0),
        };
        var repetition = payload.Repeats ? RepetitionOf(payload) : null;
        var bytes = payload.Encode();
        if (Interlocked.Add(ref _requestBytes, bytes.Length) > MaxRequestBytes)
        {
            Interlocked.Add(ref _requestBytes, -bytes.Length);
            throw Busy();
        }
        var answer = Store(payload, at, repetition, bytes);
        // The request waits on where its caller leaves.
        _ = answer.ContinueWith((task, _) =>
        {
            _ = task.Exception;
            Interlocked.Add(ref _requestBytes, -bytes.Length);
        }, null, CancellationToken.None, TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default);
        var (handle, outcome) = await WaitAsync(answer, cancellationToken).ConfigureAwait(false);
        return outcome switch
        {
            ScheduleOutcome.Scheduled => Describe(handle, payload),
            ScheduleOutcome.OtherContent => throw new BrokerException(ErrorCode.InvalidRequest, $"Id '{id}' of that topic names "
                + $"{(repetition is null ? "another record of the same time" : "another schedule, or the same with other values")}. "
                + "Choose another id, or cancel that schedule first."),
            _ => throw Unclear(),
        };
    }

    // The zone is looked up on this machine, too, which is to know it at each firing.
    private static Repetition RepetitionOf(ScheduledPayload payload)
    {
        try
        {
            return Repetition.Parse(payload.Cron, payload.TimeZone);
        }
        catch (FormatException fault)
        {
            throw new BrokerException(ErrorCode.InvalidRequest, fault.Message, fault);
        }
    }

    /// <inheritdoc/>
    public async Task<bool> CancelAsync(Guid topicId, string id, CancellationToken cancellationToken) =>
        await AskAsync(term => term.TryFind(ScheduledPayload.HashOf(topicId, id), out var handle, out _) ? term.CancelAsync(handle)
            : Task.FromResult(ScheduleOutcome.NotFound), cancellationToken).ConfigureAwait(false) switch
        {
            ScheduleOutcome.Cancelled => true,
            ScheduleOutcome.NotFound or ScheduleOutcome.TooLate => false,
            _ => throw Unclear(),
        };

    /// <inheritdoc/>
    public async Task<ScheduleDescription?> FindAsync(Guid topicId, string id, CancellationToken cancellationToken)
    {
        var hash = ScheduledPayload.HashOf(topicId, id);
        var (timer, refusals) = await AskAsync(term => Task.FromResult((term.State!.Timers.TryFind(hash, out var timer)
            ? timer : (ScheduledTimer?)null, term.Refusals!)), cancellationToken).ConfigureAwait(false);
        return timer is { } found
            ? (await DescribeAsync([found], refusals, cancellationToken).ConfigureAwait(false)).FirstOrDefault() : null;
    }

    /// <inheritdoc/>
    public Task<string[]> ListAsync(string? after, int maxCount, CancellationToken cancellationToken)
    {
        var place = after is null ? (ScheduleHandle?)null : SchedulePlaces.Parse(after);
        return AskAsync(term => Task.FromResult(term.State!.Timers.After(place, maxCount)
            .Select(timer => SchedulePlaces.Format(timer.Handle)).ToArray()), cancellationToken);
    }

    /// <inheritdoc/>
    public async Task<ScheduleDescription[]> DescribeAsync(string[] places, CancellationToken cancellationToken)
    {
        var handles = Array.ConvertAll(places, SchedulePlaces.Parse);
        // One that fired since it was listed waits at another place, where it may have been listed, too.
        var (timers, refusals) = await AskAsync(term => Task.FromResult((handles.Order().Select(handle =>
            term.State!.Timers.TryGet(handle, out var timer) || term.State.Timers.TryFind(handle.Id, out timer) ? timer
                : (ScheduledTimer?)null).OfType<ScheduledTimer>().Distinct().ToList(), term.Refusals!)), cancellationToken)
            .ConfigureAwait(false);
        return await DescribeAsync(timers, refusals, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>The term serves: the calls that wait for it go on.</summary>
    internal void Loaded()
    {
        List<Action> held = [.. _held];
        _held.Clear();
        foreach (var action in held)
            action();
    }

    /// <summary>Counts what a term did, for metrics.</summary>
    internal void Count(int waiting, long dropped)
    {
        Volatile.Write(ref _waiting, waiting);
        Interlocked.Add(ref _dropped, dropped);
    }

    /// <summary>Reads the clock, in a turn.</summary>
    internal ScheduleTime ReadTime() => _clock.Read(Now, (long)Time.GetElapsedTime(_started).TotalMilliseconds);

    private Task<(ScheduleHandle Handle, ScheduleOutcome Outcome)> Store(ScheduledPayload payload, long at, Repetition? repetition,
        byte[] bytes) =>
        Ask(term =>
        {
            var (id, timers) = (payload.Id, term.State!.Timers);
            var hash = ScheduledPayload.HashOf(payload.TopicId, id);
            var isFound = term.TryFind(hash, out var known, out var isEnding);
            // Behind a cancellation that is not in force yet it is made anew.
            var isKnown = isFound && !isEnding;
            // One that repeats is found at whatever firing is next; its content tells whether it is the same.
            var handle = repetition is null ? new ScheduleHandle(at, hash) : isKnown ? known : FirstFiring(term, hash, payload, repetition);
            if (isKnown && known.Due != handle.Due)
                throw new BrokerException(ErrorCode.InvalidRequest,
                    $"A schedule '{id}' of that topic waits for another time. Cancel it first.");
            // A repeated request takes no place.
            if (isFound || term.State.IsAppended(handle))
                return WithAsync(handle, term.ScheduleAsync(handle, bytes));
            if (timers.Topics.CountOf(payload.TopicId) >= MostOfTopic)
                throw new BrokerException(ErrorCode.PolicyViolation, $"{MostOfTopic} schedules of topic '{payload.Topic}' wait in "
                    + $"{Partition.TopicPartition}, as many as a topic may have there. Cancel some, or schedule later.");
            if (repetition is not null && term.State.CountRepeating(payload.TopicId) >= MostRepeatingOfTopic)
                throw new BrokerException(ErrorCode.PolicyViolation, $"{MostRepeatingOfTopic} schedules of topic '{payload.Topic}' repeat "
                    + $"in {Partition.TopicPartition}, as many as a topic may have there. Cancel some, or let one schedule fire for many.");
            if (timers.InMemory >= MaxTimers)
                throw new BrokerException(ErrorCode.PolicyViolation, $"{MaxTimers} schedules wait in {Partition.TopicPartition}, as many "
                    + "as it takes. Schedule later.");
            return WithAsync(handle, term.ScheduleAsync(handle, bytes));
        });

    private static async Task<(ScheduleHandle, ScheduleOutcome)> WithAsync(ScheduleHandle handle, Task<ScheduleOutcome> outcome) =>
        (handle, await outcome.ConfigureAwait(false));

    // A firing that was delivered or decided, of a schedule of this id that was cancelled since, is not delivered again.
    private ScheduleHandle FirstFiring(ScheduleTerm term, Guid id, ScheduledPayload payload, Repetition repetition)
    {
        var due = repetition.NextAt(Math.Max(payload.Begins, ReadTime().Now));
        while (due is { } some)
        {
            var handle = new ScheduleHandle(some, id);
            if (!term.WasDecided(handle))
                return handle;
            due = repetition.NextAfter(some);
        }
        throw new BrokerException(ErrorCode.InvalidRequest, NeverFires(payload.Cron));
    }

    /// <summary>What is wrong with an expression that has no firing.</summary>
    internal static string NeverFires(string cron) =>
        $"Cron '{cron}' never fires: no date matches all of its fields. Change its day, month or weekday.";

    private Task<T> AskAsync<T>(Func<ScheduleTerm, Task<T>> ask, CancellationToken cancellationToken) =>
        WaitAsync(Ask(ask), cancellationToken);

    private async Task<T> WaitAsync<T>(Task<T> answer, CancellationToken cancellationToken)
    {
        try
        {
            return await answer.WaitAsync(AnswerTimeout, Time, cancellationToken).ConfigureAwait(false);
        }
        catch (TimeoutException)
        {
            throw Unclear();
        }
    }

    // Completes when the term answers, or refuses the request.
    private Task<T> Ask<T>(Func<ScheduleTerm, Task<T>> ask)
    {
        var answer = new TaskCompletionSource<Task<T>>(TaskCreationOptions.RunContinuationsAsynchronously);
        Post(Enter);
        return answer.Task.Unwrap();

        void Enter()
        {
            if (_term is null || Partition.Replication.LeaseLeftMs <= 0)
                answer.TrySetException(new BrokerException(ErrorCode.NotLeaderOrFollower,
                    $"{Partition.TopicPartition} is not led here. Find its leader, and retry."));
            else if (_term.Requests + _held.Count >= MaxRequests)
                answer.TrySetException(Busy());
            else if (_term.State is null)
                _held.Add(Enter);
            else
            {
                try
                {
                    answer.TrySetResult(ask(_term));
                }
                catch (BrokerException refusal)
                {
                    answer.TrySetException(refusal);
                }
            }
        }
    }

    private BrokerException Busy() => new(ErrorCode.LeaderNotAvailable,
        $"{MaxRequests} requests, or {MaxRequestBytes >> 20} MiB of them, wait in {Partition.TopicPartition}. Retry later.");

    private BrokerException Unclear() => new(ErrorCode.RequestTimedOut,
        $"{Partition.TopicPartition} did not store the request in time, or lost its leader. It may take effect. "
            + "Repeat it unchanged, with its id.");

    // One call reads at a time, one batch after the other. A record that is appended or cancelled meanwhile may be compacted away.
    private async Task<ScheduleDescription[]> DescribeAsync(IReadOnlyList<ScheduledTimer> timers, ScheduleRefusals refusals,
        CancellationToken cancellationToken)
    {
        if (Interlocked.Increment(ref _describing) > MaxDescribing)
        {
            Interlocked.Decrement(ref _describing);
            throw new BrokerException(ErrorCode.LeaderNotAvailable,
                $"{MaxDescribing} requests to describe schedules wait in {Partition.TopicPartition}. Retry later.");
        }
        try
        {
            await _reading.WaitAsync(cancellationToken).ConfigureAwait(false);
            try
            {
                var now = Now;
                var limits = await refusals.FindAsync(timers.Where(timer => timer.Handle.Due <= now).Select(timer => timer.TopicId),
                    cancellationToken).ConfigureAwait(false);
                return await Task.Run(() => Describe(timers, now, limits, cancellationToken), cancellationToken).ConfigureAwait(false);
            }
            finally
            {
                _reading.Release();
            }
        }
        finally
        {
            Interlocked.Decrement(ref _describing);
        }
    }

    private ScheduleDescription[] Describe(IReadOnlyList<ScheduledTimer> timers, long now,
        IReadOnlyDictionary<Guid, TopicLimits> limits, CancellationToken cancellationToken)
    {
        var described = new ScheduleDescription?[timers.Count];
        try
        {
            ScheduleLog.ReadPayloads(Partition, timers, (index, payload) =>
                described[index] = payload is null ? null : Describe(timers[index].Handle, payload) with
                {
                    Refusal = timers[index].Handle.Due <= now ? limits.GetValueOrDefault(payload.TopicId)?.RefusalOf(payload.Key,
                        payload.Value, payload.Headers)?.Message : null,
                }, cancellationToken);
        }
        catch (IOException fault)
        {
            Partition.NoteUnreadable(fault);
            throw new BrokerException(ErrorCode.KafkaStorageError, StorageFaults.DescribeUnread(fault), fault);
        }
        return [.. described.OfType<ScheduleDescription>()];
    }

    private static ScheduleDescription Describe(ScheduleHandle handle, ScheduledPayload payload) =>
        new(payload.Id, payload.Topic, DateTimeOffset.FromUnixTimeMilliseconds(handle.Due))
        {
            TopicId = payload.TopicId,
            Partition = payload.Partition,
            CreatedAt = DateTimeOffset.FromUnixTimeMilliseconds(payload.CreatedAt),
            Bytes = payload.ContentBytes,
            Cron = payload.Repeats ? payload.Cron : null,
            TimeZone = payload.Repeats ? payload.TimeZone : null,
        };

    /// <inheritdoc/>
    protected override void RunTurn()
    {
        TakePosted();
        FollowLeadership();
        RunPosted();
        _term?.Tick();
        SetTimer();
    }

    private void FollowLeadership()
    {
        var leadership = Partition.Availability.IsServing ? Partition.Replication.Leadership : null;
        if (ReferenceEquals(leadership, _term?.Leadership))
            return;
        _term?.End();
        _term = leadership is null ? null : new ScheduleTerm(this, leadership);
        _term?.Begin();
        if (_term is null)
            Loaded();
    }

    private void SetTimer()
    {
        // The moment before the clock: where the clock advances in between, the timer is early, and set again.
        var since = Time.GetTimestamp();
        var time = ReadTime();
        var left = _term?.WakeIn(time) ?? long.MaxValue;
        if (left != long.MaxValue && _clock.IsHolding)
            left = Math.Min(left, ClockCheckMs);
        SetTimer(left == long.MaxValue ? long.MaxValue : time.Elapsed + Math.Max(left, 0), time.Elapsed, since);
    }
}
