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

    /// <summary>Shortens the lease to the coordinator's session timeout. Returns true if the lease was longer.</summary>
    public bool Shorten(TimeSpan session)
    {
        var shorter = (long)(session.TotalSeconds * time.TimestampFrequency);
        if (shorter >= Volatile.Read(ref _length))
            return false;
        Volatile.Write(ref _length, shorter);
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

    /// <summary>Suspends the lease while the membership holds no partition.</summary>
    public void Release() => Volatile.Write(ref _renewedAt, Released);
}
