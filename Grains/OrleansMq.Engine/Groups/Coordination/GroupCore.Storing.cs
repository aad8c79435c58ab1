using OrleansMq.Api;
using OrleansMq.Diagnostics;
using OrleansMq.Groups.Offsets;

namespace OrleansMq.Groups.Coordination;

public sealed partial class GroupCore
{
    // How long to wait before what is stored is read again after a read that failed: short at first, since most failures pass at once;
    // bounded, so that a group is back soon after its store is.
    private static readonly TimeSpan FirstReadDelay = TimeSpan.FromMilliseconds(100);
    private static readonly TimeSpan LongestReadDelay = TimeSpan.FromSeconds(5);

    private readonly List<HeldReply> _held = [];
    private (long Group, long Offsets, long Confirmed) _lookedAtFor;
    private int _lookedAt;
    private readonly DocumentVersions _groupVersions = new();
    private readonly DocumentVersions _offsetsVersions = new();
    private CoordinatorClaim _claim;
    // Whether the stored group document carries our claim; until then nothing is written to the offsets.
    private bool _isGroupClaimed;
    private bool _wasEverClaimed;
    private bool _mustRead;
    private bool _isReading;
    private DateTimeOffset? _readAgainAt;
    private TimeSpan _readDelay = FirstReadDelay;

    private bool IsRecovering => _mustRead || _isReading || _readAgainAt is not null;

    private bool IsStoring => IsRecovering || _groupVersions.IsBehind || _offsetsVersions.IsBehind;

    /// <summary>The working state's members, generation or kind changed.</summary>
    private void GroupChanged()
    {
        if (!_exists)
        {
            _exists = true;
            _offsetsVersions.ChangeAndServeFromThere(); // The first write claims both, so that no older coordinator can write either.
        }
        _groupVersions.Change();
    }

    /// <summary>The working offsets changed.</summary>
    private void OffsetsChanged()
    {
        if (!_exists)
            GroupChanged();
        else
            _offsetsVersions.Change();
    }

    /// <summary>The group is deleted.</summary>
    private void Forget()
    {
        _exists = false;
        (_classic, _consumer) = (null, null);
        _offsets = GroupOffsets.Empty;
        _groupVersions.Change();
        _offsetsVersions.Change();
    }

    /// <summary>
    /// Writes what has changed, one write in flight for each document. A claim goes to the group first and to the offsets when it is
    /// stored; a delete the other way round: so there are never offsets without a group, and listing groups finds all.
    /// </summary>
    private void IssueWrites()
    {
        if (IsRecovering)
        {
            if (_mustRead && !_groupVersions.IsInFlight && !_offsetsVersions.IsInFlight)
            {
                (_mustRead, _isReading) = (false, true);
                _effects.Add(new ReadStored());
            }
            return;
        }
        if (_exists)
        {
            if (_groupVersions.TryBegin(isDelete: false, out var version))
                Issue(_groupVersions, new Store(GroupDocumentKind.Group, version, DocumentOfGroup(), null));
            if (_isGroupClaimed && _offsetsVersions.TryBegin(isDelete: false, out version))
                Issue(_offsetsVersions, new Store(GroupDocumentKind.Offsets, version, null, new GroupOffsetsContent(_claim, _offsets)));
            return;
        }
        if (_offsetsVersions.TryBegin(isDelete: true, out var deleted))
            Issue(_offsetsVersions, new Store(GroupDocumentKind.Offsets, deleted, null, null));
        if (!_offsetsVersions.IsBehind && _groupVersions.TryBegin(isDelete: true, out deleted))
            Issue(_groupVersions, new Store(GroupDocumentKind.Group, deleted, null, null));
    }

    private void Issue(DocumentVersions versions, Store write)
    {
        versions.Operation = Begin(versions.IsDelete);
        _effects.Add(write);
    }

    private void OnStored(StoreCompleted stored)
    {
        var versions = VersionsOf(stored.Document);
        var wasDelete = versions.IsDelete;
        versions.Complete(stored.Version, _rules);
        Confirmed(versions.Operation);
        if (stored.Document == GroupDocumentKind.Group)
        {
            _isGroupClaimed = !wasDelete;
            _wasEverClaimed |= _isGroupClaimed;
        }
    }

