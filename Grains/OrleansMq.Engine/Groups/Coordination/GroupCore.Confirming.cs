using OrleansMq.Diagnostics;

namespace OrleansMq.Groups.Coordination;

/// <content>
/// Answers that somebody acts on without a write: a place to read on from above all. Another coordinator may own the group by now, and have
/// stored offsets that this one knows nothing of. So such an answer waits for something that was begun after the request had come and shows
/// that the group is still ours: a write that won its compare-and-swap, or, where none is on its way, a read of who wrote the offsets last.
/// One read serves all who came before it was begun.
/// <para>The offsets suffice. Another coordinator claims the group first and the offsets second, and answers nobody before both are its
/// own: while the offsets are ours nobody was told of anything that we do not know.</para>
/// </content>
public sealed partial class GroupCore
{
    // Reads and writes of the store, numbered in the order in which they were begun.
    private long _begun;
    // The latest that showed the group to be ours.
    private long _confirmed;
    // The first that may answer the last who waits.
    private long _toConfirm;
    // The read that is in flight; 0 for none.
    private long _confirming;
    private bool _wasStoredBefore;
    private long _lastDelete;

    /// <summary>What a request that comes now has to wait for.</summary>
    private long NextConfirmation()
    {
        var first = _rules.ConfirmedFrom(_begun);
        _toConfirm = Math.Max(_toConfirm, first);
        return first;
    }

    private long Begin(bool isDelete = false)
    {
        _begun++;
        if (isDelete)
            _lastDelete = _begun;
        return _begun;
    }

    private void Confirmed(long number) => _confirmed = Math.Max(_confirmed, number);

    // With documents on their way to be ours, or to be gone, these writes come after the request, or a read comes after them.
    private bool CanConfirm => !IsRecovering && _confirming == 0
        && (_exists ? _isGroupClaimed && _offsetsVersions.Stored >= _offsetsVersions.FirstServed : !_groupVersions.IsBehind
            && !_offsetsVersions.IsBehind);

    private void ConfirmIfAsked()
    {
        if (_toConfirm <= _begun || !CanConfirm)
            return;
        _confirming = Begin();
        _wasStoredBefore = _exists;
        _effects.Add(new ConfirmClaim(_confirming));
    }

    private void OnClaimRead(ClaimRead read)
    {
        _confirming = 0;
        if (_isDeposed || IsRecovering)
            return;
        if (read.Coordinator?.Token == _claim.Token || (read.Coordinator is null && !_wasStoredBefore))
            Confirmed(read.Number);
        else if (read.Coordinator is not null
            || _lastDelete < read.Number) // Otherwise we deleted them ourselves meanwhile, and that says whose the group is.
            Contest();
    }

    /// <summary>Somebody else wrote, or deleted, what was ours: what is stored is read again, and says whose the group is.</summary>
    private void Contest()
    {
        Log(EngineLogLevel.Information, "its offsets were stored by another coordinator; it is read again.");
        (_mustRead, _isContested) = (true, true);
        FailAll(ErrorCode.CoordinatorNotAvailable, "The group may be another coordinator's: find the coordinator, and retry.");
    }

    private void OnClaimReadFailed(ClaimReadFailed failed)
    {
        _confirming = 0;
        var message = $"The store could not be asked whether the group is this coordinator's still; retry: {failed.Reason}";
        foreach (var held in _held.Where(held => IsToBeConfirmedBy(held, failed.Number)))
            AnswerNow(held.Request, ErrorCode.CoordinatorNotAvailable, message);
        _held.RemoveAll(held => IsToBeConfirmedBy(held, failed.Number));
        _lookedAt = 0;
    }

    private bool IsToBeConfirmedBy(HeldReply held, long number) => held.Confirmation > _confirmed && held.Confirmation <= number;
}
