using OrleansMq.Api;
using OrleansMq.Coordination;
using OrleansMq.Diagnostics;

namespace OrleansMq.Transactions;

/// <summary>
/// One transactional id's coordinator without tasks, I/O and clock. It decides each request by <see cref="TransactionRules"/>, and answers
/// when the state that the answer reveals is stored.
/// <list type="bullet">
/// <item>The state: stored as a document. A Complete phase is in memory only until something else is stored, or a while has passed.</item>
/// <item>Requests that wait for the end of the transaction before, or for a producer id; in memory only.</item>
/// </list>
/// <para>Participants are told of an end when it is certainly stored under this coordinator's claim. So all coordinators, also one that
/// does not know yet that it was replaced, tell the same of a transaction.</para>
/// </summary>
internal sealed class TransactionCore : CoordinatorCore
{
    // A Complete phase is stored after this long without another change. Until then a new coordinator would tell the participants again.
    internal static readonly TimeSpan CompleteIsStoredAfter = TimeSpan.FromSeconds(10);

    // For so long after the end of a transaction a late addition is refused. Callers give a request up before. Without a limit, clients
    // would be shut out of a broker that counts connections from an earlier time, since its clock was set back.
    internal static readonly TimeSpan LateFor = TimeSpan.FromMinutes(5);

    // The pause after a failure to take a producer id.
    private static readonly TimeSpan TakePause = TimeSpan.FromSeconds(1);

    // The pause between two deletions of an expired id, of which the first was not stored.
    private static readonly TimeSpan ExpiryPause = TimeSpan.FromMinutes(1);

    private readonly string _transactionalId;
    private readonly int _brokerId;
    private readonly TransactionOptions _options;
    private readonly TransactionRules _rules;
    private readonly List<Waiting> _waiting = [];
    private TransactionState? _state;
    // The transaction whose participants are being told, and the epoch that they are told with.
    private (long Number, int Epoch) _told;
    private long _spareId = -1;
    private bool _isTaking;
    private DateTimeOffset _takeAgainAt;
    private DateTimeOffset? _storeAt;
    private DateTimeOffset _nextExpiry;
    // The producer ids of an expired state, while its deletion is being stored.
    private long[] _expiredIds = [];

    /// <summary>Takes a transactional id over.</summary>
    /// <param name="transactionalId">The id.</param>
    /// <param name="brokerId">The broker that coordinates it, for descriptions.</param>
    /// <param name="options">Limits.</param>
    /// <param name="token">Random, never used before.</param>
    /// <param name="stored">The id's document. A stored one is claimed before any request is answered.</param>
    /// <param name="now">The current time.</param>
    public TransactionCore(string transactionalId, int brokerId, TransactionOptions options, Guid token, StoredTransaction stored,
        DateTimeOffset now)
        : this(transactionalId, brokerId, options, token, stored, now, TransactionRules.Shipped)
    {
    }

    internal TransactionCore(string transactionalId, int brokerId, TransactionOptions options, Guid token, StoredTransaction stored,
        DateTimeOffset now, TransactionRules rules)
        : base(TransactionDocuments.Kind, transactionalId, token, now, rules)
    {
        (_transactionalId, _brokerId, _options, _rules) = (transactionalId, brokerId, options, rules);
        Begin(stored);
    }

    /// <inheritdoc/>
    public override bool IsVacant => base.IsVacant && !_isTaking;

    /// <summary>The working state, for checkers; null: none.</summary>
    internal TransactionState? State => _state;

    /// <summary>The epoch that participants know the coordinator by.</summary>
    internal int CoordinatorEpoch => (int)Math.Min(int.MaxValue, Claim.Epoch + (_state?.EpochBase ?? 0));

    /// <inheritdoc/>
    protected override void Handle(CoordinatorRequest request)
    {
        Expire();
        switch (request.Body)
        {
            case DescribeTransaction:
                HoldConfirmed(request, (object?)Describe() ?? TransactionDecision.NotFound(_transactionalId));
                break;
            case ITransactionRequest:
                Decide(new Waiting(request, Now + _options.MaxWait));
                break;
            default:
                throw new ArgumentException($"No request of a transactional id: {request.Body}.", nameof(request));
        }
    }

