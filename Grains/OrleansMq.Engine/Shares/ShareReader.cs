using OrleansMq.Api;
using OrleansMq.Groups.Share;
using OrleansMq.Partitions;
using OrleansMq.Partitions.Cursors;
using OrleansMq.Queues;
using OrleansMq.Records;

namespace OrleansMq.Shares;

/// <summary>
/// A member of a share group at a partition's leader: it acquires records, and says what became of them. One acquisition at a time, and one
/// acknowledgement at a time. It ends with the leadership; open another then.
/// </summary>
internal sealed class ShareReader
{
    // A member's turn: as many records as clients ask for by default, so that their ranges are few.
    private const int RecordsPerTurn = 500;

    /// <summary>How long an answer that needs replicas is waited for. A client waits 30 seconds for a request, which may acknowledge, open
    /// readers and fetch.</summary>
    internal static readonly TimeSpan AnswerTimeout = TimeSpan.FromSeconds(10);

    // The answer about records that are settled already.
    private static readonly Task<Answer> AllSettled = Task.FromResult(new Answer(CursorRequest.NoAnswer, CursorOutcome.Done));

    private readonly Partition _partition;
    private readonly CursorAttachment _attachment;
    private readonly ShareLocks _locks;
    private readonly RecordWeight _weight = new();
    private readonly Lock _gate = new();

    private readonly string _groupId;
    private volatile ShareGroupConfig _config;
    private long _heldAt;

    private ShareReader(Partition partition, string groupId, CursorAttachment attachment, ShareGroupConfig config) =>
        (_partition, _groupId, _attachment, _config, _locks) = (partition, groupId, attachment, config,
            new ShareLocks(MostLocks(config)));

    /// <summary>How long a record is held.</summary>
    public TimeSpan LockDuration => _config.LockDuration;

    /// <summary>Whether it reads by a configuration.</summary>
    public bool IsConfigured(ShareGroupConfig config) => _config == config;

    /// <summary>Whether the member may hold records.</summary>
    public bool MayHold
    {
        get
        {
            lock (_gate)
                return _locks.Count > 0 && _partition.Cursors.Time.GetElapsedTime(_heldAt) <= LockDuration;
        }
    }

    /// <summary>The name of a share group's cursor.</summary>
    internal static string CursorOf(string groupId) => QueueConfigurations.CursorOfShare(groupId);

    /// <summary>Opens a reader. The cursor begins, or begins anew, if it is not of the incarnation that the group's document
    /// names.</summary>
    /// <param name="partition">The partition.</param>
    /// <param name="groupId">The group.</param>
    /// <param name="cursors">What the group's coordinator says of the topic.</param>
    /// <param name="config">The group's configuration.</param>
    /// <exception cref="BrokerException"><see cref="ErrorCode.NotLeaderOrFollower"/>; <see cref="ErrorCode.LeaderNotAvailable"/>: the
    /// cursor does not serve, the coordinator does not know where it begins, or its replicas did not answer within
    /// <see cref="AnswerTimeout"/>: retry.
    /// <see cref="ErrorCode.PolicyViolation"/>: the partition has as many queues and share groups as the broker allows.
    /// <see cref="ErrorCode.InvalidRequest"/>: the dead-letter topic does not serve. No record is delivered that could not go
    /// there.</exception>
    internal static async Task<ShareReader> OpenAsync(Partition partition, string groupId, ShareTopicCursors cursors,
        ShareGroupConfig config)
    {
        var reset = cursors.FindReset(partition.TopicPartition.Partition);
        var incarnation = reset?.Incarnation ?? cursors.Incarnation;
        var (isLed, facts) = await partition.Cursors.DescribeAsync(CursorOf(groupId)).ConfigureAwait(false);
        if (!isLed)
            throw Refusal(partition, CursorOutcome.NotLeader);
        // What the coordinator said was overtaken by a reset or a deletion of the group.
        if (facts is not null && facts.Incarnation.CompareTo(incarnation) > 0)
            throw Refusal(partition, CursorOutcome.NotReady);
        // No member is given the partition before the coordinator knows where the group begins: this one would begin it elsewhere.
        if (facts?.Incarnation != incarnation && cursors.IsUnstarted(partition.TopicPartition.Partition))
            throw Refusal(partition, CursorOutcome.NotReady);
        var configuration = await ConfigurationOf(partition, groupId, config, facts?.Configuration).ConfigureAwait(false);
        if (facts is null)
            await DemandRoomAsync(partition).ConfigureAwait(false);
        if (facts is null || facts.Incarnation != incarnation)
            await DoAsync(partition, partition.Cursors.BeginAsync(incarnation, configuration, StartOf(partition, reset),
                facts?.Incarnation ?? Guid.Empty)).ConfigureAwait(false);
        else if (facts.Configuration != configuration)
            await DoAsync(partition, partition.Cursors.ConfigureAsync(configuration)).ConfigureAwait(false);
        return new ShareReader(partition, groupId, await partition.Cursors.AttachAsync(configuration.Name,
            new AttachOptions { LockDuration = config.LockDuration, ReadsUncommitted = !config.IsReadCommitted })
            .ConfigureAwait(false), config);
    }

