namespace OrleansMq.Outboxes;

/// <summary>What an activation knows as a wake-up comes.</summary>
/// <param name="IsWriting">Whether a write or read is under way.</param>
/// <param name="IsInDoubt">Whether the store may have a newer document than the one in force.</param>
/// <param name="HasPending">Whether the document in force has messages.</param>
/// <param name="MayCleanUp">Whether its messages are delivered, and are to be removed from it.</param>
/// <param name="HasRow">Whether the store has a state of the grain.</param>
internal readonly record struct OutboxView(bool IsWriting, bool IsInDoubt, bool HasPending, bool MayCleanUp, bool HasRow);

/// <summary>The answer to a wake-up.</summary>
/// <param name="IsSettled">Whether the record is not needed any more; otherwise it comes again after
/// <see cref="OrleansMqOutboxOptions.WakeUpDelay"/>.</param>
/// <param name="Looks">Whether the activation now reads the store.</param>
/// <param name="Fences">Whether it then also writes the document, so that writes that are based on the one before fail.</param>
internal readonly record struct WakeUpAnswer(bool IsSettled, bool Looks = false, bool Fences = false);

/// <summary>
/// The wake-up records of one outbox, as one activation sees them: decisions only, no I/O, no clock. Used in the activation's turns.
/// <para>The rule to keep: while the store has a message, or a write on its way may bring one, the queue has a record of the outbox.</para>
/// <para>An activation has one live record. It stores it before the first write with messages, relies on it for its later writes, and
/// answers each visit of it "again after the wake-up delay" until it settles it. It relies only on records that it has stored itself. A
/// record that has not come for longer than it should is not relied on: a new one supersedes it. Each time in a row that takes twice as
/// long, so the number of superseded records grows with the logarithm of an outage of the queue.</para>
/// <para>A record is settled after a look: a read of the store that began after the record came, and found no message. Or because the
/// activation relies on another record. A record of another activation is settled only after a fence, too: a write of this activation that
/// began after the record came. Writes of the other activation are compare-and-swap, so those that rely on the record fail from then on.
/// When an activation reads a document that it has not written, its own live record may have been settled in that way. It relies on it no
/// more, and settles its own records as those of others.</para>
/// <para>An activation that ends with a failed write leaves its live record to the next one of its silo, so that calls that fail one after
/// the other do not store a record each. It is not its own any more. The next one takes it if the store still has the document that the
/// first one knew: no other activation has written, so none has settled the record. A write of the first one may be on its way.</para>
/// <para>A write of this activation without a known outcome may come into force late. It is fenced before a record is settled.</para>
/// <para>A store without a state of the grain has nothing to fence with. There a record is settled after
/// <see cref="UnfencedVisits"/> visits. A first write that comes into force later than that has no wake-up.</para>
/// </summary>
internal sealed class WakeUpRecords(TimeSpan delay)
{
    /// <summary>How often a record comes before it is settled without a fence, where the store has no state of the grain.</summary>
    public const int UnfencedVisits = 10;

    /// <summary>Of how many records the visits are remembered.</summary>
    public const int MaxVisits = 100;

    private const int MaxMissed = 10;

    private readonly HashSet<Guid> _own = [];
    // The records that came and are not settled: when they came first, and how often.
    private readonly Dictionary<Guid, (long Turn, int Count)> _visits = [];
    private Guid? _live;
    private TimeSpan _due;
    private int _missed;
    private bool _isLate;
    // Turns order arrivals, reads and writes. The last read that found nothing, and the last write that succeeded, by their beginnings.
    private long _turn;
    private long _lastLook;
    private long _lastWrite;

    /// <summary>Whether a record is to be stored before a write with messages.</summary>
    public bool NeedsRecord(TimeSpan now) => _live is null || now > _due + (delay * (1 << _missed));

    /// <summary>A record of this activation is stored.</summary>
    /// <param name="id">Its id.</param>
    /// <param name="began">When it began to be stored.</param>
    public void Stored(Guid id, TimeSpan began)
    {
        _missed = _live is null ? 0 : Math.Min(_missed + 1, MaxMissed);
        _live = id;
        _due = began + delay;
        _own.Add(id);
    }

    /// <summary>Gives the live record away, and when it is due; null for none.</summary>
    public (Guid Id, TimeSpan Due)? Leave()
    {
        if (_live is not { } id)
            return null;
        _live = null;
        _own.Remove(id);
        return (id, _due);
    }

    /// <summary>Takes the record that an activation before has left, and has stored or taken itself.</summary>
    public void TakeOver(Guid id, TimeSpan due)
    {
        (_live, _due, _missed, _isLate) = (id, due, 0, true);
        _own.Add(id);
    }

    /// <summary>A read or a write of the store begins; returns its turn.</summary>
    public long Begin() => ++_turn;

    /// <summary>A read has found no message in the store.</summary>
    public void FoundNothing(long turn) => _lastLook = Math.Max(_lastLook, turn);

    /// <summary>A write is in force. Earlier ones without a known outcome are, or cannot come into force any more.</summary>
    public void Wrote(long turn)
    {
        _lastWrite = Math.Max(_lastWrite, turn);
        _isLate = false;
    }

    /// <summary>A write has no known outcome, and may come into force later.</summary>
    public void Doubt() => _isLate = true;

    /// <summary>The store has a document that this activation has not written. Its own records are settled as those of others from now on:
    /// where a read was older than a write of this activation, the fence fails.</summary>
    public void Distrust()
    {
        _live = null;
        _own.Clear();
    }

    /// <summary>Answers a visit of a record.</summary>
    public WakeUpAnswer Answer(Guid id, TimeSpan now, OutboxView view)
    {
        if (_live == id)
            (_due, _missed) = (now + delay, 0);
        var (turn, count) = _visits.TryGetValue(id, out var known) ? known : (Begin(), 0);
        count++;
        var isUnfenceable = !view.HasRow && count > UnfencedVisits;
        var isFenced = _own.Contains(id) || _lastWrite > turn || isUnfenceable;
        var reliesOnAnother = _live is not null && _live != id && !NeedsRecord(now);
        var hasNothing = view is { IsWriting: false, IsInDoubt: false, HasPending: false }
            && (!_isLate || isUnfenceable) && _lastLook > turn;
        if (isFenced && (reliesOnAnother || hasNothing))
        {
            _visits.Remove(id);
            _own.Remove(id);
            if (_live == id)
                _live = null;
            return new WakeUpAnswer(IsSettled: true);
        }
        // A record whose visits are forgotten is settled later.
        if (count == 1 && _visits.Count >= MaxVisits)
            _visits.Remove(_visits.MinBy(static visit => visit.Value.Turn).Key);
        _visits[id] = (turn, count);
        var fences = view.HasRow && (!isFenced || _isLate);
        var looks = fences || view.IsInDoubt || (!view.IsWriting && (!view.HasPending || view.MayCleanUp));
        return new WakeUpAnswer(IsSettled: false, looks, fences);
    }
}
