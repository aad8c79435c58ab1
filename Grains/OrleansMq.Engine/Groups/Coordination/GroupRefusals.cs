using OrleansMq.Api;

namespace OrleansMq.Groups.Coordination;

/// <summary>The answer that refuses a request, of the type that goes with it.</summary>
internal static class GroupRefusals
{
    public static object Refuse(object request, ErrorCode error, string message) => request switch
    {
        JoinGroup join => JoinGroupResult.Failed(error, message, join.MemberId),
        SyncGroup => new SyncGroupResult(error, message),
        LeaveGroup => new LeaveGroupResult(error, [], message),
        ConsumerGroupHeartbeat => ConsumerGroupHeartbeatResult.Failed(error, message),
        OffsetCommit commit => Refuse(commit, error, message),
        OffsetFetch => new OffsetFetchResult(error, [], message),
        OffsetDelete => new OffsetDeleteResult(error, [], message),
        _ => new GroupReply(error, message),
    };

    public static OffsetCommitResult Refuse(OffsetCommit commit, ErrorCode error, string? message) =>
        new([.. commit.Offsets.Select(offset => new PartitionError(offset.Topic, offset.Partition, error, offset.TopicId))], message);
}
