using OrleansMq.Api;
using OrleansMq.Coordination;
using OrleansMq.Groups.Offsets;

namespace OrleansMq.Groups.Coordination;

public sealed partial class GroupCore
{
    // A group without generations and members is remembered for the ids it gave out, and not stored.
    private bool IsOfPendingOnly => _classic is { State: { Generation: 0, State: GroupState.Empty } };

    /// <inheritdoc/>
    protected override IOwnedDocument ContentOf(int document) =>
        document == GroupDocuments.Group ? DocumentOfGroup() : new GroupOffsetsContent(Claim, _offsets);

    /// <inheritdoc/>
    /// <remarks>All members get a full session from now on.</remarks>
    protected override void AdoptState(StoredDocuments documents)
    {
        var stored = (StoredGroup)documents;
        var pending = _classic?.Round.Pending;
        _classic = stored.Group?.Classic is { } classic ? _rules.TakeOver(classic, Now) : null;
        if (_classic is not null && pending is not null)
            _classic = _classic with { Round = _classic.Round with { Pending = pending } };
        _consumer = stored.Group?.Consumer is { } consumer ? _rules.TakeOver(consumer, Now) : null;
        _offsets = stored.Offsets?.ToOffsets() ?? GroupOffsets.Empty;
        BeginSessions();
        FollowTopics(); // What has happened to topics since the group was stored.
        RemoveOffsetsOfTopics((topic, topicId) => IsVoid(topic, topicId));
    }

    /// <inheritdoc/>
    protected override void ForgetState()
    {
        (_classic, _consumer) = (null, null);
        _offsets = GroupOffsets.Empty;
    }

    private GroupDocument DocumentOfGroup() => new()
    {
        Coordinator = Claim,
        Type = _consumer is not null ? GroupType.Consumer : _classic is null || IsOfPendingOnly ? GroupType.Unknown : GroupType.Classic,
        Consumer = _consumer?.State,
        Classic = IsOfPendingOnly ? null : _classic?.State,
    };
}
