namespace OrleansMq.Client;

/// <summary>How a member reacts to a heartbeat response.</summary>
internal enum HeartbeatVerdict
{
    /// <summary>Unknown.</summary>
    Unknown = 0,
    /// <summary>The member remains a member.</summary>
    Accepted = 1,
    /// <summary>Retry after a backoff. Until the session times out it remains a member.</summary>
    Retry = 2,
    /// <summary>It is no longer a member: abandon all partitions and rejoin.</summary>
    JoinAgain = 3,
    /// <summary>It cannot be a member.</summary>
    Fail = 4,
}

/// <summary>Maps error codes of the consumer protocol to verdicts.</summary>
internal static class HeartbeatJudgement
{
    /// <param name="code">The response's error.</param>
    /// <param name="wasMember">Whether this process was a member before.</param>
    public static HeartbeatVerdict For(ErrorCode code, bool wasMember) => code switch
    {
        ErrorCode.None => HeartbeatVerdict.Accepted,
        ErrorCode.UnknownMemberId or ErrorCode.FencedMemberEpoch or ErrorCode.GroupIdNotFound => HeartbeatVerdict.JoinAgain,
        // While this process was no member, another one has joined with the same instance id: this one is fenced.
        ErrorCode.UnreleasedInstanceId when wasMember => HeartbeatVerdict.Fail,
        // A coordinator of an earlier version does not let a process take over: retry until the session of the former one ends.
        ErrorCode.UnreleasedInstanceId => HeartbeatVerdict.Retry,
        // A fault of the coordinator, which another coordinator may not have. Faults of the request have their own codes.
        ErrorCode.UnknownServerError => HeartbeatVerdict.Retry,
        _ => code.Action() == ErrorAction.Retry ? HeartbeatVerdict.Retry : HeartbeatVerdict.Fail,
    };

    /// <summary>Whether the coordinator may have seen a long poll break off: a proxy, a broker between, or the member itself ended it
    /// before the coordinator answered. A coordinator that is moving or loading has no poll, and begins with full sessions.</summary>
    /// <param name="code">The response's error; null where the member ended the poll.</param>
    public static bool MayHaveBrokenOff(ErrorCode? code) => code is null or ErrorCode.CoordinatorNotAvailable or ErrorCode.RequestTimedOut
        or ErrorCode.LeaderNotAvailable or ErrorCode.UnknownServerError;
}
