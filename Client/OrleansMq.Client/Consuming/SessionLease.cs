namespace OrleansMq.Client;

/// <summary>
/// How long a member may treat its partitions as assigned without a response from the coordinator: the session timeout, counted from when
/// the last answered request was <em>sent</em>. Responses may arrive in another order; the latest request counts. Checked before each
/// record, so that a process that was suspended does not continue with stale partitions.
/// </summary>
internal sealed class SessionLease(TimeProvider time, TimeSpan length)
{
    private const long Released = long.MinValue;

    private long _length = (long)(length.TotalSeconds * time.TimestampFrequency);
    private long _renewedAt = Released;

    /// <summary>Whether it has expired.</summary>
    public bool IsOver => Volatile.Read(ref _renewedAt) is var since && since != Released
        && time.GetTimestamp() - since > Volatile.Read(ref _length);

    /// <summary>The length of the lease.</summary>
    public TimeSpan Length => TimeSpan.FromSeconds((double)Volatile.Read(ref _length) / time.TimestampFrequency);

    /// <summary>Sets the lease to the coordinator's session timeout, but not beyond the member's own.</summary>
    /// <param name="session">The coordinator's.</param>
    /// <param name="own">The member's own; null for none.</param>
    /// <returns>Whether the lease was longer, and the member asked for that.</returns>
    public bool Follow(TimeSpan session, TimeSpan? own)
    {
        var length = (long)(session.TotalSeconds * time.TimestampFrequency);
        if (own is null)
            Volatile.Write(ref _length, length);
        if (length >= Volatile.Read(ref _length))
            return false;
        Volatile.Write(ref _length, length);
        return true;
    }

    /// <summary>Renews the lease after a response to a request sent at <paramref name="askedAt"/>, a value of
    /// <see cref="TimeProvider.GetTimestamp"/>.</summary>
    public void Renew(long askedAt)
    {
        long seen;
        while ((seen = Volatile.Read(ref _renewedAt)) < askedAt && Interlocked.CompareExchange(ref _renewedAt, askedAt, seen) != seen)
        {
        }
    }

    /// <summary>Ends the lease after this time unless it is renewed: the coordinator may end the session then.</summary>
    public void Shorten(TimeSpan left)
    {
        var renewedAt = time.GetTimestamp() + (long)(left.TotalSeconds * time.TimestampFrequency) - Volatile.Read(ref _length);
        long seen;
        while ((seen = Volatile.Read(ref _renewedAt)) > renewedAt && Interlocked.CompareExchange(ref _renewedAt, renewedAt, seen) != seen)
        {
        }
    }

    /// <summary>Suspends the lease while the membership holds no partition.</summary>
    public void Release() => Volatile.Write(ref _renewedAt, Released);
}