    /// <inheritdoc/>
    protected override void OnCommand(CoordinatorCommand command)
    {
        switch (command)
        {
            case ParticipantsEnded ended:
                if (!IsRecovering && _state is { } state && _rules.IsCompleted(state, ended))
                    Complete(state);
                break;
            case CoordinatorFenced fenced:
                RaiseEpoch(fenced);
                break;
            case ProducerIdTaken taken:
                (_isTaking, _spareId) = (false, taken.ProducerId);
                if (!IsRecovering)
                    AbortIfLate();
                break;
            case ProducerIdNotTaken failed:
                (_isTaking, _takeAgainAt) = (false, Now + TakePause);
                RefuseWaiting(static waiting => waiting.Need == TransactionNeed.ProducerId, ErrorCode.CoordinatorNotAvailable,
                    $"No producer id could be taken; retry: {failed.Reason}");
                break;
            default:
                base.OnCommand(command);
                break;
        }
    }

    // --- Requests ---

    private void Decide(Waiting waiting)
    {
        if (waiting.IsAborted && _state is { IsEnding: false })
        {
            Hold(waiting.Request, Describe()!);
            return;
        }
        var outcome = DecideOn(waiting.Request.Body);
        var isChanged = !ReferenceEquals(outcome.Next, _state);
        if (isChanged)
            Change(outcome.Next!);
        if (outcome.Need != TransactionNeed.None)
        {
            _waiting.Add(waiting with
            {
                Need = outcome.Need,
                IsAborted = waiting.IsAborted || (outcome.Need == TransactionNeed.Completion && waiting.Request.Body is AbortTransaction),
            });
            if (outcome.Need == TransactionNeed.ProducerId)
                TakeId();
            return;
        }
        if (isChanged || !_rules.MustConfirm(waiting.Request.Body, (ITransactionAnswer)outcome.Answer!))
            Hold(waiting.Request, outcome.Answer!);
        else
            HoldConfirmed(waiting.Request, outcome.Answer!);
    }

    private TransactionOutcome DecideOn(ICoordinatorRequest body)
    {
        switch (body)
        {
            case InitTransactions init:
                return _rules.Init(_state, init, _spareId, _options, Now);
            case AddToTransaction { RaisesEpoch: false, VerifyOnly: false } add when IsOfEarlier(add.Producer, add.Caller):
            // What has ended is not changed by another end.
            case EndTransaction { RaisesEpoch: false } end when _state is { Phase: TransactionPhase.Ongoing }
                && IsOfEarlier(end.Producer, end.Caller):
                return new(_state, body.Refuse(ErrorCode.ConcurrentTransactions,
                    "It came before what the transaction holds, or over an older connection: it is of an earlier transaction, or a "
                    + "repetition has replaced it."));
            case AddToTransaction add:
                return _rules.Add(_state, add, _options, Now);
            case EndTransaction end:
                return _rules.End(_state, end, _spareId, Now);
            case AbortTransaction abort:
                return _rules.Abort(_state, abort, _spareId, Now);
            default:
                throw new ArgumentException($"No request of a transactional id: {body}.", nameof(body));
        }
    }

    // An earlier instance is refused by its epoch. A transaction of the same epoch that has ended counts, too: a late addition must not
    // begin another one.
    private bool IsOfEarlier(ProducerIdentity producer, in TransactionCaller caller) =>
        _state is { } state && producer == state.Producer && (!state.IsAtRest || Now < state.UpdatedAt + LateFor)
            && _rules.IsOfEarlierConnection(TransactionConnection.Of(caller), state.Connection);

