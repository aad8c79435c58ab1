using OrleansMq.Diagnostics;
using OrleansMq.Grains.Coordination;
using OrleansMq.Groups.Coordination;
using OrleansMq.State;
using OrleansMq.Storage;

namespace OrleansMq.Tests.Cluster.Coordination;

/// <summary>The index of groups, over a store that fails and loses races on cue.</summary>
public sealed class CoordinatorIndexTests
{
    private readonly ScriptedStore _store = new(FileStateStore.Open(new MemoryFileSystem(), "/state"));

    private IndexedCoordinatorStores Stores => new(GroupDocuments.Kind, _store,
        new CoordinatorBound(1000, GroupDocuments.TooMany(1000)), EngineLog.Silent);

    [Fact]
    public async Task Group_is_listed_from_its_first_write_until_its_deletion()
    {
        var stores = Stores;
        Assert.Empty(await stores.ListAsync());
        var store = stores.For("billing");
        Assert.Null(await store.ReadAsync("group/billing"));
        Assert.Empty(await stores.ListAsync());

        var group = await store.WriteAsync("group/billing", "{}"u8.ToArray(), null);
        var offsets = await store.WriteAsync("group-offsets/billing", "{}"u8.ToArray(), null);
        Assert.Equal(["billing"], await stores.ListAsync());

        await store.DeleteAsync("group-offsets/billing", offsets);
        Assert.Equal(["billing"], await Stores.ListAsync());
        await store.DeleteAsync("group/billing", group);
        Assert.Empty(await Stores.ListAsync());
    }

    [Fact]
    public async Task Concurrent_registrations_from_several_silos_lose_no_group()
    {
        var ids = Enumerable.Range(0, 300).Select(i => $"group-{i}").ToArray();
        var silos = new[] { Stores, Stores, Stores };
        await Task.WhenAll(ids.Select((id, i) => silos[i % 3].For(id).WriteAsync($"group/{id}", "{}"u8.ToArray(), null).AsTask()));
        Assert.Equal(ids.Order(StringComparer.Ordinal), await Stores.ListAsync());
    }

    [Fact]
    public async Task Crash_after_the_index_entry_leaves_an_id_that_the_next_listing_removes()
    {
        _store.FailWrites("group/");
        await Assert.ThrowsAsync<IOException>(() => Stores.For("billing").WriteAsync("group/billing", "{}"u8.ToArray(), null).AsTask());
        Assert.Equal(["billing"], await Stores.ListAsync());
        await Stores.ForgetAsync("billing");
        Assert.Empty(await Stores.ListAsync());
    }

    [Fact]
    public async Task Group_that_cannot_be_indexed_is_not_stored()
    {
        _store.FailWrites("group-index/");
        await Assert.ThrowsAsync<IOException>(() => Stores.For("billing").WriteAsync("group/billing", "{}"u8.ToArray(), null).AsTask());
        Assert.Null(await _store.ReadAsync("group/billing"));
    }

    [Fact]
    public async Task Group_missing_from_the_index_is_added_when_opened()
    {
        await _store.WriteAsync("group/billing", "{}"u8.ToArray(), null);
        Assert.Empty(await Stores.ListAsync());
        await Stores.For("billing").ReadAsync("group/billing");
        await Wait.UntilAsync(async () => await Stores.ListAsync() is ["billing"], "it is entered");
    }

    [Fact]
    public async Task Group_created_during_removal_of_its_id_stays_listed()
    {
        // The remover has seen no document; then another silo adds the id and is about to write.
        var entered = Stores.For("billing");
        _store.BeforeWrite("group/", () => new CoordinatorIndex(GroupDocuments.Kind, _store).RemoveAsync("billing"));
        await entered.WriteAsync("group/billing", "{}"u8.ToArray(), null);
        Assert.Equal(["billing"], await Stores.ListAsync());

        // The reverse order: the document appears between the removal of the id and the second check.
        _store.BeforeWrite("group-index/", () => _store.WriteAsync("group/orders", "{}"u8.ToArray(), null).AsTask());
        await new CoordinatorIndex(GroupDocuments.Kind, _store).AddAsync("orders");
        await Stores.ForgetAsync("orders");
        Assert.Equal(["billing", "orders"], await Stores.ListAsync());
    }

    [Fact]
    public async Task Id_above_the_part_of_its_document_is_refused_and_those_that_are_there_are_not()
    {
        var index = new CoordinatorIndex(GroupDocuments.Kind, _store);
        string[] ids = [.. Enumerable.Range(0, 1000).Select(static number => $"g{number}")
            .Where(static id => CoordinatorIndex.ShardOf(id) == 5).Take(3)];
        const int most = 2 * CoordinatorIndex.Shards;
        await index.AddAsync(ids[0], most, "Too many.");
        await index.AddAsync(ids[1], most, "Too many.");
        var refused = await Assert.ThrowsAsync<StateLimitException>(() => index.AddAsync(ids[2], most, "Too many."));
        Assert.Equal("Too many.", refused.Message);
        await index.AddAsync(ids[1], most, "Too many.");
        Assert.Equal(ids[..2].Order(StringComparer.Ordinal), await index.ListAsync());
        await index.RemoveAsync(ids[0]);
        await index.AddAsync(ids[2], most, "Too many.");
    }

    [Fact]
    public async Task Index_documents_have_the_format_of_the_previous_release()
    {
        await new CoordinatorIndex(GroupDocuments.Kind, _store).AddAsync("billing");
        var number = CoordinatorIndex.ShardOf("billing");
        Assert.Equal(12, number);
        Assert.Equal("""{"groups":["billing"]}"""u8.ToArray(), (await _store.ReadAsync("group-index/0c"))!.Value.ToArray());
    }

    private sealed class ScriptedStore(IStateStore store) : IStateStore
    {
        private string? _failing;
        private (string Prefix, Func<Task> Action)? _before;

        public void FailWrites(string prefix) => _failing = prefix;

        public void BeforeWrite(string prefix, Func<Task> action) => _before = (prefix, action);

        public ValueTask<StateDocument?> ReadAsync(string key, CancellationToken cancellationToken = default) =>
            store.ReadAsync(key, cancellationToken);

        public async ValueTask<string> WriteAsync(string key, ReadOnlyMemory<byte> value, string? etag,
            CancellationToken cancellationToken = default)
        {
            if (_failing is { } failing && key.StartsWith(failing, StringComparison.Ordinal))
                throw new IOException("the test says so");
            if (_before is { } before && key.StartsWith(before.Prefix, StringComparison.Ordinal))
            {
                _before = null;
                await before.Action();
            }
            return await store.WriteAsync(key, value, etag, cancellationToken);
        }

        public ValueTask DeleteAsync(string key, string? etag, CancellationToken cancellationToken = default) =>
            store.DeleteAsync(key, etag, cancellationToken);

        public ValueTask<IReadOnlyList<string>> ListAsync(string type, CancellationToken cancellationToken = default) =>
            store.ListAsync(type, cancellationToken);
    }
}
