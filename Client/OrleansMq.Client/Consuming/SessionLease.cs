namespace OrleansMq.Client;

/// <summary>
/// Until when a member may take its partitions for its own without hearing from the coordinator: a session's length after it last
/// <em>asked</em> and was answered. Looked at before each record, so that a process that was suspended does not go on where it stood.
/// </summary>
internal sealed class SessionLease(TimeProvider time, TimeSpan length)
{
    private long _length = (long)(length.TotalSeconds * time.TimestampFrequency);
    private long _until = long.MaxValue;

    /// <summary>Whether it has run out.</summary>
    public bool IsOver => time.GetTimestamp() > Volatile.Read(ref _until);

    /// <summary>How long it is.</summary>
    public TimeSpan Length => TimeSpan.FromSeconds((double)Volatile.Read(ref _length) / time.TimestampFrequency);

    /// <summary>The coordinator's session is of that length: the lease is no longer. True where it was.</summary>
    public bool Shorten(TimeSpan session)
    {
        var shorter = (long)(session.TotalSeconds * time.TimestampFrequency);
        if (shorter >= Volatile.Read(ref _length))
            return false;
        Volatile.Write(ref _length, shorter);
        return true;
    }

    /// <summary>The coordinator has answered what was asked at a time of <see cref="TimeProvider.GetTimestamp"/>.</summary>
    public void Renew(long askedAt) => Volatile.Write(ref _until, askedAt + _length);

    /// <summary>There is nothing to lose: no partition is held by the membership.</summary>
    public void Release() => Volatile.Write(ref _until, long.MaxValue);
}
