namespace OrleansMq.Gateways.Kafka.Apis;

/// <summary>Translates error codes to those that older versions of a request know.</summary>
internal static class GroupErrors
{
    /// <summary>Translates an error of a commit.</summary>
    public static ErrorCode ForCommit(ErrorCode error, short version) => error switch
    {
        // Members of the consumer protocol send version 9 or higher, which knows these errors.
        ErrorCode.StaleMemberEpoch or ErrorCode.FencedMemberEpoch when version < 9 => ErrorCode.IllegalGeneration,
        ErrorCode.UnknownTopicId when version < 10 => ErrorCode.UnknownTopicOrPartition,
        _ => error,
    };

    /// <summary>Translates an error of an offset fetch.</summary>
    public static ErrorCode ForFetch(ErrorCode error, short version) => error switch
    {
        ErrorCode.StaleMemberEpoch or ErrorCode.FencedMemberEpoch when version < 9 => ErrorCode.UnknownMemberId,
        _ => error,
    };
}
