namespace OrleansMq.Gateways.Connections;

/// <summary>
/// Whether a client receives its answers at a reasonable pace: an answer that waits holds memory, or files. Each window in which sends
/// waited for the client, whenever that was looked at, must bring it <see cref="MinBytesPerSecond"/>. For one caller at a time.
/// </summary>
/// <param name="clock">The clock.</param>
/// <param name="window">How long a client is measured: some programs receive nothing while they work.</param>
internal sealed class SendPace(TimeProvider clock, TimeSpan window)
{
    /// <summary>Less than any network in use brings.</summary>
    public const int MinBytesPerSecond = 1 << 10;

    private long? _since;
    private long _sent;

    /// <summary>Looks at the connection. To be called several times within a window.</summary>
    /// <param name="isWaiting">Whether a send waits for the client to receive something.</param>
    /// <param name="sent">All bytes sent so far.</param>
    public bool IsTooSlow(bool isWaiting, long sent)
    {
        if (!isWaiting)
        {
            _since = null;
            return false;
        }
        if (_since is not { } since)
        {
            (_since, _sent) = (clock.GetTimestamp(), sent);
            return false;
        }
        var elapsed = clock.GetElapsedTime(since);
        if (elapsed < window)
            return false;
        var isTooSlow = sent - _sent < MinBytesPerSecond * elapsed.TotalSeconds;
        (_since, _sent) = (clock.GetTimestamp(), sent);
        return isTooSlow;
    }
}
