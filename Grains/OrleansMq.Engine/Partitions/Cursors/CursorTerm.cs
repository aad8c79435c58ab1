using OrleansMq.Diagnostics;
using OrleansMq.Queues;
using OrleansMq.Records;

namespace OrleansMq.Partitions.Cursors;

/// <summary>The cursors of a partition for one leadership. Used in turns of <see cref="PartitionCursors"/> only.</summary>
internal sealed class CursorTerm
{
    // One search's part of the log. A turn takes what it finds, which is some thousand offsets at most.
    private const long MostSearchedBytes = 1 << 20;

    private readonly PartitionCursors _owner;
    private readonly SortedDictionary<int, HostedCursor> _cursors = [];
    private readonly Dictionary<long, TaskCompletionSource<Answer>> _requests = [];
    private readonly List<(HostedCursor Cursor, AppendTransitions Append)> _appends = [];
    // The offsets of this term's control batches at or above the high watermark that the cursors know.
    private readonly Queue<long> _controls = new();
    private readonly List<HostedCursor> _absent = [];
    private readonly CancellationTokenSource _end = new();
    private long _leaseUntil = long.MinValue;
    private long _logStart = -1;
    private long _request;
    private long _attachment;

    /// <summary>Begins a term with copies of the cursors' states.</summary>
    public CursorTerm(PartitionCursors owner, Leadership leadership, LeaderTerm term, IReadOnlyList<CursorState> states)
    {
        (_owner, Leadership, Term) = (owner, leadership, term);
        foreach (var state in states)
            _cursors.Add(state.Id, new HostedCursor(this, state.Id, state.Configuration.Name, state));
    }

    /// <summary>The leadership.</summary>
    public Leadership Leadership { get; }
    /// <summary>The leadership as the cursors see it.</summary>
    public LeaderTerm Term { get; }
    /// <summary>The turn's time, in milliseconds since 1970.</summary>
    public long Now => _owner.TurnTime;

    /// <summary>What the broker's clock said at the turn's begin, in milliseconds since 1970.</summary>
    public long ClockTime => _owner.ClockTime;
    /// <summary>The high watermark that the cursors know.</summary>
    public long HighWatermark { get; private set; } = -1;
    /// <summary>No transaction that has a record below it is open: cursors that read committed records deliver those below.</summary>
    public long ReadableEnd { get; private set; } = -1;
    /// <summary>The log's start that the cursors know.</summary>
    public long LogStart => _logStart;
    /// <summary>Whether the lease allows a hand-out.</summary>
    public bool HasLease => CursorRules.Shipped.HasLease(_leaseUntil, Now);
    /// <summary>Whether the leadership has ended.</summary>
    public bool HasEnded { get; private set; }

    /// <summary>The cursors, by id.</summary>
    public IReadOnlyCollection<HostedCursor> Cursors => _cursors.Values;

    /// <summary>No cursor needs a record below this offset, as far as is in force; null without cursors. What a removal in the log's tail
    /// says is in force once the epoch's start is.</summary>
    public long? SettledBelow => HighWatermark < Term.EpochStart ? 0
        : _cursors.Count == 0 ? null : _cursors.Values.Min(cursor => cursor.Cursor.Needed);

    /// <summary>Why nothing is published to the partition; null: no cursor is full.</summary>
    public string? RefusesPublishes => _cursors.Values.FirstOrDefault(cursor => cursor.IsFull && !cursor.Cursor.IsAbsent) is { } full
        ? $"Queue '{QueueConfigurations.QueueOf(full.Name)}' of {_owner.Partition.TopicPartition} is full. Nothing was appended; send "
            + "again when its consumers have settled records."
        : null;

    /// <summary>Whether a consumer is attached.</summary>
    public bool HasConsumers => _cursors.Values.Any(cursor => cursor.Attachments.Count > 0);

    /// <summary>The first time at which a cursor asked for a tick.</summary>
    public long WakeAt => _cursors.Count == 0 ? long.MaxValue : _cursors.Values.Min(cursor => cursor.WakeAt);

