namespace OrleansMq.Queues;

/// <summary>Transitions on their way into force, one append at a time.</summary>
internal sealed partial class Cursor
{
    private TransitionDraft _draft = new();
    private TransitionDraft? _writing;
    // Each part is a batch of its own. What is gathered comes into force as a whole, with the last one.
    private IReadOnlyList<IReadOnlyList<CursorTransition>> _parts = [];
    private readonly List<long> _partOffsets = [];
    private long _writeNumber;
    private long _writtenAt = -1;
    private long _naturalsInWriting;
    private long _retryAppendAt = long.MaxValue;
    // Transitions cannot be appended, or their replication is in suspense.
    private bool _isStalled;
    // They wait for the dead letters on their way. Meanwhile nothing is handed out, so that no others begin.
    private readonly List<Remove> _removals = [];
    private long _removesUntil = long.MaxValue;

    private bool IsRemoving => _removals.Count > 0;

    private void Write()
    {
        if (_writing is not null)
        {
            if (_retryAppendAt <= _now)
                Append();
            return;
        }
        if (_draft.IsEmpty)
            return;
        (_writing, _draft) = (_draft, new TransitionDraft());
        var naturals = NaturalsToLog(_writing);
        _naturalsInWriting = naturals.Count;
        _parts = TransitionParts.Of(_writing.Build(_id, _state, naturals, _rules, MostPartBytes), MostPartBytes);
        Append();
    }

    // Those up to the last record that is settled, or is now, and those behind it. Left out they would split what is settled into runs for
    // ever, and hold the floor.
    private OffsetSet NaturalsToLog(TransitionDraft draft)
    {
        var logged = new OffsetSet();
        if (_state is null || IsExclusive(draft))
            return logged;
        var last = Math.Max(Math.Max(_state.Settled.Max, draft.LastSettled), NeededFrom(_state) - 1);
        last = _naturals.NextNotIn(last + 1) - 1;
        foreach (var range in _unlogged.TakeWhile(range => range.First <= last))
            logged.Add(range with { Last = Math.Min(range.Last, last) });
        _unlogged.RemoveBelow(last + 1);
        // A consumer had settled it before its read found no record: it has that cause, and is counted.
        foreach (var range in draft.Settled)
            logged.Remove(range);
        return logged;
    }

    private void Append()
    {
        _retryAppendAt = long.MaxValue;
        _effects.Add(new AppendTransitions(++_writeNumber, _parts[_partOffsets.Count]));
    }

    private void On(TransitionsAppended appended)
    {
        if (appended.Number != _writeNumber || _writing is null)
            return;
        _partOffsets.Add(appended.Offset);
        if (_partOffsets.Count < _parts.Count)
        {
            Append();
            return;
        }
        _writtenAt = appended.Offset;
        if (_rules.IsInForce(_writtenAt, _highWatermark))
            PutInForce(_writing);
    }

    private void On(TransitionsRefused refused)
    {
        if (refused.Number != _writeNumber || _writing is null)
            return;
        _isStalled = true;
        _retryAppendAt = _now + AppendRetryMs;
    }

    // What was written stays written: its records are neither given back nor handed out again in this epoch.
    private void On(TransitionsUnanswered unanswered)
    {
        if (unanswered.Number != _writeNumber || _writing is null)
            return;
        _isStalled = true;
        ReplyAll(_writing, CursorOutcome.Unknown);
        _writing.Waiters.Clear();
    }

    private void On(Restate restate)
    {
        if (_serves && _state is not null && _state.StatementOffset < restate.Offset && !IsBeginning)
            _draft.IsStatement = true;
    }

    private void On(Begin begin)
    {
        if (_state?.Incarnation == begin.Incarnation && !IsBeginning)
            Reply(begin, CursorOutcome.Done, _state.Floor);
        else if (_draft.Begin?.Incarnation == begin.Incarnation)
            _draft.Waiters.Add(begin);
        else if (_writing?.Begin?.Incarnation == begin.Incarnation)
            _writing.Waiters.Add(begin);
        else if (IsBeginning || IsRemoving)
            Reply(begin, CursorOutcome.NotReady);
        else if (!_rules.MayBegin(_state?.Incarnation ?? Guid.Empty, begin.Replaces))
            Reply(begin, CursorOutcome.NoCursor);
        else
        {
            _draft.Begin = begin;
            _draft.Waiters.Add(begin);
        }
    }

