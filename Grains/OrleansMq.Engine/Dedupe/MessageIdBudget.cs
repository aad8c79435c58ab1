namespace OrleansMq.Dedupe;

/// <summary>
/// The message ids that all partitions of a broker remember, and their bound. Above it a leader makes room in its own partition, by
/// forgetting the oldest ids early: a partition below its share of the bound goes on to remember more, one above it gives way. What
/// followers remember counts, too; their leaders decide about it. Partitions report with each claim and from time to time. Thread safe.
/// </summary>
/// <remarks>
/// A partition that remembers nothing new does not give way: its ids leave with their window. So there are at most about twice as many as
/// the bound: what such partitions have, and a share for each of the others.
/// </remarks>
/// <param name="most">The bound.</param>
internal sealed class MessageIdBudget(int most)
{
    private long _remembered;
    private int _holders;

    /// <summary>The number of ids, as last reported.</summary>
    public long Remembered => Interlocked.Read(ref _remembered);

    /// <summary>A partition remembers another number of ids.</summary>
    /// <param name="before">What it reported before.</param>
    /// <param name="now">What it remembers.</param>
    public void Report(int before, int now)
    {
        Interlocked.Add(ref _remembered, now - before);
        if ((before > 0) != (now > 0))
            Interlocked.Add(ref _holders, now > 0 ? 1 : -1);
    }

    /// <summary>Decides how many ids a partition may keep when it adds some.</summary>
    /// <param name="own">The number that it remembers, as reported.</param>
    /// <param name="added">The number that it adds.</param>
    /// <returns>The most that may be left beside them.</returns>
    public int Allow(int own, int added) =>
        Allow(own, added, Interlocked.Read(ref _remembered), Math.Max(Volatile.Read(ref _holders), 1), most);

    /// <inheritdoc cref="Allow(int, int)"/>
    /// <param name="own">The number that it remembers, as reported.</param>
    /// <param name="added">The number that it adds.</param>
    /// <param name="all">The number that all partitions remember.</param>
    /// <param name="holders">The number of partitions that remember some.</param>
    /// <param name="most">The bound.</param>
    public static int Allow(int own, int added, long all, int holders, int most)
    {
        var share = most / holders;
        if (all + added <= most || own + added <= share)
            return int.MaxValue;
        // As many again as are added, down to its share.
        return Math.Max(0, Math.Max(share - added, own - (2 * added)));
    }
}
