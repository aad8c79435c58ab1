using System.Text.Json;
using OrleansMq.State;

namespace OrleansMq.VirtualHosts;

/// <summary>
/// The documents of one virtual host in the store: its own, and its shards. It knows the etag of each, so every write is a compare-and-swap
/// on what was last read or written. Writes to different documents may overlap. Where a write fails, what is stored is unknown, and the
/// document must be read again.
/// </summary>
/// <param name="store">The store.</param>
/// <param name="name">The virtual host.</param>
internal sealed class VirtualHostDocuments(IStateStore store, string name)
{
    private readonly string _key = KeyOf(name);
    private readonly string?[] _shardETags = new string?[VirtualHostShard.Count];
    private string? _etag;

    /// <summary>Returns the key of a virtual host's own document.</summary>
    public static string KeyOf(string name) => $"{VirtualHostSettings.StoreType}/{name}";

    /// <summary>Reads the virtual host's own document.</summary>
    /// <exception cref="CorruptStateException">It is damaged.</exception>
    public async Task<VirtualHostSettings?> ReadAsync(CancellationToken cancellationToken = default)
    {
        var settings = await ReadClaimAsync(cancellationToken).ConfigureAwait(false);
        _etag = settings?.ETag;
        return settings?.Value;
    }

    /// <summary>Reads the epoch of the owner that is stored; null for no virtual host.</summary>
    public async Task<int?> ReadEpochAsync(CancellationToken cancellationToken) =>
        (await ReadClaimAsync(cancellationToken).ConfigureAwait(false))?.Value.Epoch;

    /// <summary>Writes the virtual host's own document.</summary>
    public async Task WriteAsync(VirtualHostSettings settings) => _etag = await store.WriteAsync(_key,
        JsonSerializer.SerializeToUtf8Bytes(settings, VirtualHostJson.Default.VirtualHostSettings), _etag).ConfigureAwait(false);

    /// <summary>Deletes the virtual host's own document.</summary>
    public async Task DeleteAsync()
    {
        await store.DeleteAsync(_key, _etag).ConfigureAwait(false);
        _etag = null;
    }

    /// <summary>Reads all shards, at once.</summary>
    /// <returns>The shards by number, null where there is no document.</returns>
    /// <exception cref="CorruptStateException">One is damaged.</exception>
    public Task<VirtualHostShardDocument?[]> ReadShardsAsync(CancellationToken cancellationToken = default) =>
        Task.WhenAll(Enumerable.Range(0, VirtualHostShard.Count).Select(shard => ReadShardAsync(shard, cancellationToken)));

    /// <summary>Whether a shard has a document, as far as this owner knows.</summary>
    public bool HasShard(int shard) => _shardETags[shard] is not null;

    /// <summary>Writes a shard. <see cref="FieldTable.MaxDepth"/> bounds the levels of its JSON.</summary>
    public async Task WriteShardAsync(int shard, VirtualHostShardDocument document) => _shardETags[shard] =
        await store.WriteSerializedAsync(VirtualHostShard.KeyOf(name, shard), document.ToBytes(), _shardETags[shard])
            .ConfigureAwait(false);

    /// <summary>Deletes a shard.</summary>
    public async Task DeleteShardAsync(int shard)
    {
        await store.DeleteAsync(VirtualHostShard.KeyOf(name, shard), _shardETags[shard]).ConfigureAwait(false);
        _shardETags[shard] = null;
    }

    private async Task<VirtualHostShardDocument?> ReadShardAsync(int shard, CancellationToken cancellationToken)
    {
        var key = VirtualHostShard.KeyOf(name, shard);
        var stored = await store.ReadAsync(key, cancellationToken).ConfigureAwait(false);
        _shardETags[shard] = stored?.ETag;
        return stored is null ? null : Parse(key, () => VirtualHostShardDocument.Parse(stored.Value.Span));
    }

    private async Task<(VirtualHostSettings Value, string ETag)?> ReadClaimAsync(CancellationToken cancellationToken)
    {
        var stored = await store.ReadAsync(_key, cancellationToken).ConfigureAwait(false);
        return stored is null ? null : (Parse(_key, () => JsonSerializer.Deserialize(stored.Value.Span,
            VirtualHostJson.Default.VirtualHostSettings) ?? throw new JsonException("It is null.")), stored.ETag);
    }

    private static T Parse<T>(string key, Func<T> parse)
    {
        try
        {
            return parse();
        }
        catch (JsonException damaged)
        {
            throw new CorruptStateException(key, damaged);
        }
    }
}