    /// <summary>Returns a cursor; null if there is none of that name.</summary>
    public HostedCursor? Find(string name)
    {
        ForgetAbsent();
        return _cursors.Values.FirstOrDefault(cursor => cursor.Name == name);
    }

    /// <summary>Returns a cursor, hosted under a free id if there is none of that name.</summary>
    public HostedCursor FindOrHost(string name)
    {
        if (Find(name) is { } found)
            return found;
        var id = 0;
        while (_cursors.ContainsKey(id))
            id++;
        var cursor = new HostedCursor(this, id, name, state: null);
        _cursors.Add(id, cursor);
        cursor.Handle(new ExtendLease(_leaseUntil));
        cursor.HandleNaturals([]);
        return cursor;
    }

    /// <summary>Attaches a consumer; null if the cursor does not exist.</summary>
    public CursorAttachment? Attach(string name, AttachOptions options) =>
        Find(name) is { Cursor.State: not null } cursor ? new CursorAttachment(_owner, cursor, ++_attachment, options) : null;

    /// <summary>Passes a request that is answered.</summary>
    public void Send(HostedCursor cursor, Func<long, CursorRequest> request, TaskCompletionSource<Answer> answer)
    {
        if (HasEnded)
        {
            answer.TrySetResult(PartitionCursors.NotLeader);
            return;
        }
        _requests.Add(++_request, answer);
        cursor.Handle(request(_request));
    }

    /// <summary>Takes an answer.</summary>
    public void Answer(Answer answer)
    {
        if (_requests.Remove(answer.RequestId, out var waiting))
            waiting.TrySetResult(answer);
    }

    /// <summary>Takes a cursor that does not exist, until a request begins it.</summary>
    public void NoteAbsent(HostedCursor cursor) => _absent.Add(cursor);

    /// <summary>Forgets the cursors that were removed, or not begun, with their consumers. Their ids are free.</summary>
    public void ForgetAbsent()
    {
        if (_absent.Count == 0)
            return;
        foreach (var cursor in _absent)
        {
            if (!cursor.Cursor.IsAbsent || _cursors.GetValueOrDefault(cursor.Id) != cursor)
                continue;
            _cursors.Remove(cursor.Id);
            foreach (var attachment in cursor.Attachments.Values)
                attachment.End(CursorOutcome.NoCursor);
            cursor.Attachments.Clear();
        }
        _absent.Clear();
    }

    /// <summary>Extends the cursors' lease.</summary>
    public void Extend(long leaseUntil)
    {
        if (leaseUntil <= _leaseUntil)
            return;
        _leaseUntil = leaseUntil;
        HandleAll(new ExtendLease(leaseUntil));
        // Deliveries may have waited for it.
        foreach (var attachment in _cursors.Values.SelectMany(cursor => cursor.Attachments.Values))
            attachment.Complete();
    }

    /// <summary>Tells the cursors how far the log is.</summary>
    public void Advance(long highWatermark, long readableEnd, long logStart)
    {
        if (highWatermark <= HighWatermark && logStart == _logStart)
            return;
        (HighWatermark, ReadableEnd) = (Math.Max(highWatermark, HighWatermark), Math.Max(readableEnd, ReadableEnd));
        var naturals = new List<OffsetRange>();
        if (logStart > Math.Max(_logStart, 0))
            naturals.Add(new OffsetRange(0, logStart - 1));
        _logStart = logStart;
        while (_controls.TryPeek(out var control) && control < HighWatermark)
            naturals.Add(OffsetRange.Of(_controls.Dequeue()));
        foreach (var cursor in _cursors.Values)
            cursor.HandleNaturals(naturals);
    }

    /// <summary>Asks the cursors to repeat statements below an offset.</summary>
    public void Restate(long offset) => HandleAll(new Restate(offset));

    /// <summary>Ends what the turn began, and lets the cursors that asked for it see the time.</summary>
    public void Tick()
    {
        foreach (var cursor in _cursors.Values)
        {
            if (cursor.WakeAt <= Now)
                cursor.Handle(new Tick());
            cursor.FinishTurn();
            cursor.EndReceives();
        }
    }

