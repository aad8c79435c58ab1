
namespace OrleansMq.Log;

// What compaction needs of a log: durable ground, and the exchange of segments.
internal sealed partial class SegmentedLog
{
    /// <summary>
    /// Makes all that is in the log now durable, and the segments before the active one free to be replaced: neither slot of the
    /// checkpoint speaks of
    /// them any more.
    /// </summary>
    public void SecureForCompaction()
    {
        MoveRecoveryPoint();
        lock (_flushLock)
        {
            WriteCheckpoint();
            WriteCheckpoint();
        }
    }

    /// <summary>The last offset that each known producer wrote.</summary>
    public Dictionary<long, long> LastOffsetsOfProducers()
    {
        lock (AppendLock)
        {
            var offsets = new Dictionary<long, long>(State.Producers.Count);
            foreach (var (id, state) in State.Producers.Producers)
            {
                if (state.Count > 0)
                    offsets[id] = state[0].LastOffset;
            }
            return offsets;
        }
    }

    /// <summary>
    /// Puts a cleaned segment in the place of neighbours: see <see cref="SegmentSwap"/> for the steps.
    /// </summary>
    /// <param name="old">Neighbours, none of them active.</param>
    /// <param name="cleaned">Flushed, under names that end in <c>.cleaned</c>, with the base offset of the first of them.</param>
    /// <param name="now">Milliseconds since 1970.</param>
    /// <returns>False, with nothing done, when some of them are no longer in the log.</returns>
    /// <exception cref="SegmentSwapException">The disk failed half-way.</exception>
    public bool Replace(IReadOnlyList<Segment> old, Segment cleaned, long now)
    {
        lock (_removalLock)
        {
            var segments = _segments;
            var first = Array.IndexOf(segments, old[0]);
            if (first < 0 || first + old.Count >= segments.Length || !segments.AsSpan(first, old.Count).SequenceEqual(old.ToArray()))
                return false;
            var end = segments[first + old.Count].BaseOffset;
            Swap(old, cleaned, end);
            cleaned.Found(cleaned.Size, end, flushed: true);
            lock (AppendLock)
                _segments = [.. _segments[..first], cleaned, .. _segments[(first + old.Count)..]];
            foreach (var segment in old)
                DieLater(segment, now);
        }
        DeleteDying(now);
        return true;
    }

    private void Swap(IReadOnlyList<Segment> old, Segment cleaned, long end)
    {
        try
        {
            cleaned.RenameAll(SegmentSwap.SuffixFor(end));
            _ports.Files.FlushDirectory(Directory);
            foreach (var segment in old)
                segment.Remove();
            _ports.Files.FlushDirectory(Directory);
            cleaned.RenameAll("");
            _ports.Files.FlushDirectory(Directory);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw new SegmentSwapException(Directory, exception);
        }
    }
}