    /// <summary>Takes over a configuration that was changed. Locks that have begun end when they would have.</summary>
    /// <inheritdoc cref="OpenAsync" path="/exception"/>
    public async Task ConfigureAsync(ShareGroupConfig config)
    {
        var (isLed, facts) = await _partition.Cursors.DescribeAsync(CursorOf(_groupId)).ConfigureAwait(false);
        if (!isLed || facts is null)
            throw Refusal(_partition, CursorOutcome.NotLeader);
        var configuration = await ConfigurationOf(_partition, _groupId, config, facts.Configuration).ConfigureAwait(false);
        if (facts.Configuration != configuration)
            await DoAsync(_partition, _partition.Cursors.ConfigureAsync(configuration)).ConfigureAwait(false);
        _attachment.SetLockDuration(config.LockDuration);
        _attachment.SetReadsUncommitted(!config.IsReadCommitted);
        lock (_gate)
            _locks.Most = Math.Max(_locks.Most, MostLocks(config));
        _config = config;
    }

    private static int MostLocks(ShareGroupConfig config) => Math.Max(ShareLocks.Least, 2 * config.MaxLocks);

    private static async Task<CursorConfiguration> ConfigurationOf(Partition partition, string groupId, ShareGroupConfig config,
        CursorConfiguration? before) => new()
        {
            Name = CursorOf(groupId),
            MaxDeliveries = config.DeliveryLimit,
            LimitedCount = LimitedCount.Deliveries,
            RecordsPerTurn = RecordsPerTurn,
            MaxExceptions = config.MaxLocks,
            DeadLetterTarget = await TargetAsync(partition, before, config.DeadLetterTopic).ConfigureAwait(false),
            DeadLetterTopic = config.DeadLetterTopic,
        };

    /// <summary>Returns how many records probably fit into bytes, at least one.</summary>
    public int Fitting(int bytes, int most) => _weight.Fitting(bytes, most);

    /// <summary>Asks for records. They are held from when they are there, until the lock ends or they are acknowledged.</summary>
    public ShareAcquisition Acquire(int maxRecords) => new(_attachment.Acquire(maxRecords));

