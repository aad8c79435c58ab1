using System.Buffers.Binary;
using OrleansMq.Queues;
using OrleansMq.Records;

namespace OrleansMq.Dedupe;

/// <summary>
/// The message ids that a log remembers at its end, derived from its batches alone. It stands in <c>LogState</c> beside the producers.
/// </summary>
/// <remarks>
/// The leader writes a control batch of claims right before each batch whose records have ids: the ids, the leader's time, and the CRC of
/// the batch that follows. So the state needs neither the records nor their codec, and the time is a broker's.
/// <code>
/// unknown    -- claims at offset T      --> pending     the ids of the batch at T + 1 with the claims' CRC
/// pending    -- that batch              --> remembered
/// pending    -- any other batch         --> unknown     a crash or a truncation took the batch: its publish was not acknowledged
/// remembered -- statement               --> remembered  told again at the log's end, so that the log may start later
/// remembered -- claims of a later batch --> remembered  at its offset: the earlier one had left the window
/// remembered -- any "forget below"      --> unknown     left the window, or exceeded the number of ids: the leader decides, the log tells
/// </code>
/// Apply reads no clock and no configuration. The time goes on from the log's latest one, also where the leader's clock is behind that, and
/// begins anew when the topic has no window. The leader forgets with each change that it writes, so memory follows the window.
/// <para>Staged batches count as appended: a second publish of an id in the same write is a duplicate. If the write fails, the host fails
/// both.</para>
/// <para>The log keeps a claim and its batch until the id is forgotten or told again, and always the newest change. Compaction changes no
/// batch above that point, so the CRC of a batch whose ids count is that of its append.</para>
/// </remarks>
internal sealed class LogDedupe
{
    private const long Nowhere = -1;

    private readonly Dictionary<UInt128, Entry> _ids = [];
    // By the offsets of their records, from _first on, once sorted. An entry whose offset is not the id's any more says nothing.
    private readonly List<(long Offset, UInt128 Id)> _order = [];
    private int _first;
    private bool _isSorted = true;
    private readonly ReplacedPlaces _replaced = new();
    private readonly List<DedupeCapture> _captures = [];
    private readonly List<(RecordBatchHeader Header, DedupeChange? Change)> _staged = [];
    private readonly Dictionary<UInt128, long> _stagedIds = [];
    private (long At, DedupeClaims Claims)? _pending;
    private long _forgetBelow;
    private long _newestAt = Nowhere;
    // Up to where in _order the staged changes forget, and how many ids they do.
    private (int Next, int Forgotten)? _scanned;

    /// <summary>Whether the log has held a change.</summary>
    public bool IsUsed => _newestAt != Nowhere;

    /// <summary>The number of remembered ids.</summary>
    public int Count => _ids.Count;

    /// <summary>The time of the newest change, in milliseconds since 1970; 0 for none.</summary>
    public long LatestTime { get; private set; }

    /// <summary>Finds the record of an id, staged ones included.</summary>
    /// <param name="id">The id.</param>
    /// <param name="after">Ids that were appended at this time or before do not count, in milliseconds since 1970.</param>
    /// <returns>Its offset; null if there is none.</returns>
    public long? Find(UInt128 id, long after) => _stagedIds.TryGetValue(id, out var staged) ? staged
        : _ids.TryGetValue(id, out var entry) && entry.Time > after ? entry.Offset : null;

