using OrleansMq.Api;
using OrleansMq.Coordination;
using OrleansMq.Groups.Classic;
using OrleansMq.Groups.Consumer;
using OrleansMq.Groups.Offsets;

namespace OrleansMq.Groups.Coordination;

public sealed partial class GroupCore
{
    private void Commit(CoordinatorRequest request, OffsetCommit commit)
    {
        var refusal = _consumer is { } consumer ? _rules.CheckCommit(consumer.State, commit) : _rules.CheckCommit(_classic?.State, commit);
        if (refusal.Error != ErrorCode.None)
        {
            HoldFor(GroupDocuments.Group, request, request.Body.Refuse(refusal.Error, refusal.Message!));
            return;
        }
        Touch(commit.MemberId);
        var outcome = _rules.Commit(_offsets, commit, _topics, _options, Now);
        if (!ReferenceEquals(outcome.Next, _offsets))
        {
            _offsets = outcome.Next;
            Changed(GroupDocuments.Offsets);
        }
        Hold(request, outcome.Reply, commit.MemberId);
    }

    private void Fetch(CoordinatorRequest request, OffsetFetch fetch)
    {
        var refusal = _consumer is { } consumer ? ConsumerGroupDecision.CheckFetch(consumer.State, fetch)
            : ClassicGroupDecision.CheckFetch(_classic?.State, fetch);
        if (refusal.Error != ErrorCode.None)
            HoldFor(GroupDocuments.Group, request, new OffsetFetchResult(refusal.Error, [], refusal.Message));
        else if (fetch.AllowStale)
            Hold(request, _rules.Fetch(_offsets, fetch, _topics));
        else
            HoldConfirmed(request, _rules.Fetch(_offsets, fetch, _topics));
    }

    private void DeleteOffsets(CoordinatorRequest request, OffsetDelete delete)
    {
        if (!Exists)
        {
            HoldConfirmed(request, request.Body.Refuse(ErrorCode.GroupIdNotFound, NotFound));
            return;
        }
        if (HasMembers && SubscribedTopics() is null)
        {
            HoldFor(GroupDocuments.Group, request, request.Body.Refuse(ErrorCode.NonEmptyGroup,
                "The group has members of another kind than consumers, so nobody knows what they read: stop them first."));
            return;
        }
        var outcome = OffsetDecision.Delete(_offsets, delete, _topics, SubscribedTopics() ?? NoTopics);
        if (!ReferenceEquals(outcome.Next, _offsets))
        {
            _offsets = outcome.Next;
            Changed(GroupDocuments.Offsets);
        }
        HoldConfirmed(request, outcome.Reply);
    }

    private static readonly HashSet<string> NoTopics = [];

    /// <summary>A newer image: offsets of topics that are gone are forgotten.</summary>
    private void OnTopics(GroupTopics topics)
    {
        var before = _topics;
        _topics = topics;
        if (IsDeposed || IsRecovering)
            return;
        FollowTopics();
        RemoveOffsetsOfTopics((topic, topicId) => IsVoid(topic, topicId)
            || (before.Find(topicId) is not null && topics.IsKnown && topics.Find(topicId) is null));
    }

    // A topic that merely is not in the image may be one that could not be read: its offsets stay.
    private bool IsVoid(string topic, Guid topicId) => _topics.IsDeleted(topicId) || _topics.IsReplaced(topic, topicId);

    private void RemoveOffsetsOfTopics(Func<string, Guid, bool> isGone)
    {
        var next = _offsets.WithoutTopics(isGone);
        if (ReferenceEquals(next, _offsets))
            return;
        _offsets = next;
        Changed(GroupDocuments.Offsets);
    }

    /// <summary>Before each request: expires the offsets that a group without members has kept long enough, and deletes the group with
    /// its last offset. Idle groups cost nothing.</summary>
    private void ForgetWhatHasExpired()
    {
        if (!Exists || HasMembers)
            return;
        var emptySince = EmptySince;
        if (_options.OffsetsRetention is { } retention)
        {
            var next = OffsetDecision.Expire(_offsets, emptySince, retention, Now);
            if (!ReferenceEquals(next, _offsets))
            {
                _offsets = next;
                Changed(GroupDocuments.Offsets);
            }
        }
        var hasGivenIds = _classic is not null && !_classic.Round.Pending.IsEmpty;
        if (_offsets.IsEmpty && !hasGivenIds && emptySince + KeptWithoutOffsets <= Now)
            Forget();
    }

    // A group without members and offsets has nothing to keep. It stays for a while, so that an operator finds it after the last member
    // left.
    private static readonly TimeSpan KeptWithoutOffsets = TimeSpan.FromMinutes(10);

    private DateTimeOffset EmptySince => _consumer?.State.EmptySince ?? _classic?.State.EmptySince ?? DateTimeOffset.UnixEpoch;
}
