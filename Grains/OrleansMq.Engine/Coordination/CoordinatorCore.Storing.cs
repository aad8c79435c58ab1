using OrleansMq.Diagnostics;

namespace OrleansMq.Coordination;

internal abstract partial class CoordinatorCore
{
    // The pause before what is stored is read again after a read that failed. It starts short, since most failures pass at once. It is
    // bounded, so that the coordinator is back soon after its store is.
    private static readonly TimeSpan FirstReadDelay = TimeSpan.FromMilliseconds(100);
    private static readonly TimeSpan LongestReadDelay = TimeSpan.FromSeconds(5);

    private readonly HeldAnswers _held = new();
    private readonly Predicate<HeldAnswer> _mayBeReleased;
    private readonly Action<HeldAnswer> _release;
    private readonly DocumentVersions[] _versions;
    private readonly ClaimConfirmation _confirmation;
    private CoordinatorClaim _claim;
    // Whether the first stored document carries our claim; until then nothing is written to the others.
    private bool _isClaimed;
    private bool _wasEverClaimed;
    // A write lost its compare-and-swap: until the next read the owner is unknown.
    private bool _isContested;
    private bool _mustRead;
    private bool _isReading;
    private DateTimeOffset? _readAgainAt;
    private TimeSpan _readDelay = FirstReadDelay;

    /// <summary>Whether the working state has documents. A state of temporary things alone has none.</summary>
    protected bool Exists { get; private set; }

    /// <summary>This coordinator's claim, for the documents.</summary>
    protected CoordinatorClaim Claim => _claim;

    /// <summary>Whether what is stored must be read, or is being read, before a request is carried out.</summary>
    protected bool IsRecovering => _mustRead || _isReading || _readAgainAt is not null;

    /// <summary>Whether the first document is certainly stored as the working state has it, and all documents are claimed. Then only
    /// changes of the other documents are in doubt.</summary>
    protected bool IsFirstCertain => !_isContested && _isClaimed && !_versions[0].IsBehind
        && _versions.Skip(1).All(static versions => versions.Stored >= versions.FirstServed);

    /// <summary>The participants for whom answers are held.</summary>
    protected IEnumerable<string> HeldWaiters => _held.Waiters;

    /// <summary>Whether something of the working state is not stored, or what is stored must be read.</summary>
    protected bool IsStoring => IsRecovering || _versions.Any(static versions => versions.IsBehind);

    /// <summary>The content of a document changed. A state that had no documents gets all of them.</summary>
    protected void Changed(int document)
    {
        if (Exists)
        {
            _versions[document].Change();
            return;
        }
        Exists = true;
        foreach (var versions in _versions.AsSpan(1))
            versions.ChangeAndServeFromThere(); // The first write claims all of them, so that no older coordinator can write any.
        _versions[0].Change();
    }

    /// <summary>Deletes all documents, and empties the working state.</summary>
    protected void Forget()
    {
        Exists = false;
        ForgetState();
        foreach (var versions in _versions)
            versions.Change();
    }

    /// <summary>Answers when all of the current working state is stored.</summary>
    /// <param name="request">The request.</param>
    /// <param name="result">The answer.</param>
    /// <param name="waiter">The participant that waits; see <see cref="OnReleased"/>.</param>
    protected void Hold(CoordinatorRequest request, object result, string waiter = "") =>
        Hold(request, result, waiter, confirmation: 0, only: null);

    /// <summary>Answers when all of the current working state is stored, and the claim is confirmed. For answers that a caller acts on
    /// without a write, such as an offset to read from.</summary>
    protected void HoldConfirmed(CoordinatorRequest request, object result) =>
        Hold(request, result, waiter: "", _confirmation.Next(), only: null);

    /// <summary>Answers when one document is stored as it is now: the answer reveals nothing of the others.</summary>
    protected void HoldFor(int document, CoordinatorRequest request, object result, string waiter = "") =>
        Hold(request, result, waiter, confirmation: 0, document);