    /// <summary>Decides what the next change forgets. Staged ids count. They are themselves forgotten by a later write at the
    /// earliest.</summary>
    /// <param name="after">Ids that were appended at this time or before have left the window, in milliseconds since 1970.</param>
    /// <param name="most">The most ids that may be left.</param>
    /// <param name="early">The number of ids that are forgotten though they are in the window.</param>
    /// <returns>Ids of records below this offset are forgotten.</returns>
    public long ForgetBelow(long after, int most, out int early)
    {
        early = 0;
        var below = _forgetBelow;
        var isStaged = false;
        foreach (var (_, change) in _staged)
            (isStaged, below) = (isStaged || change is not null, Math.Max(below, change?.ForgetBelow ?? 0));
        Sort();
        // Changes of one write do not look at the same ids again.
        var (next, forgotten) = isStaged && _scanned is { } scanned ? scanned : (_first, 0);
        for (; next < _order.Count; next++)
        {
            var (offset, id) = _order[next];
            if (!_ids.TryGetValue(id, out var entry) || entry.Offset != offset)
                continue;
            if (offset >= below)
            {
                if (entry.Time > after)
                {
                    if (_ids.Count + _stagedIds.Count - forgotten <= most)
                        break;
                    early++;
                }
                below = offset + 1;
            }
            forgotten++;
        }
        _scanned = (next, forgotten);
        return below;
    }

    /// <summary>Returns a change that lets the log start at an offset, or forgets what has left the window; null: there is nothing to
    /// change. Only when no batch is staged.</summary>
    /// <param name="start">The offset.</param>
    /// <param name="after">Ids that were appended at this time or before have left the window, in milliseconds since 1970.</param>
    /// <param name="time">The leader's time, in milliseconds since 1970.</param>
    /// <param name="most">The most ids that it tells again. If it tells so many, the caller asks once more when it is in the log.</param>
    /// <param name="from">Ids of records below this offset were told by the statements before, which forgot what had left the window: only
    /// more ids are a reason for another one.</param>
    /// <param name="restartsTime">Whether the topic has no window: all is forgotten, and the time may go back.</param>
    public DedupeStatement? Restate(long start, long after, long time, int most, long from = 0, bool restartsTime = false)
    {
        if (!IsUsed)
            return null;
        var below = ForgetBelow(after, int.MaxValue, out _);
        _scanned = null;
        var ids = new List<RememberedId>();
        for (var i = IndexOf(Math.Max(from, below)); i < _order.Count && ids.Count < most; i++)
        {
            var (offset, id) = _order[i];
            if (offset >= below && _ids.TryGetValue(id, out var entry) && entry.Offset == offset && entry.At < start)
                ids.Add(new RememberedId(id, offset, entry.Time));
        }
        var isAhead = restartsTime && LatestTime > time;
        if (ids.Count == 0 && (from > 0 || (below == _forgetBelow && _newestAt >= start && !isAhead)))
            return null;
        return new DedupeStatement(below, isAhead ? time : Math.Max(time, LatestTime), ids);
    }

    // Of the first entry at or above an offset. Once sorted.
    private int IndexOf(long offset)
    {
        var (low, high) = (_first, _order.Count);
        while (low < high)
        {
            var middle = low + ((high - low) / 2);
            (low, high) = _order[middle].Offset < offset ? (middle + 1, high) : (low, middle);
        }
        return low;
    }

    /// <summary>Returns the number of ids that must be told again before the log may start at an offset.</summary>
    public int CountTold(long below)
    {
        var count = 0;
        foreach (var entry in _ids.Values)
            count += entry.At < below ? 1 : 0;
        return count;
    }

    /// <summary>Returns the highest offset at which the log may start.</summary>
    /// <param name="highWatermark">Changes below it are in force.</param>
    /// <returns><see cref="long.MaxValue"/> if the log never held a change.</returns>
    public long StartBound(long highWatermark)
    {
        if (!IsUsed)
            return long.MaxValue;
        var bound = Math.Min(_replaced.KeptFrom(highWatermark), _newestAt);
        foreach (var entry in _ids.Values)
            bound = Math.Min(bound, entry.At);
        return bound;
    }

    /// <summary>Notes a batch that the next write appends.</summary>
    /// <exception cref="UnknownTransitionException">A later version wrote it.</exception>
    /// <exception cref="InvalidDataException">Its bytes make no sense.</exception>
    public void Stage(in RecordBatchHeader header, ReadOnlySpan<byte> batch)
    {
        if (DedupeRecord.TryFind(header, batch, out var value))
        {
            var change = DedupeRecord.Decode(value);
            _staged.Add((header, change));
            if (change is DedupeClaims claims)
            {
                foreach (var (delta, id) in claims.Ids)
                    _stagedIds[id] = header.NextOffset + delta;
            }
        }
        else if (_staged.Count > 0 || _pending is not null)
        {
            _staged.Add((header, null));
        }
    }

