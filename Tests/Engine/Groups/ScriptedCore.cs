using OrleansMq.Api;
using OrleansMq.Coordination;
using OrleansMq.Groups;
using OrleansMq.Groups.Coordination;

namespace OrleansMq.Tests.Engine.Groups;

/// <summary>A core over a <see cref="ScriptedStore"/> with a manual clock. Writes run at once, or are held until the test decides their
/// outcome.</summary>
internal sealed class ScriptedCore
{
    private readonly ScriptedStore _store;
    private readonly short _number;
    private readonly Dictionary<int, long?> _etags = [];
    private readonly List<Store> _heldWrites = [];
    private readonly Queue<ConfirmClaim> _heldConfirmations = [];
    private readonly List<CoordinatorEffect> _effects = [];
    private long _lastRequest;

    public ScriptedCore(ScriptedStore store, DateTimeOffset now, GroupTopics? topics = null, GroupOptions? options = null, int number = 1,
        bool holdWrites = false)
    {
        (_store, _number, Now, HoldWrites) = (store, (short)number, now, holdWrites);
        Core = new GroupCore("g", number, options ?? new GroupOptions(), topics ?? GroupTopics.Unknown, new Guid(number, 0, 0, new byte[8]),
            Read(), now);
        CarryOut();
    }

    public GroupCore Core { get; }

    public DateTimeOffset Now { get; private set; }

    /// <summary>Whether writes wait for <see cref="Finish"/>.</summary>
    public bool HoldWrites { get; set; }

    /// <summary>Whether confirmations wait for <see cref="FinishConfirmation"/>.</summary>
    public bool HoldConfirmations { get; set; }

    /// <summary>Whether reads fail.</summary>
    public bool IsUnreadable { get; set; }

    public DateTimeOffset? WakeTime { get; private set; }

    /// <summary>Every effect so far, except wakes.</summary>
    public List<CoordinatorEffect> Seen { get; } = [];

    public IReadOnlyList<Store> HeldWrites => _heldWrites;

    public int HeldConfirmations => _heldConfirmations.Count;

    /// <summary>The answers so far, by request.</summary>
    public Dictionary<long, object> Replies { get; } = [];

    public long Send(IGroupRequest body, Guid freshId = default)
    {
        var number = ++_lastRequest;
        Execute(new CoordinatorRequest(number, body, freshId == default ? new Guid((int)number, _number, 0, new byte[8]) : freshId));
        return number;
    }

    /// <summary>Sends a request that is answered at once, and returns the answer.</summary>
    public T Ask<T>(IGroupRequest body) => (T)Replies[Send(body)];

    public void Execute(CoordinatorCommand command)
    {
        Core.Execute(command, Now);
        CarryOut();
    }

    /// <summary>Advances the clock and wakes the core at the times that it asked for.</summary>
    public void Advance(TimeSpan by)
    {
        var until = Now + by;
        while (WakeTime is { } wake && wake <= until)
        {
            Now = wake > Now ? wake : Now;
            WakeTime = null;
            Execute(new Wake());
        }
        Now = until;
    }

    /// <summary>Advances the clock while the core stalls, and wakes it afterwards.</summary>
    public void Stall(TimeSpan by)
    {
        Now += by;
        if (WakeTime <= Now)
        {
            WakeTime = null;
            Execute(new Wake());
        }
    }

    /// <summary>Completes the oldest held write.</summary>
    public void Finish(WriteOutcome outcome = WriteOutcome.Stored)
    {
        var write = _heldWrites[0];
        _heldWrites.RemoveAt(0);
        Write(write, outcome);
        CarryOut();
    }

    /// <summary>Completes the oldest held confirmation.</summary>
    public void FinishConfirmation()
    {
        Confirm(_heldConfirmations.Dequeue());
        CarryOut();
    }

    private StoredGroup Read()
    {
        foreach (var kind in (int[])[GroupDocuments.Group, GroupDocuments.Offsets])
            _etags[kind] = _store.ETagOf(kind);
        return _store.Read();
    }

    private void CarryOut()
    {
        while (true)
        {
            _effects.Clear();
            Core.TakeEffects(_effects);
            if (_effects.Count == 0)
                return;
            foreach (var effect in _effects.ToList())
                CarryOut(effect);
        }
    }

    private void CarryOut(CoordinatorEffect effect)
    {
        if (effect is not WakeAt)
            Seen.Add(effect);
        switch (effect)
        {
            case WakeAt wake:
                WakeTime = wake.Time;
                break;
            case Reply reply:
                Assert.True(Replies.TryAdd(reply.RequestId, reply.Result), "a request was answered twice");
                break;
            case Store when _heldWrites.Count > 0 || HoldWrites:
                _heldWrites.Add((Store)effect);
                break;
            case Store write:
                Write(write, WriteOutcome.Stored);
                break;
            case ConfirmClaim confirm when HoldConfirmations:
                _heldConfirmations.Enqueue(confirm);
                break;
            case ConfirmClaim confirm:
                Confirm(confirm);
                break;
            case ReadStored:
                Core.Execute(IsUnreadable ? new ReadFailed("the store is away") : new ReadCompleted(Read()), Now);
                break;
        }
    }

    private void Confirm(ConfirmClaim confirm) =>
        Core.Execute(IsUnreadable ? new ClaimReadFailed(confirm.Number, "the store is away")
            : new ClaimRead(confirm.Number, _store.Read().Offsets?.Coordinator), Now);

    private void Write(Store write, WriteOutcome outcome)
    {
        var isStored = false;
        if (outcome is WriteOutcome.Stored or WriteOutcome.StoredUnheard)
        {
            isStored = _store.TryWrite(write, _etags[write.Document], out var etag);
            if (isStored && outcome == WriteOutcome.Stored)
                _etags[write.Document] = etag;
        }
        Core.Execute(isStored && outcome == WriteOutcome.Stored
            ? new StoreCompleted(write.Document, write.Version)
            : new StoreFailed(write.Document, outcome == WriteOutcome.Stored ? "it is not what was read" : "the store failed",
                IsConflict: outcome == WriteOutcome.Stored), Now);
    }
}
