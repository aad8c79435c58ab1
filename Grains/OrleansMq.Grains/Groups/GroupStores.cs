using OrleansMq.Diagnostics;
using OrleansMq.Grains.Hosting;
using OrleansMq.Groups.Coordination;
using OrleansMq.State;

namespace OrleansMq.Grains.Groups;

/// <summary>Where groups keep their documents. Thread safe.</summary>
internal interface IGroupStores
{
    /// <summary>The store for one group's coordinator.</summary>
    IStateStore For(string groupId);

    /// <summary>The ids of all groups that have stored something, in ordinal order; some of them may have been deleted.</summary>
    /// <exception cref="IOException">The store does not answer.</exception>
    Task<IReadOnlyList<string>> ListAsync();

    /// <summary>What is stored of a group's members; null where nothing is.</summary>
    /// <exception cref="IOException">The store does not answer.</exception>
    ValueTask<StateDocument?> ReadAsync(string groupId);

    /// <summary>A group of the list proved to have nothing stored.</summary>
    Task ForgetAsync(string groupId);
}

/// <summary>Of a silo alone: the files in its data directory, as the standalone host has them. A directory of files is its own
/// index.</summary>
internal sealed class FileGroupStores(SiloBroker broker) : IGroupStores
{
    /// <inheritdoc/>
    public IStateStore For(string groupId) => broker.State;

    /// <inheritdoc/>
    public async Task<IReadOnlyList<string>> ListAsync()
    {
        var keys = await broker.State.ListAsync(GroupDocument.StoreType).ConfigureAwait(false);
        return [.. keys.Select(key => key[GroupDocument.KeyOf("").Length..]).Order(StringComparer.Ordinal)];
    }

    /// <inheritdoc/>
    public ValueTask<StateDocument?> ReadAsync(string groupId) => broker.State.ReadAsync(GroupDocument.KeyOf(groupId));

    /// <inheritdoc/>
    public Task ForgetAsync(string groupId) => Task.CompletedTask;
}

/// <summary>Of a replicated cluster: its grain storage, and an index.</summary>
internal sealed class IndexedGroupStores(IStateStore store, EngineLog log) : IGroupStores
{
    private readonly GroupIndex _index = new(store);

    /// <inheritdoc/>
    public IStateStore For(string groupId) => new IndexedGroupStore(this, store, _index, groupId, log);

    /// <inheritdoc/>
    public Task<IReadOnlyList<string>> ListAsync() => _index.ListAsync();

    /// <inheritdoc/>
    public ValueTask<StateDocument?> ReadAsync(string groupId) => store.ReadAsync(GroupDocument.KeyOf(groupId));

    /// <inheritdoc/>
    public async Task ForgetAsync(string groupId)
    {
        if (await ExistsAsync(groupId).ConfigureAwait(false))
            return;
        await _index.RemoveAsync(groupId).ConfigureAwait(false);
        if (await ExistsAsync(groupId).ConfigureAwait(false))
            await _index.AddAsync(groupId).ConfigureAwait(false);
    }

    // Its offsets are written after it, and deleted before.
    private async Task<bool> ExistsAsync(string groupId) => await ReadAsync(groupId).ConfigureAwait(false) is not null;
}

/// <summary>The documents of one group; sees to it that the group stands in the index for as long as it has any: its own is the first that
/// is written, and the last that is deleted.</summary>
internal sealed class IndexedGroupStore(IGroupStores stores, IStateStore store, GroupIndex index, string groupId, EngineLog log)
    : IStateStore
{
    private readonly string _groupKey = GroupDocument.KeyOf(groupId);
    private int _wasChecked;

    /// <inheritdoc/>
    public async ValueTask<StateDocument?> ReadAsync(string key, CancellationToken cancellationToken = default)
    {
        var stored = await store.ReadAsync(key, cancellationToken).ConfigureAwait(false);
        // What an old crash, or a backup that was restored, left out of the index is found again when its group is.
        if (stored is not null && key == _groupKey && Interlocked.Exchange(ref _wasChecked, 1) == 0)
            _ = TryAsync("be entered into", () => index.AddAsync(groupId));
        return stored;
    }

    /// <inheritdoc/>
    public async ValueTask<string> WriteAsync(string key, ReadOnlyMemory<byte> value, string? etag,
        CancellationToken cancellationToken = default)
    {
        if (etag is not null || key != _groupKey)
            return await store.WriteAsync(key, value, etag, cancellationToken).ConfigureAwait(false);
        await index.AddAsync(groupId).ConfigureAwait(false);
        var written = await store.WriteAsync(key, value, etag, cancellationToken).ConfigureAwait(false);
        await TryAsync("be entered into", () => index.AddAsync(groupId)).ConfigureAwait(false);
        return written;
    }

    /// <inheritdoc/>
    public async ValueTask DeleteAsync(string key, string? etag, CancellationToken cancellationToken = default)
    {
        await store.DeleteAsync(key, etag, cancellationToken).ConfigureAwait(false);
        if (key == _groupKey)
            await TryAsync("be removed from", () => stores.ForgetAsync(groupId)).ConfigureAwait(false);
    }

    /// <inheritdoc/>
    public ValueTask<IReadOnlyList<string>> ListAsync(string type, CancellationToken cancellationToken = default) =>
        store.ListAsync(type, cancellationToken);

    // The document was written, or deleted, already: the index follows when the group is next opened, or listed.
    private async Task TryAsync(string what, Func<Task> change)
    {
        try
        {
            await change().ConfigureAwait(false);
        }
        catch (IOException failure)
        {
            log.Write(EngineLogLevel.Warning,
                $"Group '{groupId}' could not {what} the index of groups; that is made up for when it is used next.", failure);
        }
    }
}
