namespace OrleansMq.Gateways.Kafka.Apis;

/// <summary>Error codes in words that older versions of a request know.</summary>
internal static class GroupErrors
{
    /// <summary>Of a commit.</summary>
    public static ErrorCode ForCommit(ErrorCode error, short version) => error switch
    {
        // Members of the consumer protocol send version 9 or higher, and know these.
        ErrorCode.StaleMemberEpoch or ErrorCode.FencedMemberEpoch when version < 9 => ErrorCode.IllegalGeneration,
        ErrorCode.UnknownTopicId when version < 10 => ErrorCode.UnknownTopicOrPartition,
        _ => error,
    };

    /// <summary>Of reading committed offsets.</summary>
    public static ErrorCode ForFetch(ErrorCode error, short version) => error switch
    {
        ErrorCode.StaleMemberEpoch or ErrorCode.FencedMemberEpoch when version < 9 => ErrorCode.UnknownMemberId,
        _ => error,
    };
}
