using OrleansMq.Api;
using OrleansMq.Groups.Classic;
using OrleansMq.Groups.Consumer;
using OrleansMq.Groups.Offsets;

namespace OrleansMq.Groups.Coordination;

public sealed partial class GroupCore
{
    private void Commit(GroupRequest request, OffsetCommit commit)
    {
        var refusal = _consumer is { } consumer ? _rules.CheckCommit(consumer.State, commit) : _rules.CheckCommit(_classic?.State, commit);
        if (refusal.Error != ErrorCode.None)
        {
            HoldForGroup(request, request.Body.Refuse(refusal.Error, refusal.Message!));
            return;
        }
        Touch(commit.MemberId);
        var outcome = _rules.Commit(_offsets, commit, _topics, _options, _now);
        if (!ReferenceEquals(outcome.Next, _offsets))
        {
            _offsets = outcome.Next;
            OffsetsChanged();
        }
        Hold(request, outcome.Reply, commit.MemberId);
    }

    private void Fetch(GroupRequest request, OffsetFetch fetch)
    {
        var refusal = _consumer is { } consumer ? ConsumerGroupDecision.CheckFetch(consumer.State, fetch)
            : ClassicGroupDecision.CheckFetch(_classic?.State, fetch);
        if (refusal.Error != ErrorCode.None)
            HoldForGroup(request, new OffsetFetchResult(refusal.Error, [], refusal.Message));
        else if (fetch.AllowStale)
            Hold(request, _rules.Fetch(_offsets, fetch, _topics));
        else
            HoldConfirmed(request, _rules.Fetch(_offsets, fetch, _topics));
    }

    private void DeleteOffsets(GroupRequest request, OffsetDelete delete)
    {
        if (!_exists)
        {
            HoldConfirmed(request, request.Body.Refuse(ErrorCode.GroupIdNotFound, NotFound));
            return;
        }
        if (HasMembers && SubscribedTopics() is null)
        {
            HoldForGroup(request, request.Body.Refuse(ErrorCode.NonEmptyGroup,
                "The group has members of another kind than consumers, so nobody knows what they read: stop them first."));
            return;
        }
        var outcome = OffsetDecision.Delete(_offsets, delete, _topics, SubscribedTopics() ?? NoTopics);
        if (!ReferenceEquals(outcome.Next, _offsets))
        {
            _offsets = outcome.Next;
            OffsetsChanged();
        }
        HoldConfirmed(request, outcome.Reply);
    }

    private static readonly HashSet<string> NoTopics = [];

    /// <summary>A newer image: offsets of topics that are gone are forgotten.</summary>
    private void OnTopics(GroupTopics topics)
    {
        var before = _topics;
        _topics = topics;
        if (_isDeposed || IsRecovering)
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
        OffsetsChanged();
    }

    /// <summary>Before a request is looked at: what a group without members has kept long enough is forgotten, and the group with its last
    /// offset. Done when somebody asks, so that idle groups cost nothing.</summary>
    private void ForgetWhatHasExpired()
    {
        if (!_exists || HasMembers)
            return;
        var emptySince = EmptySince;
        if (_options.OffsetsRetention is { } retention)
        {
            var next = OffsetDecision.Expire(_offsets, emptySince, retention, _now);
            if (!ReferenceEquals(next, _offsets))
            {
                _offsets = next;
                OffsetsChanged();
            }
        }
        var hasGivenIds = _classic is not null && !_classic.Round.Pending.IsEmpty;
        if (_offsets.IsEmpty && !hasGivenIds && emptySince + KeptWithoutOffsets <= _now)
            Forget();
    }

    // A group that has neither members nor offsets has nothing to keep; a while longer, so that who looks for it after its last member left
    // finds it.
    private static readonly TimeSpan KeptWithoutOffsets = TimeSpan.FromMinutes(10);

    private DateTimeOffset EmptySince => _consumer?.State.EmptySince ?? _classic?.State.EmptySince ?? DateTimeOffset.UnixEpoch;
}