    private void OnStoreFailed(StoreFailed failed)
    {
        VersionsOf(failed.Document).Fail();
        if (_isDeposed)
            return;
        Log(EngineLogLevel.Warning, $"its document '{failed.Document}' may not be stored; it is read again, and what was not acknowledged "
            + $"is forgotten: {failed.Reason}");
        _mustRead = _rules.MustReadAfter(failed);
        _isContested |= failed.IsConflict;
        FailAll(ErrorCode.CoordinatorNotAvailable, $"The group's state could not be stored; retry: {failed.Reason}");
    }

    private void OnRead(StoredGroup stored)
    {
        (_isReading, _readDelay) = (false, FirstReadDelay);
        if (IsOthers(stored.Group?.Coordinator) || IsOthers(stored.Offsets?.Coordinator))
        {
            _isDeposed = true;
            Log(EngineLogLevel.Information, "another coordinator owns it.");
            FailAll(ErrorCode.NotCoordinator, "Another broker coordinates the group: find the coordinator, and retry.");
            _effects.Add(new Deposed());
            return;
        }
        Adopt(stored);
    }

    private bool IsOthers(CoordinatorClaim? writer) =>
        writer is { } other && _rules.IsOthers(other, _claim, _wasEverClaimed);

    private void OnReadFailed(string reason)
    {
        _isReading = false;
        _readAgainAt = _now + _readDelay;
        _readDelay = _readDelay * 2 < LongestReadDelay ? _readDelay * 2 : LongestReadDelay;
        Log(EngineLogLevel.Warning, $"its state cannot be read; tried again: {reason}");
    }

    private void ReadAgainIfDue()
    {
        if (_readAgainAt > _now || _readAgainAt is null)
            return;
        (_readAgainAt, _mustRead) = (null, true);
    }

    /// <summary>The working state is what is stored; all members get a full session from now on.</summary>
    private void Adopt(StoredGroup stored)
    {
        _isContested = false;
        var isOurs = _rules.IsClaimed(GroupDocumentKind.Group, stored.Group?.Coordinator, _claim);
        if (!isOurs)
            _claim = _claim with { Epoch = Math.Max(stored.Group?.Coordinator.Epoch ?? 0, stored.Offsets?.Coordinator.Epoch ?? 0) + 1 };
        _exists = stored.Group is not null || stored.Offsets is not null;
        _isGroupClaimed = isOurs;
        _groupVersions.Adopt(isStored: isOurs || !_exists);
        _offsetsVersions.Adopt(isStored: !_exists || _rules.IsClaimed(GroupDocumentKind.Offsets, stored.Offsets?.Coordinator, _claim));
        var pending = _classic?.Round.Pending;
        _classic = stored.Group?.Classic is { } classic ? _rules.TakeOver(classic, _now) : null;
        if (_classic is not null && pending is not null)
            _classic = _classic with { Round = _classic.Round with { Pending = pending } };
        _consumer = stored.Group?.Consumer is { } consumer ? _rules.TakeOver(consumer, _now) : null;
        _offsets = stored.Offsets?.ToOffsets() ?? GroupOffsets.Empty;
        BeginSessions();
        FollowTopics(); // What has happened to topics since the group was stored.
        RemoveOffsetsOfTopics((topic, topicId) => IsVoid(topic, topicId));
    }

    private GroupDocument DocumentOfGroup() => new()
    {
        Coordinator = _claim,
        Type = _consumer is not null ? GroupType.Consumer : _classic is null || IsOfPendingOnly ? GroupType.Unknown : GroupType.Classic,
        Consumer = _consumer?.State,
        Classic = IsOfPendingOnly ? null : _classic?.State,
    };

    // A group without generations and members is remembered for the ids it gave out, and not stored.
    private bool IsOfPendingOnly => _classic is { State: { Generation: 0, State: GroupState.Empty } };

    private DocumentVersions VersionsOf(GroupDocumentKind document) => document switch
    {
        GroupDocumentKind.Group => _groupVersions,
        GroupDocumentKind.Offsets => _offsetsVersions,
        _ => throw new ArgumentOutOfRangeException(nameof(document), document, "No document of a group."),
    };

