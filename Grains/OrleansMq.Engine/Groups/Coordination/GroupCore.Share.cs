using OrleansMq.Api;
using OrleansMq.Coordination;

namespace OrleansMq.Groups.Coordination;

internal sealed partial class GroupCore
{
    // Whether the id belongs to a group of consumers, or to offsets.
    private bool IsOfConsumers => _membership.Classic is not null || _membership.Consumer is not null || !_offsets.IsEmpty;

    /// <summary>Carries out a request of share groups, and refuses what a share group does not know.</summary>
    /// <returns>False for a request to be carried out by the other parts.</returns>
    private bool HandleShare(CoordinatorRequest request)
    {
        switch (request.Body)
        {
            case FindShareCursors when IsOfConsumers:
                HoldConfirmed(request, _share.FindCursors() with { Error = ErrorCode.GroupIdNotFound, Message = IsNoShareGroup });
                return true;
            case ShareGroupHeartbeat or AlterShareGroup { MovesAny: true } when IsOfConsumers:
                HoldRefusal(request, new GroupReply(ErrorCode.GroupIdNotFound, IsNoShareGroup));
                return true;
            case ShareGroupHeartbeat heartbeat:
                Answer(request, _share.Heartbeat(heartbeat, request.FreshId, _topics, Now));
                return true;
            case AlterShareGroup alter:
                Hold(request, Alter(request, alter));
                return true;
            case FindShareCursors:
                // A leader creates and deletes cursors by it: not from memory alone.
                HoldConfirmed(request, _share.FindCursors());
                return true;
            case DescribeGroup when _share.State is not null:
                HoldFor(GroupDocuments.Group, request, _share.Describe(_groupId, _brokerId, _topics));
                return true;
            case JoinGroup or SyncGroup or LeaveGroup or Heartbeat when _share.State is not null:
                HoldRefusal(request, new GroupReply(ErrorCode.InconsistentGroupProtocol, IsShareGroup));
                return true;
            case ConsumerGroupHeartbeat or OffsetCommit or TransactionOffsetCommit or OffsetFetch or OffsetDelete
                when _share.State is not null:
                HoldRefusal(request, new GroupReply(ErrorCode.GroupIdNotFound, IsShareGroup));
                return true;
            default:
                return false;
        }
    }

    private GroupReply Alter(CoordinatorRequest request, AlterShareGroup alter)
    {
        var reply = _share.Alter(alter, request.FreshId, _topics, Now);
        // The last value of an id without a group was removed.
        if (IsBare && !HasRemains)
            Forget();
        return reply;
    }

    private string IsNoShareGroup => $"Group '{_groupId}' is not a share group: use another group id, or delete the group.";

    private string IsShareGroup => $"Group '{_groupId}' is a share group: consumers use another group id.";

    private void RemoveMember(string memberId)
    {
        if (_share.State is not null)
            _share.Remove(memberId);
        else
            _membership.Remove(memberId, _topics, Now);
    }
}
