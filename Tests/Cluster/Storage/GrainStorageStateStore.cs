using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using Microsoft.Extensions.DependencyInjection;
using Orleans.Serialization;
using Orleans.Serialization.Serializers;
using Orleans.Storage;
using OrleansMq.Grains.Storage;
using OrleansMq.State;

namespace OrleansMq.Tests.Cluster.Storage;

/// <summary>A state store on top of grain storage, to run the store's conformance suite against the storage.</summary>
/// <param name="storage">The grain storage.</param>
/// <param name="list">Lists the keys of a type below the storage, since grain storage cannot.</param>
internal sealed class GrainStorageStateStore(IGrainStorage storage, Func<string, ValueTask<IReadOnlyList<string>>> list) : IStateStore
{
    private static readonly IServiceProvider Serialization = new ServiceCollection().AddSerializer().BuildServiceProvider();

    /// <summary>Options that keep documents unescaped.</summary>
    public static JsonSerializerOptions Json { get; } = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    public IGrainStorage Storage => storage;

    /// <summary>Creates a store on top of grain storage on top of a state store.</summary>
    public static GrainStorageStateStore Over(IStateStore inner) =>
        new(new FileGrainStorage(inner, Json, Serialization.GetRequiredService<IActivatorProvider>()), type => inner.ListAsync(type));

    public async ValueTask<StateDocument?> ReadAsync(string key, CancellationToken cancellationToken = default)
    {
        var (type, grain) = Split(key);
        var state = new GrainState<JsonElement>();
        await storage.ReadStateAsync(type, grain, state);
        return state.RecordExists ? new StateDocument(Encoding.UTF8.GetBytes(state.State.GetRawText()), state.ETag!) : null;
    }

    public async ValueTask<string> WriteAsync(string key, ReadOnlyMemory<byte> value, string? etag,
        CancellationToken cancellationToken = default)
    {
        var (type, grain) = Split(key);
        var state = new GrainState<JsonElement>(JsonSerializer.Deserialize<JsonElement>(value.Span)) { ETag = etag };
        try
        {
            await storage.WriteStateAsync(type, grain, state);
        }
        catch (InconsistentStateException conflict)
        {
            throw new StateConflictException(key, conflict.CurrentEtag, conflict.StoredEtag);
        }
        Assert.True(state.RecordExists);
        return state.ETag!;
    }

    public async ValueTask DeleteAsync(string key, string? etag, CancellationToken cancellationToken = default)
    {
        var (type, grain) = Split(key);
        var state = new GrainState<JsonElement> { ETag = etag, RecordExists = true };
        try
        {
            await storage.ClearStateAsync(type, grain, state);
        }
        catch (InconsistentStateException conflict)
        {
            throw new StateConflictException(key, conflict.CurrentEtag, conflict.StoredEtag);
        }
        Assert.Equal((false, null), (state.RecordExists, state.ETag));
    }

    public ValueTask<IReadOnlyList<string>> ListAsync(string type, CancellationToken cancellationToken = default) => list(type);

    private static (string Type, GrainId Grain) Split(string key)
    {
        var slash = key.IndexOf('/', StringComparison.Ordinal);
        return (key[..slash], GrainId.Create("test", key[(slash + 1)..]));
    }
}
