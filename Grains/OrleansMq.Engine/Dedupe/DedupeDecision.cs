namespace OrleansMq.Dedupe;

/// <summary>What becomes of a batch whose records have ids.</summary>
/// <param name="Kept">Which records are appended; null: all.</param>
/// <param name="LeftOut">How many records are duplicates.</param>
/// <param name="HasClaims">Whether claims precede the batch: a record that is appended has an id, or none is appended.</param>
/// <param name="FirstOriginal">The offset of the first duplicate's original; -1 for none.</param>
/// <param name="OriginalEnd">The offset after the last original in the log; -1 for none.</param>
internal readonly record struct DedupeDecision(bool[]? Kept, int LeftOut, bool HasClaims, long FirstOriginal, long OriginalEnd)
{
    /// <summary>Decides on a batch. Pure.</summary>
    /// <param name="ids">The id of each record, or <see cref="MessageIds.None"/>.</param>
    /// <param name="log">What the log remembers.</param>
    /// <param name="now">The leader's time, in milliseconds since 1970.</param>
    /// <param name="windowMs">The topic's <c>dedupe.window.ms</c>.</param>
    /// <remarks>Of several records of the batch with one id, the first is the original.</remarks>
    public static DedupeDecision Decide(UInt128[] ids, LogDedupe log, long now, long windowMs)
    {
        var after = WindowStart(log, now, windowMs);
        bool[]? kept = null;
        var (leftOut, hasClaims, firstOriginal, originalEnd) = (0, false, -1L, -1L);
        var seen = ids.Length > 1 ? new HashSet<UInt128>() : null;
        for (var i = 0; i < ids.Length; i++)
        {
            if (ids[i] == MessageIds.None)
                continue;
            var original = log.Find(ids[i], after);
            if (original is null && seen?.Add(ids[i]) != false)
            {
                hasClaims = true;
                continue;
            }
            if (kept is null)
            {
                kept = new bool[ids.Length];
                Array.Fill(kept, true);
            }
            kept[i] = false;
            if (leftOut++ == 0)
                firstOriginal = original ?? -1;
            originalEnd = Math.Max(originalEnd, original + 1 ?? -1);
        }
        return new DedupeDecision(kept, leftOut, hasClaims || leftOut == ids.Length, firstOriginal, originalEnd);
    }

    /// <summary>Returns the time at which the window begins: ids that were appended then or before do not count. A time before the log's
    /// latest one is taken as that.</summary>
    public static long WindowStart(LogDedupe log, long now, long windowMs)
    {
        var latest = Math.Max(now, log.LatestTime);
        return windowMs > latest ? -1 : latest - windowMs;
    }
}