    private void On(Configure configure, CursorState state)
    {
        _draft.Configuration = configure.Configuration with
        {
            IsOrderedByKey = state.Configuration.IsOrderedByKey,
            IsSingleActiveConsumer = state.Configuration.IsSingleActiveConsumer,
            PriorityLevels = state.Configuration.PriorityLevels,
        };
        _draft.Waiters.Add(configure);
    }

    private void On(Remove remove, CursorState state)
    {
        if (remove.Incarnation != state.Incarnation)
        {
            Reply(remove, CursorOutcome.NoCursor);
            return;
        }
        if (!IsRemoving)
            _removesUntil = _now + RemovalWaitMs;
        _removals.Add(remove);
    }

    // A dead letter on its way would be lost with its cursor.
    private void ContinueRemoval()
    {
        if (!IsRemoving)
            return;
        var hasLetters = _state?.Intents.Count > 0 || PendingIntents > 0;
        if (hasLetters && _now < _removesUntil)
            return;
        if (hasLetters)
            ReplyAllRemovals(CursorOutcome.NotReady);
        else
        {
            _draft.IsRemoval = true;
            _draft.Waiters.AddRange(_removals);
        }
        _removals.Clear();
        _removesUntil = long.MaxValue;
    }

    private void ReplyAllRemovals(CursorOutcome outcome)
    {
        foreach (var remove in _removals)
            Reply(remove, outcome);
    }

    private void PutInForce(TransitionDraft written)
    {
        var countedBytes = _state is not null && CountsBytes(_state);
        for (var i = 0; i < _parts.Count; i++)
        {
            foreach (var transition in _parts[i])
                _state = LogCursors.Apply(_state, transition, _partOffsets[i]);
        }
        _partOffsets.Clear();
        (_writing, _writtenAt, _retryAppendAt, _isStalled, _naturalsInWriting) = (null, -1, long.MaxValue, false, 0);
        if (IsExclusive(written))
            BeginAnew();
        else
            FreeRecords(written);
        if (written.Configuration is not null)
        {
            ForgetHeads();
            if (_state is not null && CountsBytes(_state) != countedBytes)
                CountAnew();
        }
        if (_state is not null)
            _naturals.RemoveBelow(_state.Floor - NaturalsBehind);
        ReplyAll(written, CursorOutcome.Done);
    }

    private void FreeRecords(TransitionDraft written)
    {
        foreach (var range in written.Settled)
        {
            _order.Remove(range);
            _purging.Remove(range);
        }
        foreach (var offset in written.Held)
        {
            if (_held.Remove(offset, out var held))
                ComeBack(offset, held);
        }
        foreach (var intent in written.Intents)
            _order.Remove(OffsetRange.Of(intent.Offset));
        foreach (var returned in written.Returns)
        {
            _dropFrom = Math.Min(_dropFrom, returned.Offset);
            _bounded.Remove(returned.Offset);
            if (_rules.IsDeferred(returned.AvailableAt, _now))
                _deferred.Enqueue((returned.Offset, returned.AvailableAt), returned.AvailableAt);
            else if (IsUnsettled(returned.Offset))
                _order.Return(returned.Offset);
        }
        // Those of records that were settled before their time came.
        if (_state is not null && _deferred.Count > MostIdleDeadlines + (2 * _state.Returns.Count))
        {
            // What is due now is deferred no more, and would be forgotten with them.
            ReturnDeferred();
            LearnReturns();
        }
    }

    private void ReplyAll(TransitionDraft draft, CursorOutcome outcome)
    {
        foreach (var request in draft.Waiters)
        {
            var isBegun = outcome == CursorOutcome.Done && request is Begin;
            Reply(request, outcome, isBegun ? _state!.Floor : -1);
        }
    }
}
