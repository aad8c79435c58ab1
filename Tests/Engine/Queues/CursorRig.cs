using OrleansMq.Queues;

namespace OrleansMq.Tests.Engine.Queues;

/// <summary>A cursor beside a log of numbers: records, and control batches where it appended. What it appends is in force at once, unless a
/// test holds it back.</summary>
internal sealed class CursorRig
{
    public const int Epoch = 7;
    private readonly List<OffsetRange> _controls = [];
    private readonly HashSet<long> _controlOffsets = [];
    private long _requests;

    private readonly int _mostPartBytes;

    public CursorRig(CursorConfiguration? configuration = null, int mostPartBytes = int.MaxValue)
    {
        _mostPartBytes = mostPartBytes;
        Cursor = NewCursor(0);
        Handle(new ExtendLease(long.MaxValue));
        Handle(new Advance(0, 0, []));
        Request(new Begin(NextId, Guid.NewGuid(), configuration ?? new CursorConfiguration { Name = "c" }, 0));
    }

    public Cursor Cursor { get; private set; }
    public long Now { get; set; } = 1_000;
    public long End { get; private set; }
    /// <summary>Whether appends stay unanswered until <see cref="Append"/>.</summary>
    public bool HoldsAppends { get; set; }
    /// <summary>Whether what is appended stays above the high watermark until <see cref="Commit"/>.</summary>
    public bool HoldsCommits { get; set; }
    public List<AppendTransitions> Appends { get; } = [];
    public List<Deliver> Deliveries { get; } = [];
    public List<Answer> Answers { get; } = [];
    public List<PublishDeadLetters> Publications { get; } = [];
    public LogCursors Log { get; } = new();
    public long WakeAt { get; private set; } = long.MaxValue;
    public bool AcceptsPublishes { get; private set; } = true;
    public long Start { get; private set; } = -1;
    public long NextId => ++_requests;
    /// <summary>Returns the hash of a record's key; null: keys are not read.</summary>
    public Func<long, long?>? KeyOf { get; set; }
    /// <summary>Batches with keys that cannot be read.</summary>
    public List<OffsetRange> Unread { get; } = [];
    /// <summary>Where reads of keys began.</summary>
    public List<long> KeyReads { get; } = [];
    /// <summary>Returns the times and the priority of a record.</summary>
    public Func<long, RecordHead>? HeadOf { get; set; }
    /// <summary>The records of one read of heads.</summary>
    public int HeadsPerRead { get; init; } = int.MaxValue;
    public bool FindsNaturals { get; init; } = true;
    /// <summary>The offsets that one search for offsets without a record goes through.</summary>
    public long OffsetsPerSearch { get; init; } = int.MaxValue;
    /// <summary>Records that the log has no more.</summary>
    public List<OffsetRange> Lost { get; } = [];
    /// <summary>Where offsets without a record were searched.</summary>
    public List<OffsetRange> Searched { get; } = [];
    /// <summary>Sees each effect.</summary>
    public Action<CursorEffect>? Observe { get; set; }

    /// <summary>What was delivered since the last call: consumer and offset.</summary>
    public List<(long Consumer, long Offset)> Delivered()
    {
        var delivered = Deliveries.SelectMany(d => d.Records.Select(r => (d.Attachment, r.Offset))).ToList();
        Deliveries.Clear();
        return delivered;
    }

    /// <summary>Appends records, in force.</summary>
    public void Produce(int records)
    {
        End += records;
        Commit();
    }

    /// <summary>All that is appended is in force.</summary>
    public void Commit() => Handle(new Advance(End, End, [.. _controls]));

    public CursorOutcome? Request(CursorRequest request)
    {
        Handle(request);
        return Answers.FindLast(answer => answer.RequestId == request.RequestId)?.Outcome;
    }

    public void Attach(long consumer, int credit, long lockMs = 0, bool isWindow = true, int priority = 0, bool isBuffered = false)
    {
        Handle(new Attach(consumer, priority, isWindow, lockMs, isBuffered));
        Handle(new GrantCredit(consumer, credit));
    }

    public void PassTime(long ms)
    {
        Now += ms;
        Handle(new Tick());
    }