    /// <summary>Ends the leadership: every request is answered, and every attachment ends.</summary>
    public void End()
    {
        HandleAll(new Resign());
        HasEnded = true;
        _end.Cancel();
        foreach (var cursor in _cursors.Values)
        {
            foreach (var attachment in cursor.Attachments.Values)
                attachment.End(CursorOutcome.NotLeader);
            cursor.EndCounts();
        }
        foreach (var waiting in _requests.Values)
            waiting.TrySetResult(PartitionCursors.NotLeader);
        _requests.Clear();
    }

    /// <summary>Takes transitions for the turn's control batch.</summary>
    public void Append(HostedCursor cursor, AppendTransitions append) => _appends.Add((cursor, append));

    /// <summary>Appends the transitions of the turn as one control batch.</summary>
    public void AppendAll()
    {
        if (_appends.Count == 0 || HasEnded)
            return;
        var append = new ControlAppend(this, [.. _appends]);
        _appends.Clear();
        _ = AppendAsync(append);
    }

    /// <summary>Publishes dead letters, outside the turn.</summary>
    public void Publish(HostedCursor cursor, PublishDeadLetters publish)
    {
        var configuration = cursor.Cursor.State?.Configuration;
        var source = new DeadLetterSource(_owner.Partition.TopicPartition, _owner.Partition.TopicId, cursor.Name,
            configuration?.DeadLetterTarget?.TopicId == publish.Target.TopicId ? configuration.DeadLetterTopic : null,
            configuration?.DeadLetterTopic);
        _ = Task.Run(() => PublishAsync(cursor, source, publish));
    }

    /// <summary>Reads the keys of records, outside the turn.</summary>
    public void ReadKeys(HostedCursor cursor, ReadKeys read)
    {
        UnreadRecords? unread = null;
        Read(cursor, read.Number, () =>
        {
            var keys = RecordKeys.Read(_owner.Partition, read.From, read.Most, out var end, out unread);
            return new KeysRead(read.Number, end, keys) { Unread = unread?.Offsets };
        }, () =>
        {
            if (unread is not null && cursor.Cursor.IsHeldBack)
                WarnOfUnread(cursor, unread);
        });
    }

    /// <summary>Reads the times and levels of records, and whether the filter matches them, outside the turn.</summary>
    public void ReadHeads(HostedCursor cursor, ReadHeads read)
    {
        var configuration = cursor.Cursor.State?.Configuration;
        Read(cursor, read.Number, () =>
        {
            var heads = RecordHeads.Read(_owner.Partition, read.From, read.Most, configuration?.TimeToLiveMs ?? 0,
                cursor.FilterOf(configuration?.Filter), out var end);
            return new HeadsRead(read.Number, end, heads);
        });
    }

    /// <summary>Finds offsets without a record, and the sizes of the others, outside the turn.</summary>
    public void FindNaturals(HostedCursor cursor, FindNaturals find) => Read(cursor, find.Number, () =>
    {
        List<RecordSize>? sizes = find.HasSizes ? [] : null;
        var found = NaturalOffsets.Find(_owner.Partition, find.Range, MostSearchedBytes, _end.Token, out var end, sizes);
        return new NaturalsFound(find.Number, end, found) { Sizes = sizes ?? [] };
    });

    private void HandleAll(CursorCommand command)
    {
        foreach (var cursor in _cursors.Values)
            cursor.Handle(command);
    }

    private async Task AppendAsync(ControlAppend append)
    {
        using var builder = new RecordBatchBuilder();
        CursorControlRecord.AddTo(builder, Now, [.. append.Appends.SelectMany(one => one.Append.Transitions)]);
        var result = await _owner.Partition.Appends.AppendControlAsync(builder.Build(), append).ConfigureAwait(false);
        if (result.Error != ErrorCode.None)
            _owner.Post(() => append.Handle(append.IsWritten ? n => new TransitionsUnanswered(n) : n => new TransitionsRefused(n)));
    }

    private void OnWritten(ControlAppend append, long offset)
    {
        _controls.Enqueue(offset);
        append.Handle(number => new TransitionsAppended(number, offset));
    }

