namespace OrleansMq.Client;

/// <summary>What a member does about the answer to its heartbeat.</summary>
internal enum HeartbeatVerdict
{
    /// <summary>Not known.</summary>
    Unknown = 0,
    /// <summary>It is a member.</summary>
    Accepted = 1,
    /// <summary>Ask again, after a while; until the session ends it is a member.</summary>
    Retry = 2,
    /// <summary>It is not a member any more: give all up and join again.</summary>
    JoinAgain = 3,
    /// <summary>It cannot be a member.</summary>
    Fail = 4,
}

/// <summary>The consumer protocol's answers, judged.</summary>
internal static class HeartbeatJudgement
{
    public static HeartbeatVerdict For(ErrorCode code) => code switch
    {
        ErrorCode.None => HeartbeatVerdict.Accepted,
        ErrorCode.UnknownMemberId or ErrorCode.FencedMemberEpoch or ErrorCode.GroupIdNotFound => HeartbeatVerdict.JoinAgain,
        // The program that ran before under the same instance id did not leave: it is waited for until its session ends.
        ErrorCode.UnreleasedInstanceId => HeartbeatVerdict.Retry,
        // A fault of the coordinator's, which may be another by the next time; what is wrong with the request has a name.
        ErrorCode.UnknownServerError => HeartbeatVerdict.Retry,
        _ => code.Action() == ErrorAction.Retry ? HeartbeatVerdict.Retry : HeartbeatVerdict.Fail,
    };
}
