using OrleansMq.Queues;
using OrleansMq.Records;

namespace OrleansMq.Partitions.Cursors;

/// <summary>How a consumer attaches.</summary>
internal sealed record AttachOptions
{
    /// <summary>Consumers with a higher one receive first.</summary>
    public int Priority { get; init; }
    /// <summary>The most records that the consumer holds; 0: it holds what it asks for with each receive.</summary>
    public int Prefetch { get; init; }
    /// <summary>How long it holds a record; zero: until it detaches.</summary>
    public TimeSpan LockDuration { get; init; }
    /// <summary>The most records of one key that come at once.</summary>
    public int KeyRun { get; init; } = 1;
    /// <summary>Whether the cursor's records are handed out while their transaction is open.</summary>
    public bool ReadsUncommitted { get; init; }
}

/// <summary>A consumer of a cursor, attached at the partition's leader. It ends with the leadership or the cursor: attach again then.
/// Thread safe.</summary>
/// <remarks>The state is changed in turns of <see cref="PartitionCursors"/> only.</remarks>
internal sealed partial class CursorAttachment
{
    /// <summary>The most bytes of the records that one receive hands out, or one record. Those beyond it stay with their lock until the
    /// next.</summary>
    public const int MostBytes = 16 << 20;

    // A broker may get the codec, and a damaged batch need not be read all the time.
    private const long UnreadableDelayMs = 10_000;
    // How long a receive that is over waits for what the cursor reads or writes before it hands out what is there.
    private static readonly TimeSpan LongestPreparation = TimeSpan.FromSeconds(1);

    private readonly PartitionCursors _owner;
    private readonly HostedCursor _cursor;
    private readonly Queue<Deliver> _deliveries = new();
    private readonly bool _isPull;
    private readonly bool _hasRuns;
    // What the receive before had no room for; it comes first.
    private Deliver? _rest;
    private Waiting? _waiting;
    // What a widened delivery takes along, while it is widened.
    private OffsetSet? _widened;
    // What came of deliveries that are joined, while they are.
    private List<Deliver>? _joined;
    private CursorOutcome _ended;

    /// <summary>Attaches. In a turn.</summary>
    public CursorAttachment(PartitionCursors owner, HostedCursor cursor, long number, AttachOptions options)
    {
        (_owner, _cursor, Number, _isPull, _hasRuns) = (owner, cursor, number, options.Prefetch == 0, options.KeyRun > 1);
        cursor.Attachments.Add(number, this);
        cursor.SetReadsUncommitted(options.ReadsUncommitted);
        cursor.Handle(new Attach(number, options.Priority, IsWindow: !_isPull, (long)options.LockDuration.TotalMilliseconds,
            IsBuffered: true)
        {
            KeyRun = options.KeyRun,
            KeyRunReserve = options.Prefetch / 2,
        });
        if (!_isPull)
            cursor.Handle(new GrantCredit(number, options.Prefetch));
    }

    /// <summary>Its number in the leadership.</summary>
    public long Number { get; }

    /// <summary>Whether the last receive ended with nothing though there may be records: the leader could not hand out at that moment, or
    /// did not read in time.</summary>
    public bool WasBlind { get; private set; }