    /// <summary>Applies the staged batches: they are in the log.</summary>
    public void Commit()
    {
        if (_staged.Count == 0)
            return;
        foreach (var (header, change) in _staged)
            Apply(header, change);
        Rollback();
    }

    /// <summary>Forgets the staged batches: they are not in the log, or are applied.</summary>
    public void Rollback()
    {
        _scanned = null;
        if (_staged.Count == 0)
            return;
        _staged.Clear();
        _stagedIds.Clear();
    }

    /// <summary>Applies a batch of the log. Batches come in the order of offsets.</summary>
    /// <param name="header">Its header.</param>
    /// <param name="batch">Its bytes; those of a control batch at least.</param>
    /// <exception cref="UnknownTransitionException">A later version wrote it: this replica cannot follow.</exception>
    /// <exception cref="InvalidDataException">Its bytes make no sense.</exception>
    public void Apply(in RecordBatchHeader header, ReadOnlySpan<byte> batch) =>
        Apply(header, DedupeRecord.TryFind(header, batch, out var value) ? DedupeRecord.Decode(value) : null);

    private void Apply(in RecordBatchHeader header, DedupeChange? change)
    {
        if (change is null)
            Follow(header);
        else
            Apply(header.BaseOffset, change);
    }

    private void Apply(long at, DedupeChange change)
    {
        _pending = null;
        var replaced = IsUsed ? _newestAt : long.MaxValue;
        _newestAt = at;
        replaced = Math.Min(replaced, Forget(change.ForgetBelow));
        // Without ids nothing is measured by the time before.
        LatestTime = _ids.Count == 0 && change is DedupeStatement { Ids.Count: 0 } ? change.Time : Math.Max(LatestTime, change.Time);
        if (change is DedupeClaims claims)
        {
            _pending = (at, claims);
        }
        else
        {
            foreach (var id in ((DedupeStatement)change).Ids)
                replaced = Math.Min(replaced, Remember(id, at));
        }
        if (replaced != long.MaxValue)
            _replaced.Add(at, replaced);
    }

    private void Follow(in RecordBatchHeader header)
    {
        if (_pending is not { } pending)
            return;
        _pending = null;
        if (header.BaseOffset != pending.At + 1 || header.Crc != pending.Claims.Crc)
            return;
        var replaced = long.MaxValue;
        foreach (var (delta, id) in pending.Claims.Ids)
            replaced = Math.Min(replaced, Remember(new RememberedId(id, header.BaseOffset + delta, pending.Claims.Time), pending.At));
        if (replaced != long.MaxValue)
            _replaced.Add(header.BaseOffset, replaced);
    }

    // Returns from where the state before needs the log. A statement may come late: an id that was forgotten or claimed anew stays so.
    private long Remember(in RememberedId id, long at)
    {
        var isKnown = _ids.TryGetValue(id.Id, out var known);
        if (id.Offset < _forgetBelow || (isKnown && known.Offset > id.Offset))
            return long.MaxValue;
        if (isKnown)
            Keep(id.Id, known);
        _ids[id.Id] = new Entry(id.Offset, id.Time, at);
        if (!isKnown || known.Offset != id.Offset)
        {
            _isSorted &= _order.Count == _first || _order[^1].Offset <= id.Offset;
            _order.Add((id.Offset, id.Id));
        }
        return isKnown ? known.At : long.MaxValue;
    }

    private long Forget(long below)
    {
        var replaced = long.MaxValue;
        if (below <= _forgetBelow)
            return replaced;
        _forgetBelow = below;
        Sort();
        for (; _first < _order.Count && _order[_first].Offset < below; _first++)
        {
            var (offset, id) = _order[_first];
            if (!_ids.TryGetValue(id, out var entry) || entry.Offset != offset)
                continue;
            Keep(id, entry);
            _ids.Remove(id);
            replaced = Math.Min(replaced, entry.At);
        }
        // The cost of moving the rest is spread over as many entries.
        if (_first > _order.Count / 2)
        {
            _order.RemoveRange(0, _first);
            _first = 0;
        }
        return replaced;
    }

