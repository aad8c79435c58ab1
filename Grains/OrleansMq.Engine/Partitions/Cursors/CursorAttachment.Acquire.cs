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
        return new CursorAcquisition(waiting.Delivery.Task, () => _owner.Post(() => GiveUp(waiting)));
    }

    /// <summary>Names delivered offsets that have no record.</summary>
    public void Name(IReadOnlyList<OffsetRange> naturals) => _owner.Post(() => _cursor.HandleNaturals(naturals));
}