    private void Hold(CoordinatorRequest request, object result, string waiter, long confirmation, int? only)
    {
        var needed = new VersionSet();
        // No answer is given before all documents are claimed, whatever it reveals.
        for (var document = 0; document < _versions.Length; document++)
            needed[document] = only is null || only == document ? _versions[document].Working : _versions[document].FirstServed;
        _held.Add(new HeldAnswer(request, result, waiter, confirmation, needed));
    }

    private bool MayBeReleased(HeldAnswer held)
    {
        if (held.Confirmation > _confirmation.Confirmed)
            return false;
        for (var document = 0; document < _versions.Length; document++)
        {
            if (!_rules.IsStored(document, held.VersionOf(document), _versions[document].Stored))
                return false;
        }
        return true;
    }

    private void Release(HeldAnswer held)
    {
        _effects.Add(new Reply(held.Request.RequestId, held.Result));
        if (held.Waiter.Length > 0)
            OnReleased(held.Waiter);
    }

    /// <summary>
    /// Writes what has changed, one write in flight for each document. A claim goes to the first document first, and to the others when it
    /// is stored; a delete goes the other way. So the first document is there while any other is, and a list of first documents finds all.
    /// </summary>
    private void IssueWrites()
    {
        if (IsRecovering)
        {
            if (_mustRead && !_versions.Any(static versions => versions.IsInFlight))
            {
                (_mustRead, _isReading) = (false, true);
                _effects.Add(new ReadStored());
            }
            return;
        }
        if (Exists)
        {
            for (var document = 0; document < _versions.Length && (document == 0 || _isClaimed); document++)
                Write(document);
            return;
        }
        for (var document = _versions.Length - 1; document > 0; document--)
            Write(document);
        if (!_versions.Skip(1).Any(static versions => versions.IsBehind))
            Write(0);
    }

    private void Write(int document)
    {
        var versions = _versions[document];
        if (!versions.TryBegin(isDelete: !Exists, out var version))
            return;
        versions.Operation = _confirmation.BeginWrite(versions.IsDelete);
        _effects.Add(new Store(document, version, Exists ? ContentOf(document) : null));
    }

    private void OnStored(StoreCompleted stored)
    {
        var versions = _versions[stored.Document];
        var wasDelete = versions.IsDelete;
        versions.Complete(stored.Version, _rules);
        _readDelay = FirstReadDelay;
        _held.LookAgain();
        _confirmation.Confirm(versions.Operation);
        if (stored.Document == 0)
        {
            _isClaimed = !wasDelete;
            _wasEverClaimed |= _isClaimed;
        }
    }

    private void OnStoreFailed(StoreFailed failed)
    {
        _versions[failed.Document].Fail();
        if (IsDeposed)
            return;
        if (!failed.IsLimit)
            Log(EngineLogLevel.Warning, $"its document '{_kind.Documents[failed.Document].Name}' may not be stored; it is read again, and "
                + $"what was not acknowledged is forgotten: {failed.Reason}");
        _isContested |= failed.IsConflict;
        var versions = _versions[failed.Document];
        if (CoordinatorRules.MayStillBeStored(failed) && versions.MayChange && !_mustRead)
            ReadLater(); // The write that was to rule out an earlier one failed as well: a store that can be read, and not written.
        else
            (_mustRead, _readAgainAt) = (_rules.MustReadAfter(failed), null); // One read at a time.
        versions.MayChange |= CoordinatorRules.MayStillBeStored(failed);
        if (failed.IsLimit)
            FailAll(ErrorCode.PolicyViolation, failed.Reason);
        else
            FailAll(ErrorCode.CoordinatorNotAvailable, $"The {_kind.Noun}'s state could not be stored; retry: {failed.Reason}");
    }

    private void OnRead(StoredDocuments stored)
    {
        _isReading = false;
        if (!_versions.Any(static versions => versions.MayChange))
            _readDelay = FirstReadDelay;
        if (!Claims(stored).Any(writer => writer is { } other && _rules.IsOthers(other, _claim, _wasEverClaimed)))
        {
            Adopt(stored);
            return;
        }
        IsDeposed = true;
        Log(EngineLogLevel.Information, "another coordinator owns it.");
        FailAll(ErrorCode.NotCoordinator, OthersMessage);
        _effects.Add(new Deposed());
    }

