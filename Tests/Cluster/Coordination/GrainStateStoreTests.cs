using Microsoft.Extensions.DependencyInjection;
using Orleans.Serialization;
using Orleans.Serialization.Serializers;
using Orleans.Storage;
using OrleansMq.Grains.Coordination;
using OrleansMq.Grains.Groups;
using OrleansMq.Grains.Storage;
using OrleansMq.State;
using OrleansMq.Storage;
using OrleansMq.Tests.Cluster.PostgreSql;
using OrleansMq.Tests.PostgreSql.Server;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Cluster.Coordination;

/// <summary>The groups' store over PostgreSQL grain storage meets the contract of the file store.</summary>
public sealed class GrainStateStoreTests(PostgreSqlFixture postgres) : StateStoreConformance, IClassFixture<PostgreSqlFixture>
{
    private static readonly GrainType Group = GrainType.Create(GroupGrain.TypeName);

    private protected override async ValueTask<IStateStore> StoreAsync()
    {
        var database = await postgres.DatabaseAsync();
        var storage = await PostgreSqlStorage.OpenAsync(database, StateDocuments.Json);
        return new Listing(new GrainStateStore(storage, Group, TimeProvider.System),
            async type => await PostgreSqlFixture.ReadAsync<string>(database,
            $"SELECT state_name || '/' || substr(grain_id_extension, 3) FROM omq_grain_state WHERE state_name = '{type}'"));
    }

    [Fact]
    public async Task Storage_that_times_out_is_abandoned_and_a_failure_names_the_document()
    {
        var services = new ServiceCollection().AddSerializer().BuildServiceProvider();
        var files = FileStateStore.Open(new MemoryFileSystem(), "/state");
        var storage = new Scripted(new FileGrainStorage(files, StateDocuments.Json, services.GetRequiredService<IActivatorProvider>()));
        var store = new GrainStateStore(storage, Group, TimeProvider.System);
        var etag = await store.WriteAsync("group/billing", "{\"a\":1}"u8.ToArray(), null);
        Assert.Equal("{\"a\":1}"u8.ToArray(), (await files.ReadAsync("group/billing"))!.Value.ToArray());

        storage.Before = () => throw new InvalidOperationException("no connection");
        var failed = await Assert.ThrowsAsync<IOException>(() => store.WriteAsync("group/billing", "{}"u8.ToArray(), etag).AsTask());
        Assert.Contains("group/billing", failed.Message, StringComparison.Ordinal);
        storage.Before = () => Task.Delay(Timeout.Infinite);
        await Assert.ThrowsAsync<IOException>(() => store.ReadAsync("group/billing").AsTask());

        storage.Before = () => Task.CompletedTask;
        Assert.Equal(etag, (await store.ReadAsync("group/billing"))!.ETag);
        await Assert.ThrowsAsync<StateConflictException>(() => store.WriteAsync("group/billing", "{}"u8.ToArray(), null).AsTask());
    }

    private sealed class Listing(IStateStore store, Func<string, ValueTask<IReadOnlyList<string>>> list) : IStateStore
    {
        public ValueTask<StateDocument?> ReadAsync(string key, CancellationToken cancellationToken = default) =>
            store.ReadAsync(key, cancellationToken);

        public ValueTask<string> WriteAsync(string key, ReadOnlyMemory<byte> value, string? etag,
            CancellationToken cancellationToken = default) =>
            store.WriteAsync(key, value, etag, cancellationToken);

        public ValueTask DeleteAsync(string key, string? etag, CancellationToken cancellationToken = default) =>
            store.DeleteAsync(key, etag, cancellationToken);

        public ValueTask<IReadOnlyList<string>> ListAsync(string type, CancellationToken cancellationToken = default) => list(type);
    }

    private sealed class Scripted(IGrainStorage storage) : IGrainStorage
    {
        public Func<Task> Before { get; set; } = () => Task.CompletedTask;

        public async Task ReadStateAsync<T>(string stateName, GrainId grainId, IGrainState<T> grainState)
        {
            await Before();
            await storage.ReadStateAsync(stateName, grainId, grainState);
        }

        public async Task WriteStateAsync<T>(string stateName, GrainId grainId, IGrainState<T> grainState)
        {
            await Before();
            await storage.WriteStateAsync(stateName, grainId, grainState);
        }

        public async Task ClearStateAsync<T>(string stateName, GrainId grainId, IGrainState<T> grainState)
        {
            await Before();
            await storage.ClearStateAsync(stateName, grainId, grainState);
        }
    }
}
