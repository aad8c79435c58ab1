using System.Runtime.CompilerServices;
using OrleansMq.Diagnostics;
using OrleansMq.Gateways.Kafka.Requests;
using OrleansMq.Shares;

namespace OrleansMq.Gateways.Kafka.Shares;

/// <summary>The share sessions of the gateway. A session ends with its connection. Thread safe; a session is used by one request at a time,
/// since those of a connection follow each other.</summary>
internal sealed class ShareServer(TimeProvider time, EngineLog log)
{
    private const int MostSessions = 2_000;
    // A client has one; a proxy's connection serves several.
    private const int MostOfConnection = 100;

    private static readonly TimeSpan Idle = TimeSpan.FromMinutes(2);

    private readonly Lock _lock = new();
    // The connections whose end is followed.
    private readonly ConditionalWeakTable<object, object> _followed = [];
    private readonly ShareSessions<ShareReader> _sessions = new(MostSessions, MostOfConnection, (long)Idle.TotalMilliseconds);

    /// <summary>The configurations of the groups.</summary>
    public ShareConfigs Configs { get; } = new(time);

    /// <summary>The look-ups of where groups begin.</summary>
    public ShareStartLookUps Starts { get; } = new(time);

    /// <summary>The line of a group that is not served in a partition: there are too many, or its dead-letter topic is missing.</summary>
    public RareLine NotServed { get; } = new(log, time);

    /// <summary>Finds, opens or closes the session of a request.</summary>
    /// <param name="context">The request.</param>
    /// <param name="key">The member.</param>
    /// <param name="epoch">The request's epoch.</param>
    /// <param name="session">The session; one that is being closed is the caller's to end.</param>
    public ErrorCode Enter(RequestContext context, ShareSessionKey key, int epoch, out ShareSession<ShareReader>? session)
    {
        var now = Now;
        ShareSession<ShareReader>? ended = null;
        ErrorCode error;
        lock (_lock)
        {
            switch (epoch)
            {
                case ShareSessions<ShareReader>.OpeningEpoch:
                    session = _sessions.Open(key, context.Connection, now, out ended);
                    error = session is null ? ErrorCode.ShareSessionLimitReached : ErrorCode.None;
                    break;
                case ShareSessions<ShareReader>.ClosingEpoch:
                    error = _sessions.Close(key, context.Connection, out session);
                    break;
                default:
                    error = _sessions.Continue(key, context.Connection, epoch, now, out session);
                    break;
            }
        }
        if (ended is not null)
            End(ended);
        if (epoch == ShareSessions<ShareReader>.OpeningEpoch && session is not null
            && _followed.TryAdd(context.Connection, context.Connection))
            context.Aborted.UnsafeRegister(connection => EndOf(connection!), context.Connection);
        // It ended before it had this session.
        if (context.Aborted.IsCancellationRequested)
            EndOf(context.Connection);
        return error;
    }

    /// <summary>Adds a request's partitions to its session.</summary>
    /// <param name="session">The session.</param>
    /// <param name="partitions">The partitions.</param>
    /// <param name="isKnown">Whether there is a partition: others have a small part of the room, so that invented ones do not use it
    /// up.</param>
    /// <param name="refused">Receives those that are not known, and are too many.</param>
    /// <returns>False: there are too many.</returns>
    public bool TryAdd(ShareSession<ShareReader> session, IEnumerable<SharePartitionId> partitions, Func<SharePartitionId, bool> isKnown,
        ICollection<SharePartitionId> refused)
    {
        var (room, unknown) = (-1, -1);
        foreach (var partition in partitions)
        {
            if (session.Contains(partition))
                continue;
            if (!isKnown(partition))
            {
                if (unknown < 0)
                {
                    lock (_lock)
                        unknown = _sessions.UnknownOf(session.Connection, isKnown);
                }
                if (unknown++ >= ShareSession<ShareReader>.MostRefused)
                {
                    refused.Add(partition);
                    continue;
                }
            }
            if (room <= 0)
                room = MakeRoom(session.Connection);
            if (room-- == 0 || !session.TryAdd(partition))
                return false;
        }
        return true;
    }

    // Sessions that were not used for long give way.
    private int MakeRoom(object connection)
    {
        while (true)
        {
            ShareSession<ShareReader>? unused;
            lock (_lock)
            {
                if (_sessions.RoomOf(connection) is > 0 and var room)
                    return room;
                unused = _sessions.IsFull(connection) ? null : _sessions.RemoveUnused(Now);
            }
            if (unused is null)
                return 0;
            End(unused);
        }
    }

    private long Now => (long)time.GetElapsedTime(0, time.GetTimestamp()).TotalMilliseconds;

    /// <summary>Ends a session's readers: what they hold is delivered to others.</summary>
    public static void End(ShareSession<ShareReader> session)
    {
        foreach (var reader in session.End())
            reader.Close();
    }

    private void EndOf(object connection)
    {
        IReadOnlyList<ShareSession<ShareReader>> ended;
        lock (_lock)
            ended = _sessions.EndOf(connection);
        foreach (var session in ended)
            End(session);
    }
}
