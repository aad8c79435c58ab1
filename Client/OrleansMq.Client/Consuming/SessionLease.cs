namespace OrleansMq.Client;

/// <summary>
/// How long a member may treat its partitions as assigned without a response from the coordinator: the session timeout, counted from when
/// the last answered request was <em>sent</em>. Checked before each record, so that a process that was suspended does not continue with
/// stale partitions.
/// </summary>
internal sealed class SessionLease(TimeProvider time, TimeSpan length)
{
    private long _length = (long)(length.TotalSeconds * time.TimestampFrequency);
    private long _until = long.MaxValue;

    /// <summary>Whether it has expired.</summary>
    public bool IsOver => time.GetTimestamp() > Volatile.Read(ref _until);

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
    public void Renew(long askedAt) => Volatile.Write(ref _until, askedAt + _length);

    /// <summary>Suspends the lease while the membership holds no partition.</summary>
    public void Release() => Volatile.Write(ref _until, long.MaxValue);
}
