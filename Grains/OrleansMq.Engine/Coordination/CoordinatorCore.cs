using OrleansMq.Api;
using OrleansMq.Diagnostics;

namespace OrleansMq.Coordination;

/// <summary>
/// A coordinator without tasks, I/O and clock: commands in, effects out. It owns a few documents by a claim in each of them. It decides on
/// a working state that is ahead of what is stored, and releases an answer when the state that it reveals is stored. Not thread safe: its
/// shell hands it one command after the other.
/// <para>A derived class holds the working state and decides on it. This one stores it: one write in flight for each document. After a
/// write that failed, or whose outcome is unknown, it reads what is stored again, and continues from there or is deposed.</para>
/// </summary>
internal abstract partial class CoordinatorCore
{
    // A wake that is late by this much shows that the coordinator stood still, and received nothing: half of what the shortest session
    // leaves between two heartbeats.
    private static readonly TimeSpan StallTolerance = TimeSpan.FromSeconds(1);

    private readonly CoordinatorKind _kind;
    private readonly string _id;
    private readonly CoordinatorRules _rules;
    private readonly List<CoordinatorEffect> _effects = [];
    private DateTimeOffset? _wakeAt;
    private DateTimeOffset? _wanted;

    /// <summary>A core that still needs <see cref="Begin"/>.</summary>
    /// <param name="kind">The kind of coordinator.</param>
    /// <param name="id">The id of what it coordinates.</param>
    /// <param name="token">Random, never used before.</param>
    /// <param name="now">The time.</param>
    protected CoordinatorCore(CoordinatorKind kind, string id, Guid token, DateTimeOffset now)
        : this(kind, id, token, now, new CoordinatorRules())
    {
    }

    internal CoordinatorCore(CoordinatorKind kind, string id, Guid token, DateTimeOffset now, CoordinatorRules rules)
    {
        Invariant.Check(kind.Documents.Count is > 0 and <= CoordinatorKind.MaxDocuments, "a coordinator owns one to four documents");
        (_kind, _id, _rules, Now) = (kind, id, rules, now);
        _claim = new CoordinatorClaim(0, token);
        _versions = [.. kind.Documents.Select(static _ => new DocumentVersions())];
        _confirmation = new ClaimConfirmation(rules);
        (_mayBeReleased, _release) = (MayBeReleased, Release);
    }

    /// <summary>Whether another coordinator owns the documents.</summary>
    public bool IsDeposed { get; private set; }

    /// <summary>Whether a coordinator opened anew would know all that this one does, and nothing waits.</summary>
    public virtual bool IsVacant => !Exists && !IsStoring && _held.Count == 0;

    /// <summary>The time of the current command.</summary>
    protected DateTimeOffset Now { get; private set; }

    /// <summary>Takes the effects that have come up since the last call, to be carried out in order.</summary>
    public void TakeEffects(List<CoordinatorEffect> into)
    {
        into.AddRange(_effects);
        _effects.Clear();
    }

    /// <summary>Carries a command out.</summary>
    /// <param name="command">The command.</param>
    /// <param name="now">The time; never before that of the last command.</param>
    public void Execute(CoordinatorCommand command, DateTimeOffset now)
    {
        Now = now > Now ? now : Now;
        switch (command)
        {
            case CoordinatorRequest request:
                Receive(request);
                break;
            case AbandonRequest abandoned:
                Abandon(abandoned.RequestId);
                break;
            case StoreCompleted stored:
                OnStored(stored);
                break;
            case StoreFailed failed:
                OnStoreFailed(failed);
                break;
            case ReadCompleted read:
                OnRead(read.Stored);
                break;
            case ReadFailed failed:
                OnReadFailed(failed.Reason);
                break;
            case ClaimRead read:
                OnClaimRead(read);
                break;
            case ClaimReadFailed failed:
                OnClaimReadFailed(failed);
                break;
            case Wake:
                OnWake();
                break;
            default:
                OnCommand(command);
                break;
        }
        FinishCommand();
    }

    /// <summary>Takes up what is stored: the end of the construction.</summary>
    protected void Begin(StoredDocuments stored)
    {
        Adopt(stored);
        FinishCommand();
    }

    // --- What a derived class decides ---

    /// <summary>Carries a request out: it answers, holds the answer, or keeps the request until it can be answered.</summary>
    protected abstract void Handle(CoordinatorRequest request);

