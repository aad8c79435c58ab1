using System.Text;
using System.Text.Json;
using Orleans.Storage;
using OrleansMq.State;
using OrleansMq.Storage;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Cluster.Storage;

/// <summary>Grain storage meets the contract of the store under it: same documents, same etags, same conflicts.</summary>
public sealed class FileGrainStorageTests : StateStoreConformance
{
    private readonly FileStateStore _files = FileStateStore.Open(new MemoryFileSystem(), "/state");
    private readonly GrainStorageStateStore _store;

    public FileGrainStorageTests() => _store = GrainStorageStateStore.Over(_files);

    private protected override ValueTask<IStateStore> StoreAsync() => new(_store);

    [Fact]
    public async Task Document_is_the_plain_state()
    {
        var state = new GrainState<JsonElement>(JsonSerializer.Deserialize<JsonElement>("""{"a":1}"""));
        await _store.Storage.WriteStateAsync("topic", GrainId.Create("omq.topic", "orders"), state);
        var stored = await _files.ReadAsync("topic/orders");
        Assert.Equal("""{"a":1}""", Encoding.UTF8.GetString(stored!.Value.Span));
        Assert.Equal(stored.ETag, state.ETag);
    }

    [Fact]
    public async Task Lost_write_reports_the_stored_state()
    {
        var grain = GrainId.Create("omq.topic", "orders");
        var winner = new GrainState<JsonElement>(JsonSerializer.Deserialize<JsonElement>("1"));
        var loser = new GrainState<JsonElement>(JsonSerializer.Deserialize<JsonElement>("2"));
        await _store.Storage.WriteStateAsync("topic", grain, winner);
        var conflict = await Assert.ThrowsAsync<InconsistentStateException>(() => _store.Storage.WriteStateAsync("topic", grain, loser));
        Assert.Equal((winner.ETag, null), (conflict.StoredEtag, conflict.CurrentEtag));
        await _store.Storage.ReadStateAsync("topic", grain, loser);
        Assert.Equal(("1", winner.ETag), (loser.State.GetRawText(), loser.ETag));
    }
}
