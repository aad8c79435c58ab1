using OrleansMq.Queues;

namespace OrleansMq.Partitions.Cursors;

/// <summary>A request for records that are read later.</summary>
/// <param name="Completion">The delivery; null: none came before it was given up.</param>
/// <param name="GiveUp">Ends the wait. A delivery that came before is the result.</param>
internal readonly record struct CursorAcquisition(Task<Deliver?> Completion, Action GiveUp);

internal sealed partial class CursorAttachment
{
    /// <summary>Asks for records that the caller reads by itself. One call at a time, instead of <see cref="ReceiveAsync"/>.</summary>
    public CursorAcquisition Acquire(int maxRecords)
    {
        var waiting = new Waiting(maxRecords);
        _owner.Post(() => Begin(waiting));
        return new CursorAcquisition(waiting.Delivery.Task, () => _owner.Post(() => GiveUp(waiting, mayPrepare: false)));
    }

    /// <summary>Tells that the consumer has records: they count as delivered from now on, and their lock begins anew.</summary>
    /// <param name="token">The lock of their delivery.</param>
    /// <param name="records">Their offsets.</param>
    /// <param name="through">Records that follow the last one, up to this one, are taken along for the first time, as far as they are
    /// available; -1: none.</param>
    /// <returns>Those that the lock holds; none without the lease.</returns>
    public Task<OffsetSet> TakeAsync(LockToken token, IEnumerable<long> records, long through = -1)
    {
        var answer = new TaskCompletionSource<OffsetSet>(TaskCreationOptions.RunContinuationsAsynchronously);
        _owner.Post(() => answer.TrySetResult(Take(token, records, through)));
        return answer.Task;
    }

    private OffsetSet Take(LockToken token, IEnumerable<long> records, long through)
    {
        var taken = new OffsetSet();
        if (_ended != CursorOutcome.Unknown || !_cursor.Term.HasLease)
            return taken;
        foreach (var record in records.Where(record => _cursor.Cursor.Holds(token, record)))
            taken.Add(record);
        Widen(token, taken, through);
        foreach (var run in taken)
            _cursor.Handle(new Renew(CursorRequest.NoAnswer, token, run));
        // With each command the locks end whose time is over.
        foreach (var record in records.Where(record => !_cursor.Cursor.Holds(token, record)))
            taken.Remove(record);
        return taken;
    }

    private void Widen(LockToken token, OffsetSet taken, long through)
    {
        if (taken.IsEmpty || through <= taken.Max)
            return;
        var widened = _widened = new OffsetSet();
        _cursor.Handle(new Widen(Number, token, taken.Max + 1, through));
        _widened = null;
        foreach (var run in widened)
            taken.Add(run);
    }

    /// <summary>Names delivered offsets that have no record.</summary>
    public void Name(IReadOnlyList<OffsetRange> naturals) => _owner.Post(() => _cursor.HandleNaturals(naturals));
}