    private async Task PublishAsync(HostedCursor cursor, DeadLetterSource source, PublishDeadLetters publish)
    {
        CursorCommand answer = new DeadLettersFailed(publish.Number);
        try
        {
            using var read = LetterRead.Read(_owner.Partition, publish.Intents);
            // What a log lacks that is not the leader's any more says nothing.
            if (!ReferenceEquals(_owner.Partition.Replication.Leadership, Leadership))
                return;
            if (read.Lost.Count > 0)
                Warn(source, $"{read.Lost.Count} are dropped: their records were deleted, compacted away, or cannot be read.", null);
            var result = read.Letters.Count == 0 ? DeadLetterOutcome.Published : await _owner.DeadLetters
                .PublishAsync(source, publish.Target, read.Letters, _end.Token).ConfigureAwait(false);
            if (result.Outcome == DeadLetterOutcome.Published)
                answer = new DeadLettersPublished(publish.Number)
                {
                    Through = read.Through,
                    Deleted = [.. read.Lost, .. result.Dropped],
                };
            else if (result.Outcome == DeadLetterOutcome.TargetGone)
            {
                Warn(source, $"{publish.Intents.Count} are dropped: their topic was deleted, and the queue has no other one.", null);
                answer = new DeadLetterTargetGone(publish.Number);
            }
        }
        catch (Exception fault)
        {
            if (!_end.IsCancellationRequested)
                Warn(source, $"they could not be published, and are retried: {fault.Message}", fault);
        }
        _owner.Post(() => cursor.Handle(answer));
    }

    private void WarnOfUnread(HostedCursor cursor, UnreadRecords unread) => _owner.Partition.HeldBack.Write(EngineLogLevel.Warning,
        $"Cursor '{cursor.Name}' of {_owner.Partition.TopicPartition}, which is ordered by key, hands out no record behind the offsets "
        + $"{unread.Offsets.First} to {unread.Offsets.Last} until those are settled: their keys cannot be read. {unread.Fault.Message} "
        + (unread.Fault is CodecUnavailableException ? "Install the codec on this broker, or let" : "Let")
        + " a broker that can read them lead the partition. To give them up, reset the queue to an offset behind them.");

    private void Warn(DeadLetterSource source, string what, Exception? fault) => _owner.Partition.Ports.FailedLetters.Write(
        EngineLogLevel.Warning, $"Dead letters of cursor '{source.Name}' of {source.Partition}: {what}", fault);

    // A read that fails is asked for again by its cursor.
    private void Read(HostedCursor cursor, long number, Func<CursorCommand> read, Action? handled = null) => _ = Task.Run(() =>
    {
        CursorCommand answer = new ReadFailed(number);
        try
        {
            answer = read();
        }
        catch (Exception over) when (over is OperationCanceledException or RecordBatchException { Error: RecordBatchError.Busy })
        {
            // The leadership has ended, or another batch is decompressed at the moment.
        }
        catch (Exception fault) when (StorageFaults.IsStorageFault(fault))
        {
            _owner.Partition.NoteUnreadable(fault);
        }
        catch (Exception fault)
        {
            // Without an answer the cursor would wait for ever.
            _owner.Warn($"Cursor '{cursor.Name}' cannot read ahead, and tries again: {fault.Message}", fault);
        }
        _owner.Post(() =>
        {
            cursor.Handle(answer);
            handled?.Invoke();
        });
    });

    private sealed class ControlAppend(CursorTerm term, IReadOnlyList<(HostedCursor Cursor, AppendTransitions Append)> appends)
        : IControlAppend
    {
        public IReadOnlyList<(HostedCursor Cursor, AppendTransitions Append)> Appends { get; } = appends;
        public int Epoch => term.Leadership.Epoch;
        public bool IsWritten { get; private set; }

        public void OnWritten(long offset)
        {
            IsWritten = true;
            term._owner.Post(() => term.OnWritten(this, offset));
        }

        public void Handle(Func<long, CursorCommand> command)
        {
            foreach (var (cursor, append) in Appends)
                cursor.Handle(command(append.Number));
        }
    }
}