    private void OnReadFailed(string reason)
    {
        _isReading = false;
        ReadLater();
        Log(EngineLogLevel.Warning, $"its state cannot be read; tried again: {reason}");
    }

    private void ReadLater()
    {
        _readAgainAt = Now + _readDelay;
        _readDelay = _readDelay * 2 < LongestReadDelay ? _readDelay * 2 : LongestReadDelay;
    }

    private void ReadAgainIfDue()
    {
        if (_readAgainAt > Now || _readAgainAt is null)
            return;
        (_readAgainAt, _mustRead) = (null, true);
    }

    /// <summary>Takes up what is stored as the working state. A document that a write may still reach is written before any answer that
    /// reveals it, so that the late write loses.</summary>
    private void Adopt(StoredDocuments stored)
    {
        _isContested = false;
        var isOurs = _rules.IsClaimed(0, stored[0]?.Coordinator, _claim);
        if (!isOurs)
            _claim = _claim with { Epoch = Claims(stored).Max(static writer => writer?.Epoch ?? 0) + 1 };
        Exists = Claims(stored).Any(static writer => writer is not null);
        _isClaimed = isOurs;
        _versions[0].Adopt(isStored: isOurs || !Exists);
        for (var document = 1; document < _versions.Length; document++)
            _versions[document].Adopt(isStored: !Exists || _rules.IsClaimed(document, stored[document]?.Coordinator, _claim));
        foreach (var versions in _versions.Where(versions => Exists && versions.MayChange))
            versions.Change();
        _held.LookAgain();
        AdoptState(stored);
    }

    private IEnumerable<CoordinatorClaim?> Claims(StoredDocuments stored) =>
        Enumerable.Range(0, _versions.Length).Select(document => stored[document]?.Coordinator);

    // With documents on their way to be claimed, or to be deleted, those writes come after the request, or a read comes after them.
    private bool CanConfirm => !IsRecovering && !_confirmation.IsReading
        && (Exists ? _isClaimed && _versions[^1].Stored >= _versions[^1].FirstServed
            : !_versions.Any(static versions => versions.IsBehind));

    private bool _existedAtRead;

    private void ConfirmIfAsked()
    {
        if (!_confirmation.IsWanted || !CanConfirm)
            return;
        _existedAtRead = Exists;
        _effects.Add(new ConfirmClaim(_confirmation.BeginRead()));
    }

    private void OnClaimRead(ClaimRead read)
    {
        _confirmation.EndRead();
        if (IsDeposed || IsRecovering)
            return;
        if (read.Coordinator?.Token == _claim.Token || (read.Coordinator is null && !_existedAtRead))
        {
            _confirmation.Confirm(read.Number);
            _held.LookAgain();
        }
        else if (read.Coordinator is not null || !_confirmation.HasDeletedSince(read.Number))
        {
            Contest(); // A document that this coordinator deleted meanwhile says nothing of another.
        }
    }

    /// <summary>Another coordinator wrote, or deleted, a document of this one: what is stored is read again, and shows the owner.</summary>
    private void Contest()
    {
        Log(EngineLogLevel.Information, $"its {_kind.Documents[^1].Contents} were stored by another coordinator; it is read again.");
        (_mustRead, _isContested) = (true, true);
        FailAll(ErrorCode.CoordinatorNotAvailable,
            $"The {_kind.Noun} may be another coordinator's: find the coordinator, and retry.");
    }

    private void OnClaimReadFailed(ClaimReadFailed failed)
    {
        _confirmation.EndRead();
        var message = $"The store could not be asked whether the {_kind.Noun} is this coordinator's still; retry: {failed.Reason}";
        _held.Remove(held => held.Confirmation > _confirmation.Confirmed && held.Confirmation <= failed.Number,
            held => AnswerNow(held.Request, ErrorCode.CoordinatorNotAvailable, message));
    }

    private void FailAll(ErrorCode error, string message)
    {
        _held.Remove(static _ => true, held => AnswerNow(held.Request, error, message));
        _confirmation.Forget();
        FailWaiting(error, message);
    }
}
