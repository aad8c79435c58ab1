using OrleansMq.Diagnostics;
using OrleansMq.Filters;
using OrleansMq.Queues;

namespace OrleansMq.Partitions.Cursors;

/// <summary>A cursor in a <see cref="CursorTerm"/>, with its consumers. It carries the cursor's effects out; used in turns only.</summary>
internal sealed class HostedCursor
{
    private List<CursorEffect>? _effects;
    private Guid _incarnation;
    private CompiledFilter? _filter;
    private List<Action> _ending = [];
    // Ends with the next step of the search, or the decision of a limit.
    private TaskCompletionSource? _counting;
    // Whether the last command left hand-out and transitions to a later one of the turn.
    private bool _isUnfinished;

    /// <summary>Hosts a cursor.</summary>
    /// <param name="term">The leadership.</param>
    /// <param name="id">Its id.</param>
    /// <param name="name">Its name.</param>
    /// <param name="state">A copy of its state; null: it is about to be created.</param>
    public HostedCursor(CursorTerm term, int id, string name, CursorState? state)
    {
        (Term, Id, Name) = (term, id, name);
        Cursor = new Cursor(id, state, term.Term, CursorRules.Shipped);
        _incarnation = state?.Incarnation ?? Guid.Empty;
    }

    /// <summary>The leadership.</summary>
    public CursorTerm Term { get; }
    /// <summary>The cursor's number in its partition.</summary>
    public int Id { get; }
    /// <summary>The cursor's name.</summary>
    public string Name { get; }
    /// <summary>The machine.</summary>
    public Cursor Cursor { get; }
    /// <summary>The consumers.</summary>
    public Dictionary<long, CursorAttachment> Attachments { get; } = [];
    /// <summary>When it asked for a tick; <see cref="long.MaxValue"/>: not.</summary>
    public long WakeAt { get; private set; } = long.MaxValue;
    /// <summary>The offsets without a record that are not settled, for descriptions.</summary>
    public PacedCount UnsettledNaturals { get; } = new();
    /// <summary>Whether records are handed out while their transaction is open, as the consumer said that attached last.</summary>
    public bool ReadsUncommitted { get; private set; }
    /// <summary>Records below it may be delivered.</summary>
    public long ReadableEnd => ReadsUncommitted ? Term.HighWatermark : Term.ReadableEnd;
    /// <summary>Whether its length limit refuses further records.</summary>
    public bool IsFull { get; private set; }

    /// <summary>Passes a command, and carries out the effects. After the term nothing happens.</summary>
    /// <remarks>What a turn settles and grants is handed out once, at its end: one delivery a consumer, not one a record.</remarks>
    public void Handle(CursorCommand command)
    {
        if (Term.HasEnded)
            return;
        _isUnfinished = command is LockRequest or Acknowledge or GrantCredit or Widen or Join;
        // An effect may lead to the next command.
        var effects = _effects ?? [];
        _effects = null;
        Cursor.ClockTime = Term.ClockTime;
        Cursor.Handle(command, Term.Now, effects, isMore: _isUnfinished);
        foreach (var effect in effects)
            CarryOut(effect);
        effects.Clear();
        _effects = effects;
        if (_counting is not null && (command is NaturalsFound || !Cursor.IsDeciding))
            EndCounts();
        Follow(Cursor.State?.Incarnation ?? Guid.Empty);
    }

    /// <summary>Completes when a limit has decided, or its search has gone a step further. In a turn.</summary>
    public Task CountAsync()
    {
        _counting ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        return _counting.Task;
    }

    /// <summary>Lets those that wait for a limit go on. In a turn.</summary>
    public void EndCounts()
    {
        _counting?.TrySetResult();
        _counting = null;
    }

    /// <summary>Hands out what the turn's commands allow up to now, and appends what they changed.</summary>
    public void FinishTurn()
    {
        // A delivery may take back the credit of the receive that it ends.
        while (_isUnfinished && !Term.HasEnded)
            Handle(new Tick());
    }