    /// <summary>Ends the wait of an acquisition, and reads what was acquired.</summary>
    /// <param name="acquisition">The acquisition.</param>
    /// <param name="maxBytes">The bytes at which no further batch is read: the records behind it are released, and do not count as
    /// delivered.</param>
    /// <param name="isStrict">Whether no more records are acquired than were asked for. Otherwise those that follow in the last batch are,
    /// too, so that the next acquisition does not read it again.</param>
    /// <exception cref="BrokerException">The reader has ended, or the records cannot be read; then they are released.</exception>
    public async Task<ShareRecords> FinishAsync(ShareAcquisition acquisition, int maxBytes, bool isStrict = false)
    {
        ArgumentNullException.ThrowIfNull(acquisition);
        acquisition.Cursor.GiveUp();
        if (await acquisition.Cursor.Completion.ConfigureAwait(false) is not { } delivery)
            return ShareRecords.None;
        var wanted = delivery.Records.OrderBy(static record => record.Offset).ToArray();
        var (batches, naturals, read, through) = (new List<FetchResult>(), new List<OffsetRange>(), 0, -1L);
        try
        {
            (read, through) = AcquiredBatches.Read(_partition, wanted, maxBytes, _config.IsReadCommitted, _weight, batches,
                naturals);
        }
        catch (Exception fault) when (fault is RecordBatchException || StorageFaults.IsStorageFault(fault))
        {
            foreach (var batch in batches)
                batch.Dispose();
            // A record that cannot be read reaches its limit.
            Release(wanted, delivery.Lock, isFailure: fault is RecordBatchException);
            if (StorageFaults.IsStorageFault(fault))
                _partition.NoteUnreadable(fault);
            throw new BrokerException(fault is RecordBatchException ? ErrorCode.CorruptMessage : ErrorCode.KafkaStorageError, fault.Message,
                fault);
        }
        Release(wanted[read..], delivery.Lock);
        if (naturals.Count > 0)
            _attachment.Name(naturals);
        var missing = naturals.Select(static one => one.First).ToHashSet();
        var found = wanted[..read].Where(record => !missing.Contains(record.Offset)).ToList();
        // One that came back may be near its limit, and is handed out with few others then.
        var isWidened = !isStrict && read == wanted.Length && found.TrueForAll(static record => record.Counts.Deliveries == 1);
        var taken = await _attachment.TakeAsync(delivery.Lock, found.Select(static record => record.Offset), isWidened ? through : -1)
            .ConfigureAwait(false);
        // What was taken along is delivered for the first time.
        for (var offset = found.Count > 0 ? found[^1].Offset + 1 : long.MaxValue; offset <= taken.Max; offset++)
            found.Add(new DeliveredRecord(offset, new DeliveryCounts(1, 0), IsRedelivered: false));
        if (taken.IsEmpty || !_attachment.HoldsLease)
        {
            // A successor may have handed them out.
            foreach (var batch in batches)
                batch.Dispose();
            Release(found, delivery.Lock);
            return ShareRecords.None;
        }
        var acquired = Join([.. found.Where(record => taken.Contains(record.Offset))]);
        lock (_gate)
        {
            _heldAt = _partition.Cursors.Time.GetTimestamp();
            foreach (var run in acquired)
                _locks.Add(new OffsetRange(run.First, run.Last), delivery.Lock);
        }
        return new ShareRecords(batches, acquired);
    }

    /// <summary>Says what became of records. All of it is taken, or refused. Records below the floor are settled already.</summary>
    /// <param name="acknowledgements">Ranges, ascending. They are enumerated up to the first that is refused.</param>
    /// <returns><see cref="ErrorCode.None"/> when all of it is in force; <see cref="ErrorCode.InvalidRecordState"/>: the member does not
    /// hold all of the records; <see cref="ErrorCode.InvalidRequest"/>: a range begins before the end of the one before, or the group may
    /// not renew locks; <see cref="ErrorCode.RequestTimedOut"/>: the outcome is unknown.</returns>
    public async Task<ErrorCode> AcknowledgeAsync(IEnumerable<ShareAcknowledgement> acknowledgements)
    {
        ArgumentNullException.ThrowIfNull(acknowledgements);
        var said = new List<(OffsetRange Records, SentAcknowledgement Sent)>();
        var error = Take(acknowledgements, floor: 0, said);
        // Rarely: records are settled without the member when the log's start passes them, or when an operator moves the cursor.
        if (error == ErrorCode.InvalidRecordState && await _partition.Cursors.DescribeAsync(CursorOf(_groupId)).ConfigureAwait(false)
            is (_, { } facts))
            error = Take(acknowledgements, facts.Floor, said);
        if (error != ErrorCode.None)
            return error;
        Answer[] answers;
        try
        {
            answers = await Task.WhenAll(said.Select(static one => one.Sent.Answer)).WaitAsync(AnswerTimeout, _partition.Cursors.Time)
                .ConfigureAwait(false);
        }
        catch (TimeoutException)
        {
            // The replicas may answer later: then it is in force, as a repetition will be told.
            return ErrorCode.RequestTimedOut;
        }
        lock (_gate)
        {
            foreach (var ((records, sent), answer) in said.Zip(answers))
            {
                if (answer.Outcome == CursorOutcome.Done || IsRefused(answer))
                    _locks.End(records, sent, isDone: answer.Outcome == CursorOutcome.Done);
                error = error == ErrorCode.None ? ErrorOf(answer.Outcome) : error;
            }
        }
        return error;
    }

