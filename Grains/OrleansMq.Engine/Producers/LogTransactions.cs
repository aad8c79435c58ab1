using OrleansMq.Diagnostics;
using OrleansMq.Records;

namespace OrleansMq.Producers;

/// <summary>
/// The transactions of a log: which are open, and which ended ones the high watermark may not have passed. Decides the last stable offset.
/// </summary>
/// <remarks>
/// Changed under the append lock, read by any thread: a lock of its own guards it. A log without transactions never takes it.
/// <code>
/// Began      --> open                                   holds the last stable offset at its first record
/// Committed  --> ended, until the high watermark has passed the marker
/// Aborted    --> ended, and an entry for the segment's index
/// </code>
/// </remarks>
internal sealed class LogTransactions
{
    private readonly Lock _lock = new();
    private SortedSet<OpenTransaction>? _open;
    private Dictionary<long, OpenTransaction>? _openOf;
    // In the order of their markers.
    private List<EndedTransaction>? _ended;
    // For the index of the segment that holds the marker; under the append lock.
    private Queue<AbortedTransaction>? _aborted;
    // Nothing is open, and nothing is being found again.
    private volatile bool _isQuiet = true;
    private volatile bool _hasAborted;
    private volatile bool _isUsed;
    private bool _isRebuilt;

    /// <summary>Whether a segment may have aborted transactions in its index.</summary>
    public bool HasAborted => _hasAborted;

    /// <summary>Whether the log has, or had, a transaction. Then each segment below the recovery point has an index.</summary>
    public bool IsUsed => _isUsed;

    /// <summary>The number of open transactions.</summary>
    public int OpenCount
    {
        get
        {
            lock (_lock)
                return _open?.Count ?? 0;
        }
    }

    /// <summary>Whether a producer has a transaction of an epoch open.</summary>
    public bool IsOpen(long producerId, short epoch)
    {
        if (_isQuiet)
            return false;
        lock (_lock)
            return _openOf is { } open && open.TryGetValue(producerId, out var transaction) && transaction.Epoch == epoch;
    }

    /// <summary>Returns the open transactions, in the order in which they began.</summary>
    public IReadOnlyList<OpenTransaction> Open()
    {
        if (_isQuiet)
            return [];
        lock (_lock)
            return _open is { Count: > 0 } ? [.. _open] : [];
    }

    /// <summary>Returns the last stable offset: no transaction that has a record below it is still undecided there.</summary>
    /// <param name="highWatermark">The high watermark, read before: a transaction that begins below it is known here by then.</param>
    public long StableOffset(long highWatermark)
    {
        if (_isQuiet)
            return highWatermark;
        lock (_lock)
        {
            if (_isRebuilt)
                return 0;
            var stable = highWatermark;
            if (_open is { Count: > 0 } open)
                stable = Math.Min(stable, open.Min.First);
            for (var i = (_ended?.Count ?? 0) - 1; i >= 0 && _ended![i].Marker >= highWatermark; i--)
                stable = Math.Min(stable, _ended[i].First);
            return stable;
        }
    }

    /// <summary>Applies what a batch in the log does. Under the append lock, in the order of the log.</summary>
    public void Apply(in TransactionChange change)
    {
        if (change.Step == TransactionStep.None)
            return;
        _isUsed = true;
        lock (_lock)
        {
            if (change.Step == TransactionStep.Began)
            {
                Begin(new OpenTransaction(change.First, change.ProducerId, change.Epoch, change.BeganAt));
                _isQuiet = false;
                return;
            }
            var isKnown = (_openOf?.Remove(change.ProducerId, out var open) ?? false) && open.First == change.First && _open!.Remove(open);
            Invariant.Check(isKnown, "A transaction ended that was not open.");
            (_ended ??= []).Add(new EndedTransaction(change.First, change.Marker));
            if (change.Step != TransactionStep.Aborted)
                return;
            var stable = _open!.Count > 0 ? _open.Min.First : change.Marker + 1;
            (_aborted ??= []).Enqueue(new AbortedTransaction(change.ProducerId, change.First, change.Marker, stable));
        }
        _hasAborted = true;
    }

    /// <summary>Takes the aborted transaction that a marker ended, for the index of its segment. Under the append lock.</summary>
    public bool TryTakeAborted(long marker, out AbortedTransaction aborted)
    {
        aborted = default;
        return _aborted is { Count: > 0 } queue && queue.Peek().Last == marker && queue.TryDequeue(out aborted);
    }

    /// <summary>Notes that a segment's index has entries.</summary>
    public void NoteAborted() => (_isUsed, _hasAborted) = (true, true);

    /// <summary>Notes that there were transactions: a producer's last one has ended.</summary>
    public void NoteUsed() => _isUsed = true;

    /// <summary>Forgets ended transactions whose marker is below the high watermark. Under the append lock.</summary>
    /// <returns>Whether there were any: the last stable offset may have passed them.</returns>
    public bool Advance(long highWatermark)
    {
        if (_isQuiet)
            return false;
        lock (_lock)
        {
            var decided = 0;
            while (decided < (_ended?.Count ?? 0) && _ended![decided].Marker < highWatermark)
                decided++;
            if (decided > 0)
                _ended!.RemoveRange(0, decided);
            _isQuiet = HasNone;
            return decided > 0;
        }
    }

    /// <summary>Returns the ended transactions whose marker the high watermark may not have passed. Under the append lock.</summary>
    public IReadOnlyList<EndedTransaction> Ended()
    {
        if (_isQuiet)
            return [];
        lock (_lock)
            return _ended is { Count: > 0 } ? [.. _ended] : [];
    }

    /// <summary>Forgets everything, before it is found again. Until <see cref="EndRebuild"/> nothing is stable.</summary>
    public void BeginRebuild()
    {
        lock (_lock)
        {
            (_isRebuilt, _isQuiet) = (true, false);
            _open?.Clear();
            _openOf?.Clear();
            _ended?.Clear();
        }
        _aborted?.Clear();
    }

    /// <summary>Takes what a snapshot tells. Within a rebuild.</summary>
    public void Restore(IEnumerable<OpenTransaction> open, IEnumerable<EndedTransaction> ended)
    {
        lock (_lock)
        {
            foreach (var transaction in open)
                Begin(transaction);
            foreach (var transaction in ended)
                (_ended ??= []).Add(transaction);
        }
    }

    // Under the lock.
    private bool HasNone => !_isRebuilt && (_open?.Count ?? 0) == 0 && (_ended?.Count ?? 0) == 0;

    private void Begin(in OpenTransaction transaction)
    {
        (_open ??= []).Add(transaction);
        (_openOf ??= []).Add(transaction.ProducerId, transaction);
    }

    /// <summary>Ends a rebuild. The segments' indexes have the aborted transactions that it found.</summary>
    public void EndRebuild()
    {
        _aborted?.Clear();
        lock (_lock)
        {
            _isRebuilt = false;
            _isQuiet = HasNone;
        }
    }
}
