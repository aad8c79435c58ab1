using OrleansMq.Api;

namespace OrleansMq.Access;

/// <summary>What a session needs to be allowed on a group, to send each request.</summary>
internal static class GroupRules
{
    /// <summary>The operation of a request. One that is not in this list needs <see cref="AccessOperation.Alter"/> of the group, which no
    /// member has.</summary>
    public static AccessOperation OperationOf(IGroupRequest request) => request switch
    {
        JoinGroup or SyncGroup or Heartbeat or LeaveGroup or ConsumerGroupHeartbeat or OffsetCommit => AccessOperation.Read,
        OffsetFetch or DescribeGroup or ListGroup => AccessOperation.Describe,
        OffsetDelete or DeleteGroup => AccessOperation.Delete,
        _ => AccessOperation.Alter,
    };
}
