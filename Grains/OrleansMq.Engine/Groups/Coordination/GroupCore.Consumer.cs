namespace OrleansMq.Groups.Coordination;

public sealed partial class GroupCore
{
    private void ConsumerHeartbeat(GroupRequest request, ConsumerGroupHeartbeat heartbeat) =>
        HoldForGroup(request, ConsumerGroupHeartbeatResult.Failed(ErrorCode.UnsupportedVersion, "This coordinator knows the classic protocol only."));

    private static JoinGroupResult? RefuseClassicJoin(JoinGroup join) => null;
}