    /// <summary>Receives records that one lock holds. One call at a time.</summary>
    /// <param name="maxRecords">The most records, if it has no prefetch.</param>
    /// <param name="maxWait">How long to wait for the first record.</param>
    /// <param name="cancellationToken">Ends the wait; a record that arrives then is released.</param>
    /// <returns>Null when the time is over.</returns>
    /// <exception cref="BrokerException"><see cref="ErrorCode.NotLeaderOrFollower"/>: it has ended; attach again.
    /// <see cref="ErrorCode.CorruptMessage"/>, <see cref="ErrorCode.UnsupportedCompressionType"/>: the next records cannot be read here.
    /// They come back after 10 seconds, a damaged batch's as failed. Those around them are received, unless the cursor is ordered by key
    /// and could not read their keys: then they come one by one, and later ones wait. A batch that no broker can read is passed over.
    /// <see cref="ErrorCode.KafkaStorageError"/>: the disk failed; all come back, and none failed.</exception>
    public async Task<ReceivedRecords?> ReceiveAsync(int maxRecords, TimeSpan maxWait, CancellationToken cancellationToken = default)
    {
        var started = _owner.Time.GetTimestamp();
        WasBlind = false;
        while (true)
        {
            var left = maxWait - _owner.Time.GetElapsedTime(started);
            if (await NextAsync(maxRecords, left, cancellationToken).ConfigureAwait(false) is not { } delivery)
                return null;
            var naturals = new List<OffsetRange>();
            var received = ReadOrRelease(delivery, naturals);
            if (naturals.Count > 0)
                _owner.Post(() => _cursor.HandleNaturals(naturals));
            // Later records of a key are not received without those before them.
            if (received.Rest is { } later && _hasRuns && received.Unreadable is not null)
                _ = _cursor.ReleaseAllAsync(_owner, later, isFailure: false);
            else if (received.Rest is { } rest)
                _owner.Post(() => PutBack(rest));
            if (received.Unreadable is { } unreadable)
                _owner.Post(() => ReturnUnreadable(unreadable, isFailure: received.Fault is RecordBatchException));
            if (received.Records.Count > 0)
            {
                var offsets = received.Records.Select(static one => one.Record.Offset);
                received.Keep(await TakeAsync(delivery.Lock, offsets).ConfigureAwait(false));
                if (received.Records.Count > 0 && HoldsLease)
                    return received;
                // Without the lease a successor may have handed them out.
                _ = _cursor.ReleaseAllAsync(_owner, delivery, isFailure: false);
            }
            received.Dispose();
            if (received is { Fault: { } fault, Records.Count: 0, Rest: null })
                throw Unreadable(fault);
            if (received is not { Fault: null, Records.Count: 0, Rest: not null })
                continue;
            // Another batch is decompressed at the moment, or one was passed over. There may be many of them.
            if (_owner.Time.GetElapsedTime(started) >= maxWait)
            {
                WasBlind = true;
                return null;
            }
            if (received.PassedOver is not null)
                continue;
            await Task.Delay(PartitionCursors.RetryInterval, _owner.Time, cancellationToken).ConfigureAwait(false);
        }
    }

    /// <summary>Settles records; answered when that is in force.</summary>
    public Task<Answer> SettleAsync(LockToken token, OffsetRange records) =>
        _owner.SendAsync(_cursor, id => new Settle(id, token, records) { Attachment = Number });

    /// <summary>Gives records back; answered when that is in force.</summary>
    public Task<Answer> ReleaseAsync(LockToken token, OffsetRange records, bool isFailure, TimeSpan? delay = null, string? reason = null,
        bool isUncounted = false) =>
        _owner.SendAsync(_cursor, id => new Release(id, token, records, isFailure, (long?)delay?.TotalMilliseconds)
        {
            Attachment = Number,
            Reason = DeadLetterReason.Cut(reason),
            IsUncounted = isUncounted,
        });

    /// <summary>Rejects records for ever: they are dead-lettered, or dropped; answered when that is decided in force.</summary>
    /// <param name="token">The lock.</param>
    /// <param name="records">The records.</param>
    /// <param name="reason">Why, for their dead letters; null: not said.</param>
    public Task<Answer> RejectAsync(LockToken token, OffsetRange records, string? reason = null) =>
        _owner.SendAsync(_cursor, id => new Reject(id, token, records) { Attachment = Number, Reason = DeadLetterReason.Cut(reason) });

    /// <summary>Begins a lock anew.</summary>
    public Task<Answer> RenewAsync(LockToken token, OffsetRange records) =>
        _owner.SendAsync(_cursor, id => new Renew(id, token, records) { Attachment = Number });

