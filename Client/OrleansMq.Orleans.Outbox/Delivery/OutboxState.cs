using Orleans.Storage;

namespace OrleansMq.Outboxes;

/// <summary>
/// The state of a grain with its outbox, over the grain's storage provider. One write or read is under way at a time.
/// <para>The grain's write has the state as it is in memory. The outbox's own writes have the stored state, as it was read just before,
/// with another outbox: what the grain has changed and not written stays unwritten.</para>
/// </summary>
internal sealed class OutboxState<TState> : IOutboxState<TState>, IOutboxStore
    where TState : class, IHasOutbox, new()
{
    private readonly IGrainContext _context;
    private readonly IGrainStorage _storage;
    private readonly string _name;
    private readonly OutboxServices _services;
    private readonly OutboxActivation _activation;
    private readonly SemaphoreSlim _turn = new(1);
    private GrainState<TState> _state = new(new TState());
    // The outbox's own write without a known outcome.
    private Guid? _doubtful;

    public OutboxState(IGrainContext context, IGrainStorage storage, string name, OutboxServices services)
    {
        (_context, _storage, _name, _services) = (context, storage, name, services);
        _activation = new OutboxActivation(context.GrainId, services, this);
        context.ObservableLifecycle.Subscribe($"outbox {name}", GrainLifecycleStage.SetupState, StartAsync, _activation.StopAsync);
    }

    /// <inheritdoc/>
    public IOutbox Outbox => _activation;

    /// <inheritdoc/>
    public TState State
    {
        get => _state.State ??= new TState();
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
            Take(await ReadAsync(cancellationToken));
        _activation.Kick();
    }

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
            if (_activation.Core.IsInDoubt)
                Meet(await ReadAsync(cancellationToken));
            if (_activation.Core is { IsDelivered: false } or { HasAdded: true }
                || _activation.Parked.Count > 0)
            {
                throw new InvalidOperationException($"The state '{_name}' of grain {_context.GrainId} has messages that are not delivered, "
                    + "which would be lost with it: write the state, and await Outbox.FlushAsync(), before it is cleared.");
            }
            await _storage.ClearStateAsync(_name, _context.GrainId, _state, cancellationToken);
            _activation.Core.Adopt(null);
        }
    }

    /// <inheritdoc/>
    public async Task MaintainAsync(bool cleansUp)
    {
        using (await EnterAsync())
        {
            var core = _activation.Core;
            var stored = await ReadAsync(CancellationToken.None);
            Meet(stored);
            if (!stored.RecordExists || !(core.NeedsWrite || (cleansUp && core.IsDelivered && core.InForce.Pending.Count > 0)))
                return;
            var document = core.Compose(withAdded: false, newId: 0, Guid.NewGuid(), static _ => null);
            var isOurs = stored.ETag == _state.ETag;
            (stored.State ??= new TState()).Outbox = document;
            try
            {
                await _storage.WriteStateAsync(_name, _context.GrainId, stored, CancellationToken.None);
            }
            catch
            {
                core.Doubt();
                _doubtful = isOurs ? document.Stamp : null;
                throw;
            }
            core.Adopt(document);
            if (isOurs)
                _state.ETag = stored.ETag;
        }
    }

    private async Task StartAsync(CancellationToken cancellationToken)
    {
        ((OutboxExtension)_context.GetGrainExtension<IOutboxExtension>()).Register(_activation);
        Take(await ReadAsync(cancellationToken));
        _activation.Wrote();
        _activation.Kick();
    }

    private async Task WriteAsync(CancellationToken cancellationToken)
    {
        var core = _activation.Core;
        if (_doubtful is not null)
            Meet(await ReadAsync(cancellationToken));
        IReadOnlyDictionary<string, int> partitions = new Dictionary<string, int>();
        if (core.HasAdded)
        {
            var lookUp = _services.FindPartitionsAsync([.. core.Added.Where(static message => message.Partition < 0)
                .Select(static message => message.Topic)]);
            // Before the write: an activation that ends right after it has left a wake-up.
            await _activation.EnsureWakeUpAsync();
            partitions = await lookUp;
        }
        var added = core.Added.Count;
        var document = core.Compose(withAdded: true, OrleansMq.Producers.OutboxProducers.IdOf(Random.Shared.NextInt64()), Guid.NewGuid(),
            topic => partitions.TryGetValue(topic, out var count) ? count : null);
        State.Outbox = document;
        try
        {
            await _storage.WriteStateAsync(_name, _context.GrainId, _state, cancellationToken);
        }
        catch (Exception failure)
        {
            core.Doubt();
            if (await TryReadAsync() is not { } stored)
                throw;
            if (StampOf(stored) != document.Stamp)
            {
                Take(stored);
                // A write that timed out may come into force later. A wake-up reads the state again.
                if (failure is not InconsistentStateException)
                    core.Doubt();
                throw;
            }
            // The write is in force: only its answer was lost.
            (_state.ETag, _state.RecordExists) = (stored.ETag, true);
        }
        core.Written(document, added);
        _activation.Wrote();
    }

    // The state is what the store has.
    private void Take(GrainState<TState> stored)
    {
        _state = stored;
        _doubtful = null;
        _activation.Core.Drop();
        _activation.Core.Adopt(DocumentOf(stored));
    }

    // What the store has is in force, whatever the grain has in memory.
    private void Meet(GrainState<TState> stored)
    {
        // Only the outbox differs from what the grain's state was based on.
        if (_doubtful is { } stamp && stamp == StampOf(stored))
            _state.ETag = stored.ETag;
        _doubtful = null;
        _activation.Core.Adopt(DocumentOf(stored));
    }

    private static OutboxDocument? DocumentOf(GrainState<TState> stored) => stored.RecordExists ? stored.State?.Outbox : null;

    private static Guid? StampOf(GrainState<TState> stored) => DocumentOf(stored)?.Stamp;

    private async Task<GrainState<TState>> ReadAsync(CancellationToken cancellationToken)
    {
        var stored = new GrainState<TState>(new TState());
        await _storage.ReadStateAsync(_name, _context.GrainId, stored, cancellationToken);
        return stored;
    }

    private async Task<GrainState<TState>?> TryReadAsync()
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
}
