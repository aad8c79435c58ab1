using System.Collections.Concurrent;
using Microsoft.Extensions.DependencyInjection;
using Orleans.Storage;
using OrleansMq.Coordination;
using OrleansMq.Diagnostics;
using OrleansMq.Grains.Hosting;
using OrleansMq.Grains.Storage;
using OrleansMq.Groups.Coordination;
using OrleansMq.State;
using OrleansMq.Transactions;

namespace OrleansMq.Grains.Coordination;

/// <summary>The documents of one kind of coordinator. Thread safe.</summary>
internal interface ICoordinatorStores
{
    /// <summary>The store of one coordinator.</summary>
    IStateStore For(string id);

    /// <summary>The store of documents beside those of the coordinators.</summary>
    IStateStore Shared { get; }

    /// <summary>All ids that have documents, in ordinal order; some may have been deleted.</summary>
    /// <exception cref="IOException">The store does not answer.</exception>
    Task<IReadOnlyList<string>> ListAsync();

    /// <summary>Reads the first document of a coordinator; null where there is none.</summary>
    /// <exception cref="IOException">The store does not answer.</exception>
    ValueTask<StateDocument?> ReadAsync(string id);

    /// <summary>An id of the list has nothing stored.</summary>
    Task ForgetAsync(string id);
}

/// <summary>The documents of all kinds of coordinators on a silo: files where it stands alone, else grain storage with an index. Thread
/// safe.</summary>
internal sealed class CoordinatorDocuments(SiloBroker broker, IServiceProvider services)
{
    private readonly ConcurrentDictionary<GrainType, ICoordinatorStores> _stores = new();

    /// <summary>The documents of one kind.</summary>
    /// <param name="kind">The kind.</param>
    /// <param name="grainType">The type of its grains, which own the documents in grain storage.</param>
    public ICoordinatorStores Of(CoordinatorKind kind, GrainType grainType) =>
        _stores.GetOrAdd(grainType, type => Make(kind, type));

    private ICoordinatorStores Make(CoordinatorKind kind, GrainType grainType)
    {
        var bound = BoundOf(kind);
        return broker.Cluster is null
            ? new FileCoordinatorStores(kind, broker,
                new BoundedStateStore(broker.State, kind.Documents[0].StoreType, bound.Most, bound.Refusal))
            : new IndexedCoordinatorStores(kind,
                new GrainStateStore(services.GetRequiredKeyedService<IGrainStorage>(FileGrainStorage.ProviderName), grainType,
                    broker.Options.TimeProvider),
                bound, broker.Options.Log);
    }

    private CoordinatorBound BoundOf(CoordinatorKind kind)
    {
        if (kind == TransactionDocuments.Kind)
            return new(broker.Options.Transactions.MaxIds, TransactionDocuments.TooMany(broker.Options.Transactions.MaxIds));
        return new(broker.Options.Groups.MaxGroups, GroupDocuments.TooMany(broker.Options.Groups.MaxGroups));
    }
}

/// <summary>The bound of one kind of coordinator.</summary>
/// <param name="Most">The most coordinators that have documents.</param>
/// <param name="Refusal">Why no other is created, and what to do.</param>
internal sealed record CoordinatorBound(int Most, string Refusal);

/// <summary>The files in the data directory of a silo alone, as the standalone host has them. A directory of files is its own
/// index.</summary>
internal sealed class FileCoordinatorStores(CoordinatorKind kind, SiloBroker broker, IStateStore bounded) : ICoordinatorStores
{
    private readonly string _type = kind.Documents[0].StoreType;

    /// <inheritdoc/>
    public IStateStore For(string id) => bounded;

    /// <inheritdoc/>
    public IStateStore Shared => broker.State;

    /// <inheritdoc/>
    public async Task<IReadOnlyList<string>> ListAsync()
    {
        var keys = await broker.State.ListAsync(_type).ConfigureAwait(false);
        return [.. keys.Select(key => key[(_type.Length + 1)..]).Order(StringComparer.Ordinal)];
    }

    /// <inheritdoc/>
    public ValueTask<StateDocument?> ReadAsync(string id) => broker.State.ReadAsync($"{_type}/{id}");

    /// <inheritdoc/>
    public Task ForgetAsync(string id) => Task.CompletedTask;
}