    private void Change(TransactionState next)
    {
        if (next.NextProducerId == _spareId || next.ProducerId == _spareId)
            _spareId = -1;
        if (next.LastFence != _state?.LastFence && next.LastFence is { } fence)
            Log(EngineLogLevel.Information, $"its producer is fenced: {fence}.");
        if (_state is { } state && state.PreviousProducerId != next.PreviousProducerId)
            Release(state.PreviousProducerId);
        (_state, _storeAt) = (next, null);
        Changed(0);
    }

    private void Release(params long[] producerIds)
    {
        long[] known = [.. producerIds.Where(static id => id >= 0)];
        if (known.Length > 0)
            Emit(new ReleaseProducerIds(known));
    }

    private void TakeId()
    {
        if (_isTaking || _spareId >= 0 || _takeAgainAt > Now)
            return;
        _isTaking = true;
        Emit(new TakeProducerId());
    }

    /// <inheritdoc/>
    protected override void AnswerWaiting()
    {
        if (IsRecovering)
            return;
        ReleaseExpired();
        TellParticipants();
        if (_waiting.Count == 0)
            return;
        // What a request that waits begins next is not in the description of what was aborted.
        foreach (var waiting in _waiting.OrderBy(static waiting => !waiting.IsAborted).ToArray())
        {
            // One that waits for an id may need none any more, and asks for one otherwise.
            if (waiting.Need == TransactionNeed.Completion ? _state is { IsEnding: true }
                : _spareId < 0 && (_isTaking || _takeAgainAt > Now))
                continue;
            _waiting.Remove(waiting);
            Decide(waiting);
        }
    }

    /// <inheritdoc/>
    protected override void FailWaiting(ErrorCode error, string message)
    {
        // There are too many ids: this one was never stored.
        if (error == ErrorCode.PolicyViolation && _state is { } state)
            Release(state.ProducerId);
        RefuseWaiting(static _ => true, error, message);
    }

    /// <inheritdoc/>
    protected override void Abandon(long requestId) => _waiting.RemoveAll(waiting => waiting.Request.RequestId == requestId);

    private void RefuseWaiting(Predicate<Waiting> match, ErrorCode error, string message)
    {
        foreach (var waiting in _waiting.Where(waiting => match(waiting)).ToArray())
        {
            _waiting.Remove(waiting);
            AnswerNow(waiting.Request, error, message);
        }
    }

    // --- The end of a transaction ---

    private void TellParticipants()
    {
        if (_state is not { IsEnding: true } state || _told == (state.Number, CoordinatorEpoch) || !_rules.MayTell(IsFirstCertain))
            return;
        _told = (state.Number, CoordinatorEpoch);
        Emit(new EndParticipants(state, CoordinatorEpoch));
    }

    // Not stored: of a Prepare phase that is read again the participants are told again.
    private void Complete(TransactionState state)
    {
        var next = _rules.Complete(state, Now);
        if (state.PreviousProducerId != next.PreviousProducerId)
            Release(state.PreviousProducerId);
        _state = next;
        _storeAt = Now + CompleteIsStoredAfter;
    }

    private void RaiseEpoch(CoordinatorFenced fenced)
    {
        if (IsRecovering || _state is not { IsEnding: true } state || state.Number != fenced.Number
            || fenced.CoordinatorEpoch != CoordinatorEpoch || CoordinatorEpoch == int.MaxValue)
            return;
        Log(EngineLogLevel.Warning, $"a participant knows an epoch of its coordinator above {fenced.CoordinatorEpoch}, as after the "
            + "restore of a database: it is raised.");
        Change(state with { EpochBase = (int)Math.Min(int.MaxValue, Math.Max(1024, 2L * state.EpochBase)) });
    }

    private void AbortIfLate()
    {
        if (_state is not { } state || !_rules.IsLate(state, Now))
            return;
        var fenced = _rules.Fence(state, _spareId, Now, $"it was open for longer than its timeout, {state.Timeout.TotalSeconds:0.###} s",
            state.Epoch);
        if (fenced is null)
            TakeId();
        else
            Change(fenced);
    }

