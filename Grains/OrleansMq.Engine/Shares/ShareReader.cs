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
public sealed class ShareReader
{
    // A member's turn: as many records as clients ask for by default, so that their ranges are few.
    private const int RecordsPerTurn = 500;

    private readonly Partition _partition;
    private readonly CursorAttachment _attachment;
    private readonly ShareLocks _locks = new();
    private readonly Lock _gate = new();

    private ShareReader(Partition partition, CursorAttachment attachment, TimeSpan lockDuration) =>
        (_partition, _attachment, LockDuration) = (partition, attachment, lockDuration);

    /// <summary>How long a record is held.</summary>
    public TimeSpan LockDuration { get; }

    /// <summary>The name of a share group's cursor.</summary>
    internal static string CursorOf(string groupId) => $"share/{groupId}";

    /// <summary>Opens a reader. The cursor begins, or begins anew, if it is not of the incarnation that the group's document
    /// names.</summary>
    /// <param name="partition">The partition.</param>
    /// <param name="groupId">The group.</param>
    /// <param name="cursors">What the group's coordinator says of the topic.</param>
    /// <param name="config">The group's configuration.</param>
    /// <exception cref="BrokerException"><see cref="ErrorCode.NotLeaderOrFollower"/>; <see cref="ErrorCode.LeaderNotAvailable"/>: retry.
    /// </exception>
    internal static async Task<ShareReader> OpenAsync(Partition partition, string groupId, ShareTopicCursors cursors,
        ShareGroupConfig config)
    {
        var reset = cursors.FindReset(partition.TopicPartition.Partition);
        var incarnation = reset?.Incarnation ?? cursors.Incarnation;
        var configuration = new CursorConfiguration
        {
            Name = CursorOf(groupId),
            MaxDeliveries = config.DeliveryLimit,
            LimitedCount = LimitedCount.Deliveries,
            RecordsPerTurn = RecordsPerTurn,
            MaxExceptions = config.MaxLocks,
        };
        var (isLed, facts) = await partition.Cursors.DescribeAsync(configuration.Name).ConfigureAwait(false);
        if (!isLed)
            throw Refusal(partition, CursorOutcome.NotLeader);
        // What the coordinator said was overtaken by a reset or a deletion of the group.
        if (facts is not null && facts.Incarnation.CompareTo(incarnation) > 0)
            throw Refusal(partition, CursorOutcome.NotReady);
        if (facts is null || facts.Incarnation != incarnation)
            Check(partition, await partition.Cursors.BeginAsync(incarnation, configuration, StartOf(partition, cursors, reset, config),
                facts?.Incarnation ?? Guid.Empty).ConfigureAwait(false));
        else if (facts.Configuration != configuration)
            Check(partition, await partition.Cursors.ConfigureAsync(configuration).ConfigureAwait(false));
        return new ShareReader(partition, await partition.Cursors.AttachAsync(configuration.Name,
            new AttachOptions { LockDuration = config.LockDuration }).ConfigureAwait(false), config.LockDuration);
    }

    /// <summary>Asks for records. They are held from when they are there, until the lock ends or they are acknowledged.</summary>
    public ShareAcquisition Acquire(int maxRecords) => new(_attachment.Acquire(maxRecords));

    /// <summary>Ends the wait of an acquisition, and reads what was acquired.</summary>
    /// <param name="acquisition">The acquisition.</param>
    /// <param name="maxBytes">The bytes at which no further batch is read: the records behind it are released, and do not count as
    /// delivered.</param>
    /// <exception cref="BrokerException">The reader has ended, or the records cannot be read; then they are released.</exception>
    public async Task<ShareRecords> FinishAsync(ShareAcquisition acquisition, int maxBytes)
    {
        ArgumentNullException.ThrowIfNull(acquisition);
        acquisition.Cursor.GiveUp();
        if (await acquisition.Cursor.Completion.ConfigureAwait(false) is not { } delivery)
            return ShareRecords.None;
        var wanted = delivery.Records.OrderBy(static record => record.Offset).ToArray();
        var (batches, naturals, read) = (new List<FetchResult>(), new List<OffsetRange>(), 0);
        try
        {
            read = AcquiredBatches.Read(_partition, wanted, maxBytes, batches, naturals);
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
        var taken = await _attachment.TakeAsync(delivery.Lock, found.Select(static record => record.Offset)).ConfigureAwait(false);
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
            foreach (var run in acquired)
                _locks.Add(new OffsetRange(run.First, run.Last), delivery.Lock);
        }
        return new ShareRecords(batches, acquired);
    }

    /// <summary>Says what became of records. Each range is taken as a whole, or refused.</summary>
    /// <returns><see cref="ErrorCode.None"/> when all of it is in force; <see cref="ErrorCode.InvalidRecordState"/>: the member does not
    /// hold all records of a range; <see cref="ErrorCode.RequestTimedOut"/>: the outcome is unknown.</returns>
    public async Task<ErrorCode> AcknowledgeAsync(IReadOnlyList<ShareAcknowledgement> acknowledgements)
    {
        ArgumentNullException.ThrowIfNull(acknowledgements);
        var answers = new List<Task<Answer>>();
        var error = ErrorCode.None;
        lock (_gate)
        {
            foreach (var (first, last, type) in acknowledgements)
            {
                var records = new OffsetRange(first, last);
                if (first < 0 || last < first || _locks.Find(records) is not { } parts)
                {
                    error = ErrorCode.InvalidRecordState;
                    continue;
                }
                foreach (var (part, token) in parts)
                    answers.Add(Send(part, token, type));
                if (type != ShareAcknowledgeType.Renew)
                    _locks.Remove(records);
            }
        }
        foreach (var answer in await Task.WhenAll(answers).ConfigureAwait(false))
        {
            if (error == ErrorCode.None)
                error = ErrorOf(answer.Outcome);
        }
        return error;
    }

    /// <summary>Ends the reader. What it holds is delivered to others.</summary>
    public void Close() => _attachment.Detach(isFailure: false);

    private Task<Answer> Send(OffsetRange records, LockToken token, ShareAcknowledgeType type) => type switch
    {
        ShareAcknowledgeType.Release => _attachment.ReleaseAsync(token, records, isFailure: false),
        ShareAcknowledgeType.Reject => _attachment.RejectAsync(token, records),
        ShareAcknowledgeType.Renew => _attachment.RenewAsync(token, records),
        _ => _attachment.SettleAsync(token, records),
    };

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

    private static long StartOf(Partition partition, ShareTopicCursors cursors, ShareCursorReset? reset, ShareGroupConfig config)
    {
        if (reset is not null)
            return reset.StartOffset;
        // A partition that was added is read from its first record on: its records came while the group read the topic.
        if (partition.TopicPartition.Partition >= cursors.Partitions || config.Start == ShareStart.Earliest)
            return partition.LogStartOffset;
        if (config.Start != ShareStart.ByDuration)
            return CursorState.Latest;
        var time = partition.Ports.Log.Now - (long)config.StartAge.TotalMilliseconds;
        var found = partition.FindOffset(new OffsetSpec(Math.Max(time, 0)));
        return found is { Error: ErrorCode.None, Offset: >= 0 } ? found.Offset : CursorState.Latest;
    }

    private static void Check(Partition partition, Answer answer)
    {
        if (answer.Outcome != CursorOutcome.Done)
            throw Refusal(partition, answer.Outcome);
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