    /// <summary>Answers when all that the working state is now is stored.</summary>
    /// <param name="request">Whom.</param>
    /// <param name="result">What.</param>
    /// <param name="memberId">The member that waits: its session begins when it is answered.</param>
    private void Hold(GroupRequest request, object result, string memberId = "") =>
        _held.Add(new HeldReply(request, result, _groupVersions.Working, _offsetsVersions.Working, memberId, Confirmation: 0));

    /// <summary>The same, for an answer that somebody acts on: and when the group has proved to be still ours.</summary>
    private void HoldConfirmed(GroupRequest request, object result) =>
        _held.Add(new HeldReply(request, result, _groupVersions.Working, _offsetsVersions.Working, MemberId: "", NextConfirmation()));

    /// <summary>Answers when the group is stored as it is now; it reveals nothing of the offsets.</summary>
    private void HoldForGroup(GroupRequest request, object result, string memberId = "") =>
        _held.Add(new HeldReply(request, result, _groupVersions.Working, OffsetsVersionToServe, memberId, Confirmation: 0));

    // Nothing is answered before both documents are claimed, whatever it reveals.
    private long OffsetsVersionToServe => _offsetsVersions.FirstServed;

    private void ReleaseReplies()
    {
        // Those at the front were looked at since something was stored, and wait on: only new ones may be free to go.
        var stored = (_groupVersions.Stored, _offsetsVersions.Stored, _confirmed);
        if (stored != _lookedAtFor)
            (_lookedAtFor, _lookedAt) = (stored, 0);
        var kept = _lookedAt;
        for (var at = _lookedAt; at < _held.Count; at++)
        {
            var held = _held[at];
            if (held.Confirmation > _confirmed || !_rules.IsStored(GroupDocumentKind.Group, held.Group, _groupVersions.Stored)
                || !_rules.IsStored(GroupDocumentKind.Offsets, held.Offsets, _offsetsVersions.Stored))
            {
                _held[kept++] = held;
                continue;
            }
            _effects.Add(new Reply(held.Request.RequestId, held.Result));
            if (held.MemberId.Length > 0)
                Touch(held.MemberId);
        }
        _held.RemoveRange(kept, _held.Count - kept);
        _lookedAt = kept;
    }

    private void FailAll(ErrorCode error, string message)
    {
        foreach (var held in _held)
            AnswerNow(held.Request, error, message);
        _held.Clear();
        (_lookedAt, _toConfirm) = (0, 0);
        FailWaiting(error, message);
    }

    private sealed record HeldReply(GroupRequest Request, object Result, long Group, long Offsets, string MemberId, long Confirmation);
}

/// <summary>How far one document is written. Versions count the changes of the working state.</summary>
internal sealed class DocumentVersions
{
    private long _inFlight;

    /// <summary>Of the working state.</summary>
    public long Working { get; private set; }

    /// <summary>Of what is stored.</summary>
    public long Stored { get; private set; }

    /// <summary>The first that this coordinator stored, or found stored as its own.</summary>
    public long FirstServed { get; private set; }

    /// <summary>Whether something is to be written, or on its way.</summary>
    public bool IsBehind => Working > Stored;

    /// <summary>Whether a write is on its way.</summary>
    public bool IsInFlight => _inFlight > 0;

    /// <summary>The number of the last write among all that the coordinator did with its store.</summary>
    public long Operation { get; set; }

    /// <summary>Whether that one deletes.</summary>
    public bool IsDelete { get; private set; }

    public void Change() => Working++;

    public void ChangeAndServeFromThere() => FirstServed = ++Working;

    /// <summary>The working state was made from what is stored.</summary>
    /// <param name="isStored">False: it is to be written all the same, for it does not carry our claim.</param>
    public void Adopt(bool isStored)
    {
        Working++;
        if (isStored)
            Stored = Working;
        FirstServed = Working;
    }

    public bool TryBegin(bool isDelete, out long version)
    {
        version = Working;
        if (IsInFlight || !IsBehind)
            return false;
        (_inFlight, IsDelete) = (version, isDelete);
        return true;
    }

    public void Complete(long version, GroupRules rules)
    {
        Invariant.Check(version == _inFlight, "a write completed that was not in flight");
        (_inFlight, Stored) = (0, rules.StoredBy(version, Working));
    }

    public void Fail() => _inFlight = 0;
}