    /// <summary>Carries out a command of the derived class' own.</summary>
    protected virtual void OnCommand(CoordinatorCommand command) => throw new ArgumentException($"No command: {command}.", nameof(command));

    /// <summary>Drops a request that waits, if it still does. A held answer may stay: it is dropped later.</summary>
    protected abstract void Abandon(long requestId);

    /// <summary>The content of a document, made from the working state.</summary>
    protected abstract IOwnedDocument ContentOf(int document);

    /// <summary>Replaces the working state by what is stored.</summary>
    protected abstract void AdoptState(StoredDocuments stored);

    /// <summary>Empties the working state.</summary>
    protected abstract void ForgetState();

    /// <summary>Answers requests that wait for others, where their answers are there by now.</summary>
    protected virtual void AnswerWaiting()
    {
    }

    /// <summary>Refuses all requests that wait for others.</summary>
    protected virtual void FailWaiting(ErrorCode error, string message)
    {
    }

    /// <summary>A held answer goes out to a participant.</summary>
    protected virtual void OnReleased(string waiter)
    {
    }

    /// <summary>Does what is due.</summary>
    /// <param name="wasStalled">Whether the coordinator stood still, and may have missed requests.</param>
    protected virtual void OnTime(bool wasStalled)
    {
    }

    /// <summary>Calls <see cref="Want"/> for what is due next.</summary>
    protected virtual void WantNext()
    {
    }

    /// <summary>The answer to a request that can be given while documents are read again; null: refuse.</summary>
    protected virtual object? FindAnswerWhileRecovering(ICoordinatorRequest body) => null;

    /// <summary>The answer to a request that is refused without being carried out, or whose outcome is unknown.</summary>
    protected virtual object Refuse(CoordinatorRequest request, ErrorCode error, string message) => request.Body.Refuse(error, message);

    // --- What a derived class uses ---

    /// <summary>Refuses a request at once.</summary>
    protected void AnswerNow(CoordinatorRequest request, ErrorCode error, string message) =>
        _effects.Add(new Reply(request.RequestId, Refuse(request, error, message)));

    /// <summary>Adds an effect of the derived class' own.</summary>
    protected void Emit(CoordinatorEffect effect) => _effects.Add(effect);

    /// <summary>Writes a line to the log.</summary>
    protected void Log(EngineLogLevel level, string message) => _effects.Add(new LogLine(level, $"{_kind.Describe(_id)}: {message}"));

    /// <summary>Asks for <see cref="OnTime"/> at a time.</summary>
    protected void Want(DateTimeOffset? time)
    {
        if (time is not null && (_wanted is null || time < _wanted))
            _wanted = time;
    }

    private void Receive(CoordinatorRequest request)
    {
        if (IsDeposed)
            AnswerNow(request, ErrorCode.NotCoordinator, OthersMessage);
        else if (!IsRecovering)
            Handle(request);
        else if (FindAnswerWhileRecovering(request.Body) is { } quiet)
            _effects.Add(new Reply(request.RequestId, quiet));
        else
            AnswerNow(request, ErrorCode.CoordinatorLoadInProgress,
                $"The coordinator reads the {_kind.Noun}'s state again after a write that failed: retry.");
    }

    private string OthersMessage => $"Another broker coordinates the {_kind.Noun}: find the coordinator, and retry.";

    private void OnWake()
    {
        if (IsDeposed)
            return;
        var wasStalled = _wakeAt is { } wanted && Now - wanted > StallTolerance;
        (_wakeAt, _wanted) = (null, null);
        ReadAgainIfDue();
        if (!IsRecovering)
            OnTime(wasStalled);
    }

    private void FinishCommand()
    {
        if (!IsDeposed)
        {
            AnswerWaiting();
            IssueWrites();
            ConfirmIfAsked();
        }
        _held.Release(_mayBeReleased, _release);
        ScheduleWake();
    }

    /// <summary>Asks to be woken for the first thing that is due. A wake that turns out to be early costs nothing, so heartbeats move no
    /// timer.</summary>
    private void ScheduleWake()
    {
        if (IsRecovering)
            Want(_readAgainAt);
        else
            WantNext();
        if (IsDeposed)
            _wanted = null;
        if (_wanted == _wakeAt)
            return;
        _wakeAt = _wanted;
        _effects.Add(new WakeAt(_wakeAt));
    }
}