    // Nothing was changed.
    private static bool IsRefused(Answer answer) => answer.Outcome is CursorOutcome.InvalidLock or CursorOutcome.NotReady;

    private ErrorCode Take(IEnumerable<ShareAcknowledgement> acknowledgements, long floor,
        List<(OffsetRange Records, SentAcknowledgement Sent)> said)
    {
        // Bounded by the locks, since ranges are ascending.
        var parts = new List<(LockedRecords Held, ShareAcknowledgeType Type)>();
        lock (_gate)
        {
            var next = 0L;
            foreach (var (first, last, type) in acknowledgements)
            {
                if (first < next || last < first || (type == ShareAcknowledgeType.Renew && !_config.MayRenew))
                    return ErrorCode.InvalidRequest;
                next = last + 1;
                if (last < floor)
                    continue;
                var records = new OffsetRange(Math.Max(first, floor), last);
                if (_locks.Find(records) is not { } held)
                    return ErrorCode.InvalidRecordState;
                foreach (var part in held.Select(Unrefused))
                {
                    // A repetition joins what was sent.
                    if (part.Sent is { } sent && sent.Type != type)
                        return ErrorCode.InvalidRecordState;
                    parts.Add((part, type));
                }
            }
            var isNew = parts.Exists(static part => part.Held.Sent is null);
            var answer = isNew ? _attachment.AcknowledgeAsync([.. parts.Where(static part => part.Held.Sent is null).Select(RequestOf)])
                : AllSettled;
            foreach (var (held, type) in parts)
            {
                var sent = held.Sent ?? new SentAcknowledgement(type, answer);
                said.Add((held.Records, sent));
                if (type == ShareAcknowledgeType.Renew)
                    _heldAt = _partition.Cursors.Time.GetTimestamp();
                else if (held.Sent is null)
                    _locks.Send(held, sent);
            }
        }
        return ErrorCode.None;
    }

    // Its member gave up the wait before the refusal.
    private static LockedRecords Unrefused(LockedRecords records) =>
        records.Sent is { Answer: { IsCompletedSuccessfully: true, Result: var answer } } && IsRefused(answer)
            ? records with { Sent = null } : records;

    /// <summary>Ends the reader. What it holds is delivered to others.</summary>
    public void Close() => _attachment.Detach(isFailure: false);

    private LockRequest RequestOf((LockedRecords Held, ShareAcknowledgeType Type) part)
    {
        var ((records, token, _), type) = part;
        LockRequest request = type switch
        {
            ShareAcknowledgeType.Release => new Release(CursorRequest.NoAnswer, token, records, IsFailure: false),
            ShareAcknowledgeType.Reject => new Reject(CursorRequest.NoAnswer, token, records),
            ShareAcknowledgeType.Renew => new Renew(CursorRequest.NoAnswer, token, records),
            _ => new Settle(CursorRequest.NoAnswer, token, records),
        };
        return request with { Attachment = _attachment.Number };
    }

