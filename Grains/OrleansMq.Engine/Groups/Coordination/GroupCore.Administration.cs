using OrleansMq.Api;
using OrleansMq.Coordination;
using OrleansMq.Groups.Classic;
using OrleansMq.Groups.Consumer;

namespace OrleansMq.Groups.Coordination;

public sealed partial class GroupCore
{
    private string NotFound => $"There is no group '{_groupId}'.";

    private bool HasMembers =>
        _consumer is not null ? !_consumer.State.Members.IsEmpty : _classic is not null && !_classic.State.Members.IsEmpty;

    private void Describe(CoordinatorRequest request) =>
        HoldFor(GroupDocuments.Group, request, Exists ? Description() : new GroupReply(ErrorCode.GroupIdNotFound, NotFound));

    private GroupDescription Description() => _consumer is { } consumer
        ? ConsumerGroupDescription.Describe(_groupId, consumer.State, _topics, _brokerId) : _classic is { } group && !IsOfPendingOnly
        ? ClassicGroupDescription.Describe(_groupId, group.State, _brokerId)
        : new GroupDescription(_groupId, GroupType.Classic, GroupState.Empty, "", "", 0, 0, _brokerId, []);

    private void List(CoordinatorRequest request) =>
        HoldFor(GroupDocuments.Group, request, Exists ? DocumentOfGroup().ToListing(_groupId)
            : new GroupReply(ErrorCode.GroupIdNotFound, NotFound));

    private void Delete(CoordinatorRequest request)
    {
        if (!Exists)
        {
            HoldConfirmed(request, new GroupReply(ErrorCode.GroupIdNotFound, NotFound));
            return;
        }
        if (HasMembers)
        {
            HoldConfirmed(request, new GroupReply(ErrorCode.NonEmptyGroup, $"Group '{_groupId}' has members: stop them first."));
            return;
        }
        Forget();
        Hold(request, default(GroupReply));
    }

    /// <summary>The topics that members are subscribed to; null where they are of another kind than consumers.</summary>
    private IReadOnlySet<string>? SubscribedTopics() => _consumer is not null ? ConsumerGroupDescription.SubscribedTopics(_consumer.State)
        : _classic is null ? NoTopics : ClassicGroupDescription.SubscribedTopics(_classic.State);
}
