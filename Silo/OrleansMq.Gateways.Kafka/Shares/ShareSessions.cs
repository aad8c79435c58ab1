namespace OrleansMq.Gateways.Kafka.Shares;

/// <summary>
/// The share sessions of a broker. Pure; for one caller at a time. A session's requests carry an epoch:
/// <code>
/// 0    opens a session; the member's former one ends
/// 1..  the next request of the session, of its connection
/// -1   closes it
/// </code>
/// Their number is bounded: above it the one that was not used for longest ends, if that is long enough, else no other is opened. A
/// connection has a part of them at most.
/// </summary>
/// <param name="most">The most sessions.</param>
/// <param name="mostOfConnection">The most sessions of a connection.</param>
/// <param name="idle">How long a session must be unused before another takes its place, in the unit of the times.</param>
internal sealed class ShareSessions<TReader>(int most, int mostOfConnection, long idle)
    where TReader : class
{
    /// <summary>The most partitions of all sessions. An entry takes some 100 bytes.</summary>
    public const int MostPartitions = 1_000_000;

    /// <summary>The most partitions of a connection's sessions.</summary>
    public const int MostPartitionsOfConnection = 50_000;

    /// <summary>The epoch that opens a session.</summary>
    public const int OpeningEpoch = 0;

    /// <summary>The epoch that closes a session.</summary>
    public const int ClosingEpoch = -1;

    private readonly Dictionary<ShareSessionKey, ShareSession<TReader>> _sessions = [];

    /// <summary>The number of sessions.</summary>
    public int Count => _sessions.Count;

    /// <summary>Opens a session.</summary>
    /// <param name="key">The member.</param>
    /// <param name="connection">The connection of the request.</param>
    /// <param name="now">The time.</param>
    /// <param name="ended">The session that gave way; null for none.</param>
    /// <returns>Null: there are too many.</returns>
    public ShareSession<TReader>? Open(ShareSessionKey key, object connection, long now, out ShareSession<TReader>? ended)
    {
        var isKnown = _sessions.Remove(key, out ended);
        if (!isKnown && _sessions.Values.Count(session => ReferenceEquals(session.Connection, connection)) >= mostOfConnection)
            return null;
        if (!isKnown && _sessions.Count >= most)
        {
            ended = RemoveUnused(now);
            if (ended is null)
                return null;
        }
        var session = new ShareSession<TReader>(key, connection) { UsedAt = now };
        _sessions.Add(key, session);
        return session;
    }

    /// <summary>Removes the session that was not used for longest.</summary>
    /// <returns>Null: all were used lately.</returns>
    public ShareSession<TReader>? RemoveUnused(long now)
    {
        var oldest = _sessions.Values.MinBy(static session => session.UsedAt);
        if (oldest is null || now - oldest.UsedAt < idle)
            return null;
        _sessions.Remove(oldest.Key);
        return oldest;
    }

    /// <summary>Whether a connection's sessions have as many partitions as they may.</summary>
    public bool IsFull(object connection) => OwnOf(connection) >= MostPartitionsOfConnection;

    /// <summary>Returns how many partitions of a connection's sessions are not known.</summary>
    public int UnknownOf(object connection, Func<SharePartitionId, bool> isKnown) => _sessions.Values
        .Where(session => ReferenceEquals(session.Connection, connection))
        .Sum(session => session.Partitions.Count(partition => !isKnown(partition)));

    private int OwnOf(object connection) =>
        _sessions.Values.Where(session => ReferenceEquals(session.Connection, connection)).Sum(static session => session.Count);

    /// <summary>Returns how many partitions may be added to a connection's sessions.</summary>
    public int RoomOf(object connection)
    {
        var all = _sessions.Values.Sum(static session => session.Count);
        return Math.Max(Math.Min(MostPartitions - all, MostPartitionsOfConnection - OwnOf(connection)), 0);
    }

    /// <summary>Finds the session of a request with an epoch above 0.</summary>
    /// <returns><see cref="ErrorCode.None"/>, <see cref="ErrorCode.ShareSessionNotFound"/> or
    /// <see cref="ErrorCode.InvalidShareSessionEpoch"/>.</returns>
    public ErrorCode Continue(ShareSessionKey key, object connection, int epoch, long now, out ShareSession<TReader>? session)
    {
        if (!TryFind(key, connection, out session))
            return ErrorCode.ShareSessionNotFound;
        if (!session!.TryAdvance(epoch))
            return ErrorCode.InvalidShareSessionEpoch;
        session.UsedAt = now;
        return ErrorCode.None;
    }

    /// <summary>Removes the session of a request that closes it.</summary>
    public ErrorCode Close(ShareSessionKey key, object connection, out ShareSession<TReader>? session)
    {
        if (!TryFind(key, connection, out session))
            return ErrorCode.ShareSessionNotFound;
        _sessions.Remove(key);
        return ErrorCode.None;
    }

    /// <summary>Removes the sessions of a connection that has ended.</summary>
    public IReadOnlyList<ShareSession<TReader>> EndOf(object connection)
    {
        ShareSession<TReader>[] ended = [.. _sessions.Values.Where(session => ReferenceEquals(session.Connection, connection))];
        foreach (var session in ended)
            _sessions.Remove(session.Key);
        return ended;
    }

    // A member that comes over another connection has lost what it held over the former.
    private bool TryFind(ShareSessionKey key, object connection, out ShareSession<TReader>? session) =>
        _sessions.TryGetValue(key, out session) && ReferenceEquals(session.Connection, connection);
}