    /// <summary>Ends a receive that is over, once nothing is prepared that it might receive. In a turn.</summary>
    public void EndWhenPrepared(Action end) => _ending.Add(end);

    /// <summary>Ends the receives that are over, unless the cursor still prepares. At the end of a turn.</summary>
    public void EndReceives()
    {
        if (_ending.Count == 0 || Cursor.IsPreparing)
            return;
        var over = _ending;
        _ending = [];
        foreach (var end in over)
            end();
    }

    /// <summary>Returns the filter with a text; null without one. On any thread.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.UnsupportedVersion"/>: a later version wrote the text.</exception>
    public RecordFilter? FilterOf(string? text)
    {
        if (text is null)
            return null;
        if (_filter is { } compiled && compiled.Text == text)
            return compiled.Filter;
        try
        {
            _filter = compiled = new CompiledFilter(text, RecordFilter.Parse(text));
            return compiled.Filter;
        }
        catch (FilterSyntaxException unknown)
        {
            throw new BrokerException(ErrorCode.UnsupportedVersion, $"A later version wrote the filter of '{Name}', which this broker does "
                + $"not understand: {unknown.Message}", unknown);
        }
    }

    /// <summary>Names offsets without a record that consumers found.</summary>
    public void HandleNaturals(IReadOnlyList<OffsetRange> naturals) =>
        Handle(new Advance(Term.HighWatermark, ReadableEnd, naturals));

    /// <summary>Changes whether records are handed out while their transaction is open. Those that are held stay with their
    /// consumers.</summary>
    public void SetReadsUncommitted(bool readsUncommitted)
    {
        if (ReadsUncommitted == readsUncommitted)
            return;
        ReadsUncommitted = readsUncommitted;
        HandleNaturals([]);
    }

    /// <summary>Gives back what the lock of a delivery still holds; completes when that is in force. On any thread.</summary>
    public Task<Answer> ReleaseAllAsync(PartitionCursors owner, Deliver delivery, bool isFailure) => owner.SendAsync(this, id =>
    {
        var held = new OffsetSet();
        foreach (var record in delivery.Records.Where(record => Cursor.Holds(delivery.Lock, record.Offset)))
            held.Add(record.Offset);
        return new Acknowledge(id, [.. held.Select(run => new Release(CursorRequest.NoAnswer, delivery.Lock, run, isFailure))]);
    });

    private void Follow(Guid incarnation)
    {
        if (incarnation != _incarnation && incarnation != Guid.Empty)
        {
            _incarnation = incarnation;
            // Its floor may be below the log's start.
            if (Term.LogStart > 0)
                HandleNaturals([new OffsetRange(0, Term.LogStart - 1)]);
        }
        if (Cursor.IsAbsent)
            Term.NoteAbsent(this);
    }

    private void CarryOut(CursorEffect effect)
    {
        switch (effect)
        {
            case AppendTransitions append:
                Term.Append(this, append);
                break;
            case Deliver deliver:
                Attachments[deliver.Attachment].Enqueue(deliver);
                break;
            case Answer answer:
                Term.Answer(answer);
                break;
            case PublishDeadLetters publish:
                Term.Publish(this, publish);
                break;
            case ReadKeys read:
                Term.ReadKeys(this, read);
                break;
            case ReadHeads read:
                Term.ReadHeads(this, read);
                break;
            case FindNaturals find:
                Term.FindNaturals(this, find);
                break;
            case AcceptPublishes accept:
                IsFull = !accept.IsAccepted;
                break;
            case WakeAt wake:
                WakeAt = wake.Time;
                break;
            // The topic's retention decides where its log starts, and asks what is needed.
            case StartMayMove:
                break;
            default:
                Invariant.Check(false, $"A cursor's effect {effect.GetType().Name} has no driver.");
                break;
        }
    }

    private sealed record CompiledFilter(string Text, RecordFilter Filter);
}
