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

/// <summary>A state store on top of the grain storage that is on top of a state store: whoever passes the suite through it changed
/// nothing.</summary>
internal sealed class GrainStorageStateStore(IStateStore inner) : IStateStore
{
    private static readonly IServiceProvider Serialization = new ServiceCollection().AddSerializer().BuildServiceProvider();

    private static readonly JsonSerializerOptions Json = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    public FileGrainStorage Storage { get; } = new(inner, Json, Serialization.GetRequiredService<IActivatorProvider>());

    public async ValueTask<StateDocument?> ReadAsync(string key, CancellationToken cancellationToken = default)
    {
        var (type, grain) = Split(key);
        var state = new GrainState<JsonElement>();
        await Storage.ReadStateAsync(type, grain, state);
        return state.RecordExists ? new StateDocument(Encoding.UTF8.GetBytes(state.State.GetRawText()), state.ETag!) : null;
    }

    public async ValueTask<string> WriteAsync(string key, ReadOnlyMemory<byte> value, string? etag,
        CancellationToken cancellationToken = default)
    {
        var (type, grain) = Split(key);
        var state = new GrainState<JsonElement>(JsonSerializer.Deserialize<JsonElement>(value.Span)) { ETag = etag };
        try
        {
            await Storage.WriteStateAsync(type, grain, state);
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
            await Storage.ClearStateAsync(type, grain, state);
        }
        catch (InconsistentStateException conflict)
        {
            throw new StateConflictException(key, conflict.CurrentEtag, conflict.StoredEtag);
        }
        Assert.Equal((false, null), (state.RecordExists, state.ETag));
    }

    /// <summary>Grain storage cannot list; nobody asks it to.</summary>
    public ValueTask<IReadOnlyList<string>> ListAsync(string type, CancellationToken cancellationToken = default) =>
        inner.ListAsync(type, cancellationToken);

    private static (string Type, GrainId Grain) Split(string key)
    {
        var slash = key.IndexOf('/', StringComparison.Ordinal);
        return (key[..slash], GrainId.Create("test", key[(slash + 1)..]));
    }
}