    public void Append(AppendTransitions append)
    {
        Log.Apply(End, CursorControlRecord.Encode(append.Transitions));
        var offset = End++;
        _controls.Add(OffsetRange.Of(offset));
        _controlOffsets.Add(offset);
        Handle(new TransitionsAppended(append.Number, offset));
        if (!HoldsCommits)
            Commit();
    }

    /// <summary>The next leader, with what the log says.</summary>
    public void FailOver(long handOutFrom = 0, bool hasLease = true)
    {
        (Cursor, WakeAt) = (NewCursor(handOutFrom), long.MaxValue);
        if (hasLease)
            Handle(new ExtendLease(long.MaxValue));
    }

    public void Handle(CursorCommand command)
    {
        var effects = new List<CursorEffect>();
        Cursor.Handle(command, Now, effects);
        foreach (var effect in effects)
        {
            Observe?.Invoke(effect);
            switch (effect)
            {
                case AppendTransitions append: Appends.Add(append); break;
                case Deliver deliver: Deliveries.Add(deliver); break;
                case Answer answer: Answers.Add(answer); break;
                case PublishDeadLetters publish: Publications.Add(publish); break;
                case AcceptPublishes accept: AcceptsPublishes = accept.IsAccepted; break;
                case WakeAt wake: WakeAt = wake.Time; break;
                case StartMayMove start: Start = start.Offset; break;
            }
        }
        foreach (var append in effects.OfType<AppendTransitions>().Where(_ => !HoldsAppends))
            Append(append);
        foreach (var read in effects.OfType<ReadKeys>().Where(_ => KeyOf is not null))
        {
            KeyReads.Add(read.From);
            var unread = Unread.Where(batch => batch.Last >= read.From).Select(batch => (OffsetRange?)batch).Min(Comparer<OffsetRange?>
                .Create(static (one, other) => one!.Value.First.CompareTo(other!.Value.First)));
            var end = unread is { } first ? Math.Max(first.First, read.From) : End;
            var keys = RecordsFrom(read.From).TakeWhile(offset => offset < end).Take(read.Most)
                .Select(offset => (offset, KeyOf!(offset))).ToList();
            Handle(keys.Count < read.Most ? new KeysRead(read.Number, end, keys)
            {
                Unread = unread is { } batch ? batch with { First = end } : null,
            } : new KeysRead(read.Number, keys[^1].Item1 + 1, keys));
        }
        foreach (var read in effects.OfType<ReadHeads>().Where(_ => HeadOf is not null))
        {
            var heads = RecordsFrom(read.From).Take(HeadsPerRead).Select(o => HeadOf!(o) with { Offset = o }).ToList();
            Handle(new HeadsRead(read.Number, heads.Count < HeadsPerRead ? End : heads[^1].Offset + 1, heads));
        }
        foreach (var find in effects.OfType<FindNaturals>().Where(_ => FindsNaturals))
        {
            var end = Math.Min(find.Range.Last + 1, find.Range.First + OffsetsPerSearch);
            Searched.Add(find.Range with { Last = end - 1 });
            var naturals = _controls.Concat(Lost).Where(c => c.First >= find.Range.First && c.Last < end).ToList();
            var sizes = find.HasSizes ? RecordsFrom(find.Range.First).TakeWhile(offset => offset < end)
                .Select(offset => new RecordSize(offset, HeadOf!(offset).Bytes)).ToArray() : [];
            Handle(new NaturalsFound(find.Number, end, naturals) { Sizes = sizes });
        }
    }

    private IEnumerable<long> RecordsFrom(long from) => Enumerable.Range(0, (int)(End - from)).Select(i => from + i)
        .Where(offset => !_controlOffsets.Contains(offset) && !Lost.Exists(lost => lost.First <= offset && offset <= lost.Last));

    private Cursor NewCursor(long handOutFrom)
    {
        var epoch = Cursor is null ? Epoch : Epoch + 1;
        return new Cursor(0, Log.Cursors.GetValueOrDefault(0)?.Clone(), new LeaderTerm(epoch, End, handOutFrom), CursorRules.Shipped)
        {
            MostPartBytes = _mostPartBytes,
        };
    }
}
