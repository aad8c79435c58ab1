using OrleansMq.Diagnostics;

namespace OrleansMq.Log;

/// <summary>
/// A log's segments in the order of their offsets. The last one is active: appends go there. Neighbours leave no room between them: a
/// segment ends where the next begins.
/// </summary>
/// <remarks>
/// The array is replaced, never changed, so that readers need no lock: they take <see cref="All"/> once and search that. A segment may
/// leave the list while a reader is in it; see <see cref="Segment.IsRemoved"/>. Every change is made under <see cref="AppendLock"/>. A
/// change that takes segments out is made under <see cref="RemovalLock"/>, too.
/// <code>
/// Set               the log was opened or emptied
/// Add               it rolls
/// RemoveFirst       its start moved (retention, delete-records)
/// KeepFirst         it was cut (recovery, truncation)
/// Replace           compaction puts one segment in the place of neighbours
/// </code>
/// </remarks>
internal sealed class SegmentList
{
    private volatile Segment[] _all = [];
    private volatile int _cuts;

    /// <summary>Guards which segments leave the list. Compaction holds it while it exchanges segments. Taken before
    /// <see cref="AppendLock"/>.</summary>
    public Lock RemovalLock { get; } = new();

    /// <summary>Guards the list, the active segment and with it the log's end, and the log's <see cref="LogState"/>.</summary>
    public Lock AppendLock { get; } = new();

    /// <summary>Raised when a cut of the log begins, and when it has ended: odd while one is under way, or has ended half-way. What was
    /// prepared before, by a flush or a cleaning, refers to bytes that are gone, and gives up. It changes under the removal lock, the
    /// append lock and the flush lock, before the files do and after.</summary>
    public int Cuts => _cuts;

    /// <summary>Whether the log was being cut at some time since a caller read <see cref="Cuts"/>.</summary>
    public bool WasCutSince(int cuts) => (cuts & 1) != 0 || cuts != _cuts;

    /// <summary>All segments, oldest first; never empty once the log is open. Not to be changed.</summary>
    public Segment[] All => _all;

    /// <summary>The segment that is appended to.</summary>
    public Segment Active => _all[^1];

    /// <summary>The position of the log's end. Under <see cref="AppendLock"/>.</summary>
    public LogPosition End
    {
        get
        {
            var active = Active;
            return new LogPosition(active.NextOffset, active.BaseOffset, active.Size);
        }
    }

    /// <summary>The size of all segments' logs in bytes.</summary>
    public long SizeInBytes
    {
        get
        {
            var sum = 0L;
            foreach (var segment in _all)
                sum += segment.Size;
            return sum;
        }
    }

    /// <summary>
    /// Returns the index of the segment that would hold an offset: the last one that does not begin above it. Returns 0 for an offset below
    /// all.
    /// </summary>
    public static int Find(Segment[] segments, long offset)
    {
        int low = 0, high = segments.Length - 1;
        while (low < high)
        {
            var middle = low + (high - low + 1) / 2;
            if (segments[middle].BaseOffset <= offset)
                low = middle;
            else
                high = middle - 1;
        }
        return low;
    }

    /// <summary>Notes that the log is about to be cut or emptied.</summary>
    public void BeginCut() => _cuts = (_cuts + 1) | 1;

    /// <summary>Notes that a cut has ended, or has changed nothing.</summary>
    public void EndCut() => _cuts = (_cuts + 1) & ~1;

    /// <summary>Replaces the whole list.</summary>
    public void Set(Segment[] segments) => _all = segments;

    /// <summary>Adds the segment that becomes active.</summary>
    public void Add(Segment segment) => _all = [.. _all, segment];

    /// <summary>Removes the oldest segments, and returns them.</summary>
    public Segment[] RemoveFirst(int count)
    {
        var all = _all;
        Invariant.Check(count < all.Length, "The active segment was removed from the list.");
        _all = all[count..];
        return all[..count];
    }

    /// <summary>Removes all segments but the oldest <paramref name="count"/>.</summary>
    public void KeepFirst(int count)
    {
        Invariant.Check(count > 0, "All segments were removed from the list.");
        _all = _all[..count];
    }

    /// <summary>Returns the index of the first of some neighbours; -1 if the list does not hold all of them, or one of them is
    /// active.</summary>
    public int IndexOf(IReadOnlyList<Segment> neighbours)
    {
        var all = _all;
        var first = Array.IndexOf(all, neighbours[0]);
        if (first < 0 || first + neighbours.Count >= all.Length)
            return -1;
        for (var i = 1; i < neighbours.Count; i++)
        {
            if (!ReferenceEquals(all[first + i], neighbours[i]))
                return -1;
        }
        return first;
    }

    /// <summary>Puts one segment in the place of <paramref name="count"/> others.</summary>
    public void Replace(int first, int count, Segment replacement)
    {
        var all = _all;
        _all = [.. all[..first], replacement, .. all[(first + count)..]];
    }
}