    // A statement tells ids of records before those that are known, if the log starts between the two.
    private void Sort()
    {
        if (_isSorted)
            return;
        _order.Sort(_first, _order.Count - _first, Comparer<(long Offset, UInt128 Id)>.Default);
        _isSorted = true;
    }

    /// <summary>Begins a snapshot of what is remembered now, staged batches left out; see <see cref="DedupeCapture"/>. Under the append
    /// lock.</summary>
    /// <param name="end">The log's end.</param>
    public DedupeCapture Capture(long end)
    {
        Sort();
        var capture = new DedupeCapture(this, end, _ids.Count, _forgetBelow, _newestAt, _pending?.Claims);
        _captures.Add(capture);
        return capture;
    }

    /// <summary>A capture needs no more.</summary>
    public void End(DedupeCapture capture) => _captures.Remove(capture);

    /// <summary>Reads ids for a capture.</summary>
    /// <param name="from">The offset of the first.</param>
    /// <param name="end">The offset above the last. Ids that a change behind it tells are left out.</param>
    /// <param name="most">The most places that are looked at.</param>
    /// <param name="ids">Receives the ids.</param>
    /// <returns>The offset to go on at; <paramref name="end"/> if there are no more.</returns>
    public long Read(long from, long end, int most, List<CapturedId> ids)
    {
        Sort();
        for (var i = IndexOf(from); i < _order.Count && _order[i] is var (offset, id) && offset < end; i++)
        {
            if (most-- == 0)
                return offset;
            if (_ids.TryGetValue(id, out var entry) && entry.Offset == offset && entry.At < end)
                ids.Add(Captured(id, entry));
        }
        return end;
    }

    private static CapturedId Captured(UInt128 id, in Entry entry) => new(id, entry.Offset, entry.Time, entry.At);

    // Before an id changes.
    private void Keep(UInt128 id, in Entry entry)
    {
        foreach (var capture in _captures)
            capture.Keep(Captured(id, entry));
    }

    /// <summary>Decodes a snapshot.</summary>
    /// <returns>Null if it is damaged, or of another version: an older one serves, or none.</returns>
    public static LogDedupe? TryDecodeSnapshot(ReadOnlySpan<byte> bytes)
    {
        if (bytes.Length < DedupeCapture.BodyOffset || BinaryPrimitives.ReadInt16BigEndian(bytes) != DedupeCapture.Version
            || BinaryPrimitives.ReadUInt32BigEndian(bytes[DedupeCapture.CrcOffset..]) != Crc32C.Compute(bytes[DedupeCapture.BodyOffset..]))
            return null;
        var reader = new TransitionReader(bytes[DedupeCapture.BodyOffset..]);
        var state = new LogDedupe
        {
            _forgetBelow = reader.Number(),
            LatestTime = reader.Number(),
            _newestAt = reader.Number(),
        };
        if (reader.Bytes() is { Length: > 0 } pending)
            state._pending = (state._newestAt, (DedupeClaims)DedupeRecord.Decode(pending));
        for (var left = reader.Length(19); left > 0; left--)
        {
            var id = reader.Hash();
            var entry = new Entry(reader.Number(), reader.Number(), reader.Number());
            state._ids.Add(id, entry);
            // Those that changed while the snapshot was taken come last.
            state._isSorted &= state._order.Count == 0 || state._order[^1].Offset <= entry.Offset;
            state._order.Add((entry.Offset, id));
        }
        return state;
    }

    /// <summary>What is known of an id.</summary>
    /// <param name="Offset">Its record's offset.</param>
    /// <param name="Time">The leader's time of its append.</param>
    /// <param name="At">The offset of the control batch that tells of it.</param>
    private readonly record struct Entry(long Offset, long Time, long At);
}