    private void Release(IReadOnlyList<DeliveredRecord> records, LockToken token, bool isFailure = false)
    {
        foreach (var run in Join(records))
            _ = _attachment.ReleaseAsync(token, new OffsetRange(run.First, run.Last), isFailure);
    }

    private static List<AcquiredRecords> Join(IReadOnlyList<DeliveredRecord> records)
    {
        var runs = new List<AcquiredRecords>();
        foreach (var record in records)
        {
            if (runs.Count > 0 && runs[^1] is var last && last.Last + 1 == record.Offset && last.Deliveries == record.Counts.Deliveries)
                runs[^1] = last with { Last = record.Offset };
            else
                runs.Add(new AcquiredRecords(record.Offset, record.Offset, record.Counts.Deliveries));
        }
        return runs;
    }

    // Where records were lost, those that come in their place are new. A partition that was added is read from its first record on: its
    // records came while the group read the topic.
    private static long StartOf(Partition partition, ShareCursorReset? reset) => reset is null
        ? partition.LogStartOffset : Math.Min(reset.StartOffset, partition.LogEndOffset);

    // Also where the topic's name stays: it may have been deleted, or be another topic by now. While that cannot be told, the target stays.
    private static async Task<DeadLetterTarget?> TargetAsync(Partition partition, CursorConfiguration? before, string? topic)
    {
        if (topic is null)
            return null;
        var current = before?.DeadLetterTopic == topic ? before.DeadLetterTarget : null;
        using var patience = new CancellationTokenSource(AnswerTimeout, partition.Cursors.Time);
        try
        {
            return await partition.Cursors.DeadLetters.FindTargetAsync(partition.TopicPartition, topic, current, patience.Token)
                .ConfigureAwait(false);
        }
        catch (BrokerException refusal) when (current is not null && refusal.Code != ErrorCode.InvalidRequest)
        {
            return current;
        }
        catch (OperationCanceledException)
        {
            if (current is not null)
                return current;
            throw Refusal(partition, CursorOutcome.NotReady);
        }
    }

    private static async Task DemandRoomAsync(Partition partition)
    {
        var most = partition.Ports.MaxQueuesPerPartition;
        var known = await partition.Cursors.AskAsync(static term => term.Cursors.Count(QueueConfigurations.IsBounded))
            .ConfigureAwait(false);
        if (known >= most)
            throw new BrokerException(ErrorCode.PolicyViolation, $"{partition.TopicPartition} has {most} queues and share groups, as many "
                + "as its broker allows. Delete one, or raise maxQueuesPerPartition.");
    }

    private static async Task DoAsync(Partition partition, Task<Answer> sent)
    {
        CursorOutcome outcome;
        try
        {
            outcome = (await sent.WaitAsync(AnswerTimeout, partition.Cursors.Time).ConfigureAwait(false)).Outcome;
        }
        catch (TimeoutException)
        {
            // A retry joins what is still under way.
            outcome = CursorOutcome.NotReady;
        }
        if (outcome != CursorOutcome.Done)
            throw Refusal(partition, outcome);
    }

    private static BrokerException Refusal(Partition partition, CursorOutcome outcome) => outcome == CursorOutcome.NotLeader
        ? new BrokerException(ErrorCode.NotLeaderOrFollower, $"{partition.TopicPartition} is not led here. Find its leader, and retry.")
        : new BrokerException(ErrorCode.LeaderNotAvailable,
            $"The leader of {partition.TopicPartition} does not serve the group yet. Retry.");

    private static ErrorCode ErrorOf(CursorOutcome outcome) => outcome switch
    {
        CursorOutcome.Done => ErrorCode.None,
        CursorOutcome.InvalidLock => ErrorCode.InvalidRecordState,
        CursorOutcome.Unknown => ErrorCode.RequestTimedOut,
        CursorOutcome.NotReady => ErrorCode.LeaderNotAvailable,
        _ => ErrorCode.NotLeaderOrFollower,
    };
}