    private void Expire()
    {
        if (_state is not { } state || !_rules.IsExpired(state, _options, Now) || _nextExpiry > Now)
            return;
        _nextExpiry = Now + ExpiryPause;
        // Until the deletion is stored the id may come back with them.
        _expiredIds = [.. IdsOf(state)];
        Forget();
    }

    private void ReleaseExpired()
    {
        if (_expiredIds.Length == 0 || IsStoring)
            return;
        Release([.. _expiredIds.Except(IdsOf(_state))]);
        _expiredIds = [];
    }

    private static long[] IdsOf(TransactionState? state) =>
        state is null ? [] : [state.ProducerId, state.PreviousProducerId, state.NextProducerId];

    // --- Time ---

    /// <inheritdoc/>
    protected override void OnTime(bool wasStalled)
    {
        AbortIfLate();
        if (_waiting.Any(static waiting => waiting.Need == TransactionNeed.ProducerId))
            TakeId();
        Expire();
        if (_storeAt <= Now && _state is not null)
        {
            _storeAt = null;
            Changed(0);
        }
        foreach (var waiting in _waiting.Where(waiting => waiting.Until <= Now).ToArray())
        {
            _waiting.Remove(waiting);
            if (waiting.IsAborted)
            {
                // It is decided: a refusal would have an operator abort the next one.
                Hold(waiting.Request, Describe()!);
                continue;
            }
            AnswerNow(waiting.Request, waiting.Need == TransactionNeed.Completion
                ? ErrorCode.ConcurrentTransactions : ErrorCode.CoordinatorNotAvailable, waiting.Need == TransactionNeed.Completion
                ? $"Transaction {_state?.Number} of '{_transactionalId}' is being ended: retry."
                : "No producer id could be taken yet: retry.");
        }
    }

    /// <inheritdoc/>
    protected override void WantNext()
    {
        if (_state is { Phase: TransactionPhase.Ongoing, StartedAt: { } started } state && !_isTaking)
            Want(started + state.Timeout > _takeAgainAt ? started + state.Timeout : _takeAgainAt);
        if (!_isTaking && _waiting.Any(static waiting => waiting.Need == TransactionNeed.ProducerId))
            Want(_takeAgainAt);
        if (_state is { IsAtRest: true } resting)
            Want(resting.UpdatedAt + _options.IdExpiration > _nextExpiry ? resting.UpdatedAt + _options.IdExpiration : _nextExpiry);
        Want(_storeAt);
        foreach (var waiting in _waiting)
            Want(waiting.Until);
    }

    // --- The document ---

    /// <inheritdoc/>
    protected override IOwnedDocument ContentOf(int document) => new TransactionContent(Claim, _state!);

    /// <inheritdoc/>
    protected override void AdoptState(StoredDocuments stored) =>
        (_state, _told, _storeAt) = (((StoredTransaction)stored).Transaction?.ToState().NotAfter(Now), default, null);

    /// <inheritdoc/>
    protected override void ForgetState() => (_state, _storeAt) = (null, null);

    private TransactionDescription? Describe() => _state is not { } state ? null : new TransactionDescription
    {
        TransactionalId = _transactionalId,
        Coordinator = _brokerId,
        Phase = state.Phase,
        Producer = state.Producer,
        Timeout = state.Timeout,
        StartedAt = state.StartedAt,
        Number = state.Number,
        Partitions = [.. state.Partitions],
        Groups = [.. state.Groups],
        LastEnd = state.LastEnd,
        LastFence = state.LastFence,
    };

    /// <summary>A request that waits.</summary>
    /// <param name="Request">The request.</param>
    /// <param name="Until">When it is refused.</param>
    /// <param name="Need">What it waits for.</param>
    /// <param name="IsAborted">Whether it is an abort, and the transaction whose end it waits for is aborted.</param>
    private sealed record Waiting(CoordinatorRequest Request, DateTimeOffset Until, TransactionNeed Need = TransactionNeed.None,
        bool IsAborted = false);
}