    /// <summary>Says what becomes of records of several locks: of all, or of none. Answered when it is in force.</summary>
    /// <param name="parts">The records of each lock, by ascending offsets.</param>
    public Task<Answer> AcknowledgeAsync(IReadOnlyList<LockRequest> parts) => _owner.SendAsync(_cursor, id => new Acknowledge(id, parts));

    /// <summary>Holds what is taken or renewed from now on for another time.</summary>
    public void SetLockDuration(TimeSpan duration) =>
        _owner.Post(() => _cursor.Handle(new SetLockDuration(Number, (long)duration.TotalMilliseconds)));

    /// <summary>Changes whether the cursor's records are handed out while their transaction is open, for all of its consumers.</summary>
    public void SetReadsUncommitted(bool readsUncommitted) => _owner.Post(() =>
    {
        if (_ended == CursorOutcome.Unknown)
            _cursor.SetReadsUncommitted(readsUncommitted);
    });

    /// <summary>Receives nothing more: see <see cref="Yield"/>. Completes when the next consumer's turn has begun;
    /// false: it has ended.</summary>
    public Task<bool> YieldAsync()
    {
        var yielded = new TaskCompletionSource<bool>(TaskCreationOptions.RunContinuationsAsynchronously);
        _owner.Post(() =>
        {
            if (_ended == CursorOutcome.Unknown)
                _cursor.Handle(new Yield(Number));
            yielded.TrySetResult(_ended == CursorOutcome.Unknown);
        });
        return yielded.Task;
    }

    /// <summary>Ends the attachment; what it holds is returned. Answered when that is in force.</summary>
    /// <param name="isFailure">Whether that counts as a failure of each record.</param>
    public Task<Answer> DetachAsync(bool isFailure)
    {
        var returned = new TaskCompletionSource<Answer>(TaskCreationOptions.RunContinuationsAsynchronously);
        _owner.Post(() =>
        {
            if (_ended != CursorOutcome.Unknown)
            {
                returned.TrySetResult(new Answer(CursorRequest.NoAnswer, _ended));
                return;
            }
            _cursor.Attachments.Remove(Number);
            _cursor.Term.Send(_cursor, id => new Detach(Number, isFailure, id), returned);
            End(CursorOutcome.NoCursor);
        });
        return returned.Task;
    }

    /// <summary>Ends the attachment soon.</summary>
    public void Detach(bool isFailure) => _ = DetachAsync(isFailure);

    /// <summary>Whether no other broker can have handed out what this one does. On any thread.</summary>
    public bool HoldsLease => ReferenceEquals(_owner.Partition.Replication.Leadership, _cursor.Term.Leadership)
        && _owner.Partition.Replication.LeaseLeftMs > 0;

    /// <summary>Takes a delivery. In a turn.</summary>
    public void Enqueue(Deliver delivery)
    {
        if (_joined is { } joined)
        {
            joined.Add(delivery);
            return;
        }
        if (_widened is { } widened)
        {
            foreach (var record in delivery.Records)
                widened.Add(record.Offset);
            return;
        }
        // Those whose locks have ended, so that a consumer that does not receive holds no more than its prefetch.
        while (_deliveries.TryPeek(out var first) && !first.Records.Exists(record => _cursor.Cursor.Holds(first.Lock, record.Offset)))
            _deliveries.Dequeue();
        _deliveries.Enqueue(delivery);
        Complete();
    }

    /// <summary>Hands the next delivery to the receive that waits: what of it the lock still holds, while the lease lasts. In a
    /// turn.</summary>
    public void Complete()
    {
        while (_waiting is { } waiting && _cursor.Term.HasLease && Dequeue() is { } delivery)
        {
            delivery.Records.RemoveAll(record => !_cursor.Cursor.Holds(delivery.Lock, record.Offset));
            if (delivery.Records.Count == 0)
                continue;
            _waiting = null;
            if (_isPull && delivery.Records.Count > waiting.MaxRecords)
            {
                _rest = delivery with { Records = delivery.Records[waiting.MaxRecords..] };
                delivery = delivery with { Records = delivery.Records[..waiting.MaxRecords] };
            }
            // Nothing is held that the consumer did not ask for.
            if (_isPull)
                SetCredit(0);
            waiting.Delivery.TrySetResult(delivery);
        }
    }

