using Orleans.Storage;

namespace OrleansMq.Outboxes;

/// <summary>
/// The state of a grain with its outbox, over the grain's storage provider. One write or read is under way at a time.
/// <para>The grain's write has the state as it is in memory when it begins: what an interleaved call changes meanwhile belongs to its own
/// write, with its messages. The outbox's own writes have the stored state, as it was read just before, with another outbox: what the grain
/// has changed and not written stays unwritten.</para>
/// <para>A write of the grain that throws, for whatever reason, ends the activation: what was changed and added since the last write is
/// dropped, whichever call did it, and no later write of this activation succeeds. So no call returns as if a change were stored that was
/// dropped with the write of another call, and a call that is repeated finds what the store has. The outbox's own writes end nothing: they
/// have nothing of the grain's, and are repeated.</para>
/// </summary>
internal sealed class OutboxState<TState> : IOutboxState<TState>, IOutboxStore
    where TState : class, IHasOutbox, new()
{
    private readonly IGrainContext _context;
    private readonly IGrainStorage _storage;
    private readonly string _name;
    private readonly OutboxServices _services;
    private readonly OutboxActivation _activation;
    private readonly Func<TState, TState>? _copy;
    private readonly SemaphoreSlim _turn = new(1);
    private GrainState<TState> _state = new(new TState());
    // The last write, while its outcome is not known.
    private Doubted? _doubted;
    private bool _hasEnded;
    private bool _isUnknown;

    /// <param name="context">The activation.</param>
    /// <param name="storage">The storage provider.</param>
    /// <param name="name">The state's name.</param>
    /// <param name="services">What the outboxes of the silo share.</param>
    /// <param name="copy">Copies a state; null: a write hands over the state itself.</param>
    public OutboxState(IGrainContext context, IGrainStorage storage, string name, OutboxServices services, Func<TState, TState>? copy)
    {
        (_context, _storage, _name, _services, _copy) = (context, storage, name, services, copy);
        _activation = new OutboxActivation(context.GrainId, name, services, this);
        context.ObservableLifecycle.Subscribe($"outbox {name}", GrainLifecycleStage.SetupState, StartAsync, _activation.StopAsync);
    }

    /// <inheritdoc/>
    public IOutbox Outbox => _activation;

    /// <inheritdoc/>
    public TState State
    {
        get => _isUnknown ? throw Ended() : _state.State ??= new TState();
        set => _state.State = value;
    }

    /// <inheritdoc/>
    public string? Etag => _state.ETag;

    /// <inheritdoc/>
    public bool RecordExists => _state.RecordExists;

    /// <inheritdoc/>
    public Task ReadStateAsync() => ReadStateAsync(CancellationToken.None);

    /// <inheritdoc/>
    public async Task ReadStateAsync(CancellationToken cancellationToken)
    {
        using (await EnterAsync())
        {
            Take(await ReadAsync(cancellationToken));
            _isUnknown = false;
        }
        _activation.Kick();
    }

    /// <inheritdoc/>
    public bool HasRow { get; private set; }

    /// <inheritdoc/>
    public Task WriteStateAsync() => WriteStateAsync(CancellationToken.None);

    /// <inheritdoc/>
    public async Task WriteStateAsync(CancellationToken cancellationToken)
    {
        try
        {
            using (await EnterAsync())
                await WriteAsync(cancellationToken);
        }
        finally
        {
            // After a failure, too: another activation may have written.
            _activation.Kick();
        }
    }

    /// <inheritdoc/>
    public Task ClearStateAsync() => ClearStateAsync(CancellationToken.None);

    /// <inheritdoc/>
    public async Task ClearStateAsync(CancellationToken cancellationToken)
    {
        using (await EnterAsync())
        {
            if (_hasEnded)
                throw Ended();
            if (_activation.Core.IsInDoubt)
                Meet(await ReadAsync(cancellationToken));
            if (_activation.Core is { IsDelivered: false } or { HasAdded: true }
                || _activation.Parked.Count > 0)
            {
                var topics = _activation.Core.Pending.Concat(_activation.Parked).Select(static message => message.Topic).Distinct();
                throw new InvalidOperationException($"The state '{_name}' of grain {_context.GrainId} has messages that are not delivered, "
                    + $"or are parked, for topics {string.Join(", ", topics)}. They would be lost with it: write the state, and await "
                    + "Outbox.FlushAsync(), or call DiscardPending or DiscardParked and write, before it is cleared.");
            }
            try
            {
                await _storage.ClearStateAsync(_name, _context.GrainId, _state, cancellationToken);
            }
            catch
            {
                End(await TryReadAsync());
                throw;
            }
            _activation.Core.Adopt(null);
            _activation.Change();
            HasRow = false;
        }
    }

    /// <inheritdoc/>
    public async Task MaintainAsync(bool cleansUp, bool fences = false)
    {
        using (await EnterAsync())
        {
            var core = _activation.Core;
            var stored = await ReadAsync(CancellationToken.None);
            Meet(stored);
            if (!stored.Row.RecordExists
                || !(fences || core.NeedsWrite || (cleansUp && core.IsDelivered && core.InForce.Pending.Count > 0)))
                return;
            var document = core.Compose(withAdded: false, newId: 0, Guid.NewGuid(), static _ => null);
            var isOurs = stored.Row.ETag == _state.ETag;
            var turn = _activation.Records.Begin();
            (stored.Row.State ??= new TState()).Outbox = document;
            try
            {
                await _storage.WriteStateAsync(_name, _context.GrainId, stored.Row, CancellationToken.None);
            }
            catch
            {
                Doubt(new Doubted(document.Stamp, turn, isOurs));
                throw;
            }
            core.Adopt(document, isOwn: true);
            _activation.Change();
            _activation.Records.Wrote(turn);
            if (document.Pending.Count == 0)
                _activation.Records.FoundNothing(turn);
            if (isOurs)
                _state.ETag = stored.Row.ETag;
        }
    }

    /// <inheritdoc/>
    public async Task IdleAsync() => (await EnterAsync()).Dispose();

    private async Task StartAsync(CancellationToken cancellationToken)
    {
        ((OutboxExtension)_context.GetGrainExtension<IOutboxExtension>()).Register(_name, _activation);
        Take(await ReadAsync(cancellationToken));
        _activation.Start();
    }

    private async Task WriteAsync(CancellationToken cancellationToken)
    {
        if (_hasEnded)
            throw Ended();
        var core = _activation.Core;
        IReadOnlyDictionary<string, int> partitions;
        try
        {
            partitions = await PrepareAsync(cancellationToken);
        }
        catch
        {
            End(await TryReadAsync());
            throw;
        }
        var document = core.Compose(withAdded: true, OrleansMq.Producers.OutboxProducers.IdOf(Random.Shared.NextInt64()), Guid.NewGuid(),
            topic => partitions.TryGetValue(topic, out var count) ? count : null);
        var row = RowOf(document);
        var turn = _activation.Records.Begin();
        try
        {
            await _storage.WriteStateAsync(_name, _context.GrainId, row, cancellationToken);
            (_state.ETag, _state.RecordExists) = (row.ETag, row.RecordExists);
        }
        catch
        {
            Doubt(new Doubted(document.Stamp, turn, IsOurs: true));
            var stored = await TryReadAsync();
            if (stored is null || StampOf(stored) != document.Stamp)
            {
                End(stored);
                throw;
            }
            // The write is in force: only its answer was lost.
            (_state.ETag, _state.RecordExists) = (stored.Row.ETag, true);
        }
        _doubted = null;
        HasRow = true;
        core.Written(document);
        _activation.Change();
        _activation.Records.Wrote(turn);
        _activation.Wrote();
    }

    // What is written: the state as it is now, with a document.
    private GrainState<TState> RowOf(OutboxDocument document)
    {
        var state = State;
        state.Outbox = document;
        return _copy is null ? _state : new GrainState<TState>(_copy(state), _state.ETag) { RecordExists = _state.RecordExists };
    }

    // Makes ready what a write needs. Returns the numbers of partitions that are known.
    private async Task<IReadOnlyDictionary<string, int>> PrepareAsync(CancellationToken cancellationToken)
    {
        var core = _activation.Core;
        if (_doubted is not null)
            Meet(await ReadAsync(cancellationToken));
        if (!core.HasAdded)
            return new Dictionary<string, int>();
        var lookUp = _services.FindPartitionsAsync([.. core.Added.Where(static message => message.Partition < 0)
            .Select(static message => message.Topic)]);
        // Before the write: an activation that ends right after it has left a wake-up.
        await _activation.EnsureWakeUpAsync();
        return await lookUp;
    }

    // The grain's write has failed.
    private void End(Stored? stored)
    {
        if (stored is not null)
            Take(stored);
        else
        {
            _activation.Core.Drop();
            _isUnknown = true;
        }
        _activation.Leave();
        _hasEnded = true;
        _context.Deactivate(new DeactivationReason(DeactivationReasonCode.ApplicationError, $"A write of state '{_name}' failed."));
    }

    private InconsistentStateException Ended() => new($"An earlier write of state '{_name}' of grain {_context.GrainId} failed, and what "
        + "was changed since the last one is dropped. This activation ends: repeat the call, which reaches a new one with what is stored.");

    // A write without a known outcome may be in force, or come into force later.
    private void Doubt(Doubted write)
    {
        _doubted = write;
        _activation.Core.Doubt();
        _activation.Records.Doubt();
    }

    // The state is what the store has.
    private void Take(Stored stored)
    {
        _state = stored.Row;
        _activation.Core.Drop();
        Adopt(stored);
    }

    // What the store has is in force, whatever the grain has in memory.
    private void Meet(Stored stored)
    {
        // Only the outbox differs from what the grain's state was based on.
        if (_doubted is { IsOurs: true } write && write.Stamp == StampOf(stored))
            _state.ETag = stored.Row.ETag;
        Adopt(stored);
    }

    private void Adopt(Stored stored)
    {
        var records = _activation.Records;
        var stamp = StampOf(stored);
        if (_doubted is { } write && write.Stamp == stamp)
            records.Wrote(write.Turn);
        else if (stamp != _activation.Core.InForce.Stamp)
            records.Distrust();
        _doubted = null;
        HasRow = stored.Row.RecordExists;
        _activation.Core.Adopt(DocumentOf(stored));
        _activation.Change();
        if (_activation.Core.InForce.Pending.Count == 0)
            records.FoundNothing(stored.Turn);
    }

    private static OutboxDocument? DocumentOf(Stored stored) => stored.Row.RecordExists ? stored.Row.State?.Outbox : null;

    private static Guid StampOf(Stored stored) => DocumentOf(stored)?.Stamp ?? Guid.Empty;

    private async Task<Stored> ReadAsync(CancellationToken cancellationToken)
    {
        var stored = new Stored(new GrainState<TState>(new TState()), _activation.Records.Begin());
        await _storage.ReadStateAsync(_name, _context.GrainId, stored.Row, cancellationToken);
        return stored;
    }

    private async Task<Stored?> TryReadAsync()
    {
        try
        {
            return await ReadAsync(CancellationToken.None);
        }
        catch (Exception)
        {
            // The failure of the write is thrown; the next write or read finds out.
            return null;
        }
    }

    private async Task<Turn> EnterAsync()
    {
        await _turn.WaitAsync();
        _activation.Writes++;
        return new Turn(this);
    }

    private readonly struct Turn(OutboxState<TState> state) : IDisposable
    {
        public void Dispose()
        {
            state._activation.Writes--;
            state._turn.Release();
        }
    }

    // What a read has found, and when it began.
    private sealed record Stored(GrainState<TState> Row, long Turn);

    private readonly record struct Doubted(Guid Stamp, long Turn, bool IsOurs);
}
