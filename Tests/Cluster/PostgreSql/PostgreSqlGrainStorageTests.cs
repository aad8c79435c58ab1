using System.Text.Json;
using Orleans.Storage;
using OrleansMq.PostgreSql.Schema;
using OrleansMq.State;
using OrleansMq.Tests.Cluster.Storage;
using OrleansMq.Tests.PostgreSql.Server;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Cluster.PostgreSql;

/// <summary>Orleans' ADO.NET provider over the project's schema meets the contract of the file store, so that the engine cannot tell them
/// apart.</summary>
public sealed class PostgreSqlGrainStorageTests(PostgreSqlFixture postgres) : StateStoreConformance, IClassFixture<PostgreSqlFixture>
{
    private static readonly GrainId Grain = GrainId.Create("omq.topic", "orders");

    private protected override async ValueTask<IStateStore> StoreAsync()
    {
        var database = await MigratedAsync();
        return new GrainStorageStateStore(await OpenAsync(database), async type => await PostgreSqlFixture.ReadAsync<string>(database,
            $"SELECT state_name || '/' || substr(grain_id_extension, 3) FROM omq_grain_state WHERE state_name = '{type}'"));
    }

    [SkippableFact]
    public async Task Concurrent_first_writes_of_one_grain_have_one_winner()
    {
        const int rounds = 25;
        var database = await MigratedAsync();
        IGrainStorage[] silos = [await OpenAsync(database), await OpenAsync(database)];
        for (var round = 0; round < rounds; round++)
        {
            var grain = GrainId.Create("omq.topic", $"race-{round}");
            var states = new[] { State("0"), State("1") };
            for (var silo = 0; silo < silos.Length; silo++)
            {
                await silos[silo].ReadStateAsync("topic", grain, states[silo]);
                Assert.Equal((false, null), (states[silo].RecordExists, states[silo].ETag));
                states[silo].State = Json($"{silo}");
            }
            var attempts = silos.Select((silo, number) =>
                Task.Run(() => Record.ExceptionAsync(() => silo.WriteStateAsync("topic", grain, states[number]))));
            var outcomes = await Task.WhenAll(attempts);
            Assert.IsType<InconsistentStateException>(Assert.Single(outcomes, outcome => outcome is not null));
            var stored = State("null");
            await silos[0].ReadStateAsync("topic", grain, stored);
            Assert.Equal($"{Array.IndexOf(outcomes, null)}", stored.State.GetRawText());
        }
    }

    [SkippableFact]
    public async Task Keys_with_equal_numeric_value_are_different_grains()
    {
        var storage = await OpenAsync(await MigratedAsync());
        string[] keys = ["cafe", "CAFE", "0cafe", "cafe+x", "CAFE+x", "0e1b4c5d6a7f48899aabbccddeeff001",
            "0E1B4C5D6A7F48899AABBCCDDEEFF001"];
        foreach (var key in keys)
            await storage.WriteStateAsync("topic", GrainId.Create("omq.topic", key), State($"\"{key}\""));
        foreach (var key in keys)
        {
            var state = State("null");
            await storage.ReadStateAsync("topic", GrainId.Create("omq.topic", key), state);
            Assert.Equal(key, state.State.GetString());
        }
    }

    [SkippableFact]
    public async Task Stale_etag_is_refused_after_read_write_and_clear()
    {
        var storage = await OpenAsync(await MigratedAsync());
        var (current, stale) = (State("1"), State("2"));
        await storage.WriteStateAsync("topic", Grain, current);
        await storage.ReadStateAsync("topic", Grain, stale);
        await storage.WriteStateAsync("topic", Grain, current);
        await Assert.ThrowsAsync<InconsistentStateException>(() => storage.WriteStateAsync("topic", Grain, stale));
        await Assert.ThrowsAsync<InconsistentStateException>(() => storage.ClearStateAsync("topic", Grain, stale));
        await storage.ClearStateAsync("topic", Grain, current);
        Assert.Equal((false, null), (current.RecordExists, current.ETag));
        await Assert.ThrowsAsync<InconsistentStateException>(() => storage.WriteStateAsync("topic", Grain, stale));
        await storage.WriteStateAsync("topic", Grain, State("3"));
    }

    [SkippableFact]
    public async Task Document_is_the_plain_JSON_state()
    {
        var database = await MigratedAsync();
        var storage = await OpenAsync(database);
        await storage.WriteStateAsync("topic", Grain, State("""{"a":"ä"}"""));
        Assert.Equal(["""{"a":"ä"}"""],
            await PostgreSqlFixture.ReadAsync<string>(database, "SELECT convert_from(payload, 'UTF8') FROM omq_grain_state"));
    }

    [SkippableFact]
    public async Task Another_service_has_separate_state()
    {
        var database = await MigratedAsync();
        await (await OpenAsync(database)).WriteStateAsync("topic", Grain, State("1"));
        var other = State("null");
        await (await OpenAsync(database, "other")).ReadStateAsync("topic", Grain, other);
        Assert.False(other.RecordExists);
    }

    private static JsonElement Json(string text) => JsonSerializer.Deserialize<JsonElement>(text);

    private static GrainState<JsonElement> State(string text) => new(Json(text));

    private async Task<string> MigratedAsync()
    {
        var database = await postgres.DatabaseAsync();
        await SchemaMigration.ApplyAsync(database);
        return database;
    }

    private static Task<IGrainStorage> OpenAsync(string database, string service = "omq") =>
        PostgreSqlStorage.OpenAsync(database, GrainStorageStateStore.Json, service);
}