    // What waits for a consumer with a prefetch is one delivery, however many turns handed it out.
    private Deliver? Dequeue()
    {
        if (_rest is { } rest)
        {
            _rest = null;
            return rest;
        }
        if (_isPull || _deliveries.Count < 2)
            return _deliveries.TryDequeue(out var only) ? only : null;
        List<Deliver> waiting = [.. _deliveries];
        _deliveries.Clear();
        _joined = [];
        _cursor.Handle(new Join(Number, waiting));
        var joined = _joined.SingleOrDefault();
        _joined = null;
        // Records of different keys have no order, and those of one stay in theirs: the log is read once.
        if (_hasRuns)
            joined?.Records.Sort(static (one, other) => one.Offset.CompareTo(other.Offset));
        return joined;
    }

    /// <summary>Ends it: the cursor does not know it any more. In a turn.</summary>
    public void End(CursorOutcome outcome)
    {
        _ended = outcome;
        _deliveries.Clear();
        _rest = null;
        _waiting?.Delivery.TrySetException(Ended());
        _waiting = null;
    }

    private async Task<Deliver?> NextAsync(int maxRecords, TimeSpan maxWait, CancellationToken cancellationToken)
    {
        var waiting = new Waiting(maxRecords);
        _owner.Post(() => Begin(waiting));
        try
        {
            return await waiting.Delivery.Task.WaitAsync(maxWait > TimeSpan.Zero ? maxWait : TimeSpan.Zero, _owner.Time, cancellationToken)
                .ConfigureAwait(false);
        }
        catch (Exception over) when (over is TimeoutException or OperationCanceledException)
        {
            var late = await EndAsync(waiting, mayPrepare: over is TimeoutException).ConfigureAwait(false);
            if (late is not null && over is TimeoutException)
                return late;
            if (late is not null)
                await ReturnAsync(late).ConfigureAwait(false);
            cancellationToken.ThrowIfCancellationRequested();
            return null;
        }
    }

    // What a receive gave up in vain is in its old place for whoever asks next, unless that takes long.
    private async Task ReturnAsync(Deliver late)
    {
        try
        {
            await _cursor.ReleaseAllAsync(_owner, late, isFailure: false).WaitAsync(LongestPreparation, _owner.Time).ConfigureAwait(false);
        }
        catch (TimeoutException)
        {
            // It comes back when enough replicas have it.
        }
    }

    // Returns what was handed out before it ended; null: nothing.
    private async Task<Deliver?> EndAsync(Waiting waiting, bool mayPrepare)
    {
        _owner.Post(() => GiveUp(waiting, mayPrepare));
        if (mayPrepare)
        {
            try
            {
                return await waiting.Delivery.Task.WaitAsync(LongestPreparation, _owner.Time).ConfigureAwait(false);
            }
            catch (TimeoutException)
            {
                _owner.Post(() => GiveUp(waiting, mayPrepare: false));
            }
        }
        return await waiting.Delivery.Task.ConfigureAwait(false);
    }

    private void Begin(Waiting waiting)
    {
        if (_ended != CursorOutcome.Unknown || _waiting is not null)
        {
            waiting.Delivery.TrySetException(_waiting is null ? Ended() : new InvalidOperationException("One receive at a time."));
            return;
        }
        _waiting = waiting;
        Complete();
        if (_isPull && _waiting is not null && _rest is null && _deliveries.Count == 0)
            SetCredit(waiting.MaxRecords);
    }

    // Before what a receive for fewer records left of the same delivery.
    private void PutBack(Deliver rest)
    {
        if (_ended == CursorOutcome.Unknown)
            _rest = _rest is { } later ? rest with { Records = [.. rest.Records, .. later.Records] } : rest;
    }