/// <summary>The grain storage of a replicated cluster, and an index.</summary>
/// <param name="kind">The kind of coordinator.</param>
/// <param name="store">The grain storage.</param>
/// <param name="bound">The most coordinators that have documents.</param>
/// <param name="log">Receives warnings.</param>
internal sealed class IndexedCoordinatorStores(CoordinatorKind kind, IStateStore store, CoordinatorBound bound, EngineLog log)
    : ICoordinatorStores
{
    private readonly CoordinatorIndex _index = new(kind, store);

    /// <inheritdoc/>
    public IStateStore For(string id) => new IndexedCoordinatorStore(this, store, _index, kind, id, bound, log);

    /// <inheritdoc/>
    public IStateStore Shared => store;

    /// <inheritdoc/>
    public Task<IReadOnlyList<string>> ListAsync() => _index.ListAsync();

    /// <inheritdoc/>
    public ValueTask<StateDocument?> ReadAsync(string id) => store.ReadAsync($"{kind.Documents[0].StoreType}/{id}");

    /// <inheritdoc/>
    public async Task ForgetAsync(string id)
    {
        if (await ExistsAsync(id).ConfigureAwait(false))
            return;
        await _index.RemoveAsync(id).ConfigureAwait(false);
        if (await ExistsAsync(id).ConfigureAwait(false))
            await _index.AddAsync(id).ConfigureAwait(false);
    }

    // The other documents are written after the first, and deleted before it.
    private async Task<bool> ExistsAsync(string id) => await ReadAsync(id).ConfigureAwait(false) is not null;
}

/// <summary>The documents of one coordinator. Its id stands in the index while it has any: the first document is the first to be written,
/// and the last to be deleted.</summary>
internal sealed class IndexedCoordinatorStore(ICoordinatorStores stores, IStateStore store, CoordinatorIndex index, CoordinatorKind kind,
    string id, CoordinatorBound bound, EngineLog log) : IStateStore
{
    private readonly string _firstKey = $"{kind.Documents[0].StoreType}/{id}";
    private int _wasChecked;

    /// <inheritdoc/>
    public async ValueTask<StateDocument?> ReadAsync(string key, CancellationToken cancellationToken = default)
    {
        var stored = await store.ReadAsync(key, cancellationToken).ConfigureAwait(false);
        // An id that an old crash, or a restored backup, left out of the index is entered when its documents are read.
        if (stored is not null && key == _firstKey && Interlocked.Exchange(ref _wasChecked, 1) == 0)
            _ = TryAsync("be entered into", () => index.AddAsync(id));
        return stored;
    }

    /// <inheritdoc/>
    public async ValueTask<string> WriteAsync(string key, ReadOnlyMemory<byte> value, string? etag,
        CancellationToken cancellationToken = default)
    {
        if (etag is not null || key != _firstKey)
            return await store.WriteAsync(key, value, etag, cancellationToken).ConfigureAwait(false);
        await index.AddAsync(id, bound.Most, bound.Refusal).ConfigureAwait(false);
        var written = await store.WriteAsync(key, value, etag, cancellationToken).ConfigureAwait(false);
        await TryAsync("be entered into", () => index.AddAsync(id)).ConfigureAwait(false);
        return written;
    }

    /// <inheritdoc/>
    public async ValueTask DeleteAsync(string key, string? etag, CancellationToken cancellationToken = default)
    {
        await store.DeleteAsync(key, etag, cancellationToken).ConfigureAwait(false);
        if (key == _firstKey)
            await TryAsync("be removed from", () => stores.ForgetAsync(id)).ConfigureAwait(false);
    }

    /// <inheritdoc/>
    public ValueTask<IReadOnlyList<string>> ListAsync(string type, CancellationToken cancellationToken = default) =>
        store.ListAsync(type, cancellationToken);

    // The document was written, or deleted, already: the index follows when the coordinator is next opened, or listed.
    private async Task TryAsync(string what, Func<Task> change)
    {
        try
        {
            await change().ConfigureAwait(false);
        }
        catch (IOException failure)
        {
            log.Write(EngineLogLevel.Warning,
                $"{kind.Describe(id)} could not {what} the index of {kind.Noun}s; the index is corrected at the next use.", failure);
        }
    }
}