    // Without its codec a broker reads no record, which is no failure of any.
    private void ReturnUnreadable(Deliver delivery, bool isFailure)
    {
        foreach (var offset in delivery.Records.Select(static record => record.Offset))
        {
            if (!_cursor.Cursor.Holds(delivery.Lock, offset))
                continue;
            // A record that waits comes back at once: it is taken first.
            _cursor.Handle(new Renew(CursorRequest.NoAnswer, delivery.Lock, OffsetRange.Of(offset)));
            _cursor.Handle(new Release(CursorRequest.NoAnswer, delivery.Lock, OffsetRange.Of(offset), isFailure, UnreadableDelayMs));
        }
    }

    private void GiveUp(Waiting waiting, bool mayPrepare)
    {
        // What it asked for in the same turn is handed out before it gives up: a receive that does not wait takes what is there.
        if (_waiting == waiting)
            _cursor.FinishTurn();
        if (_waiting != waiting)
            return;
        // Records that were committed before it began may be news at the end of this turn, or of the next one.
        waiting.HighWatermark ??= _owner.Partition.HighWatermark;
        if (_cursor.Term.HighWatermark < waiting.HighWatermark)
        {
            _owner.Post(() => GiveUp(waiting, mayPrepare));
            return;
        }
        if (mayPrepare && _cursor.Cursor.IsPreparing)
        {
            _cursor.EndWhenPrepared(() => GiveUp(waiting, mayPrepare));
            return;
        }
        _waiting = null;
        WasBlind = !_cursor.Term.HasLease || !_cursor.Cursor.IsHandingOut || _cursor.Cursor.IsPreparing;
        if (_isPull)
            SetCredit(0);
        waiting.Delivery.TrySetResult(null);
    }

    private void SetCredit(int credit)
    {
        var difference = credit - _cursor.Cursor.CreditOf(Number);
        if (difference != 0)
            _cursor.Handle(new GrantCredit(Number, difference));
    }

    private ReceivedRecords ReadOrRelease(Deliver delivery, List<OffsetRange> naturals)
    {
        try
        {
            return ReadSome(_owner.Partition, delivery, naturals, new ReadBounds(MostBytes));
        }
        catch (BrokerException fault)
        {
            _ = _cursor.ReleaseAllAsync(_owner, delivery, isFailure: fault.Code != ErrorCode.KafkaStorageError);
            throw;
        }
    }

    /// <inheritdoc cref="ReceivedRecords.ReadSome"/>
    /// <exception cref="BrokerException"><see cref="ErrorCode.KafkaStorageError"/>, <see cref="ErrorCode.CorruptMessage"/>.</exception>
    public static ReceivedRecords ReadSome(Partition partition, Deliver delivery, List<OffsetRange> naturals, ReadBounds bounds)
    {
        try
        {
            return ReceivedRecords.ReadSome(partition, delivery, naturals, bounds);
        }
        catch (RecordBatchException fault)
        {
            throw Unreadable(fault);
        }
        catch (Exception fault) when (StorageFaults.IsStorageFault(fault))
        {
            partition.NoteUnreadable(fault);
            throw new BrokerException(ErrorCode.KafkaStorageError, fault.Message, fault);
        }
    }

    /// <summary>Returns the error of a batch that cannot be read.</summary>
    public static BrokerException Unreadable(Exception fault) => new(fault is CodecUnavailableException
        ? ErrorCode.UnsupportedCompressionType : ErrorCode.CorruptMessage, fault.Message, fault);

    private BrokerException Ended() => new(ErrorCode.NotLeaderOrFollower,
        $"The consumer of {_owner.Partition.TopicPartition} is not attached any more. Find the leader, and attach again.");

    private sealed class Waiting(int maxRecords)
    {
        public int MaxRecords { get; } = maxRecords;
        /// <summary>How far the log was when it was about to give up; null: before that.</summary>
        public long? HighWatermark { get; set; }
        public TaskCompletionSource<Deliver?> Delivery { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
    }
}
