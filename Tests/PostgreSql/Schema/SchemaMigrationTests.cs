using Npgsql;
using OrleansMq.PostgreSql.Schema;
using OrleansMq.Tests.PostgreSql.Server;

namespace OrleansMq.Tests.PostgreSql.Schema;

/// <summary>The migration against a real server: repeated, concurrent, and refused.</summary>
public sealed class SchemaMigrationTests(PostgreSqlFixture postgres) : IClassFixture<PostgreSqlFixture>
{
    private static readonly string[] AllScripts = [.. SchemaScript.All.Select(script => script.Name)];

    private static int Newest => SchemaScript.All[^1].Version;

    [Fact]
    public void Scripts_are_numbered_without_gaps() =>
        Assert.Equal(Enumerable.Range(1, SchemaScript.All.Count), SchemaScript.All.Select(script => script.Version));

    [SkippableFact]
    public async Task Second_migration_changes_nothing()
    {
        var database = await postgres.DatabaseAsync();
        var first = await SchemaMigration.ApplyAsync(database);
        Assert.Equal((0, Newest), (first.FromVersion, first.ToVersion));
        Assert.Equal(AllScripts, first.Applied);
        var applied = await AppliedAsync(database);
        Assert.Equal(AllScripts, applied.Select(row => row.Split('|')[0]));

        var second = await SchemaMigration.ApplyAsync(database);

        Assert.Equal((Newest, Newest), (second.FromVersion, second.ToVersion));
        Assert.Empty(second.Applied);
        Assert.Equal(applied, await AppliedAsync(database));
    }

    [SkippableFact]
    public async Task Concurrent_migrations_apply_each_script_once()
    {
        var database = await postgres.DatabaseAsync();
        var results = await Task.WhenAll(Enumerable.Range(0, 6).Select(_ => Task.Run(() => SchemaMigration.ApplyAsync(database))));
        Assert.All(results, result => Assert.Equal(Newest, result.ToVersion));
        Assert.Equal(AllScripts, results.SelectMany(result => result.Applied).Order(StringComparer.Ordinal));
    }

    [SkippableFact]
    public async Task Script_may_be_rerun_over_data()
    {
        var database = await postgres.DatabaseAsync();
        await SchemaMigration.ApplyAsync(database);
        await PostgreSqlFixture.ExecuteAsync(database, "INSERT INTO omq_cluster (cluster_id, version) VALUES ('prod', 7)");
        foreach (var script in SchemaScript.All)
            await PostgreSqlFixture.ExecuteAsync(database, script.Text);
        Assert.Equal([7], await PostgreSqlFixture.ReadAsync<int>(database, "SELECT version FROM omq_cluster"));
        Assert.Equal(AllScripts.Length, (await AppliedAsync(database)).Count);
    }

    [SkippableFact]
    public async Task Partly_migrated_database_is_completed()
    {
        var database = await postgres.DatabaseAsync();
        await SchemaMigration.ApplyAsync(database, [.. SchemaScript.All.Take(2)], default);
        var rest = await SchemaMigration.ApplyAsync(database);
        Assert.Equal((2, Newest), (rest.FromVersion, rest.ToVersion));
        Assert.Equal(AllScripts[2..], rest.Applied);
    }

    [SkippableFact]
    public async Task Failed_script_leaves_nothing_and_earlier_ones_stay()
    {
        var database = await postgres.DatabaseAsync();
        SchemaScript broken = new(2, "0002-broken", "CREATE TABLE half_done (a integer); SELECT 1 / 0;");
        var refusal = await Assert.ThrowsAsync<SchemaRefusedException>(() =>
            SchemaMigration.ApplyAsync(database, [SchemaScript.All[0], broken], default));
        Assert.Contains("division by zero", refusal.Message, StringComparison.Ordinal);
        Assert.Equal([false], await PostgreSqlFixture.ReadAsync<bool>(database, "SELECT to_regclass('half_done') IS NOT NULL"));
        Assert.Equal(1, (await SchemaMigration.ApplyAsync(database)).FromVersion);
    }

    [SkippableFact]
    public async Task Newer_schema_is_refused_and_unchanged()
    {
        var database = await postgres.DatabaseAsync();
        await SchemaMigration.ApplyAsync(database);
        await PostgreSqlFixture.ExecuteAsync(database, "INSERT INTO omq_schema_version (version, script) VALUES (4711, '4711-future')");
        var refusal = await Assert.ThrowsAsync<SchemaRefusedException>(() => SchemaMigration.ApplyAsync(database));
        Assert.Contains("version 4711", refusal.Message, StringComparison.Ordinal);
        Assert.Contains($"up to {Newest}", refusal.Message, StringComparison.Ordinal);
        Assert.Equal(AllScripts.Length + 1, (await AppliedAsync(database)).Count);
    }

    [SkippableFact]
    public async Task Queries_of_another_application_are_not_overwritten()
    {
        var database = await postgres.DatabaseAsync();
        await PostgreSqlFixture.ExecuteAsync(database,
            "CREATE TABLE OrleansQuery (QueryKey text PRIMARY KEY, QueryText text); INSERT INTO OrleansQuery VALUES ('ReadFromStorageKey', "
            + "'theirs')");
        var refusal = await Assert.ThrowsAsync<SchemaRefusedException>(() => SchemaMigration.ApplyAsync(database));
        Assert.Contains("Search Path", refusal.Message, StringComparison.Ordinal);
        Assert.Equal(["theirs"], await PostgreSqlFixture.ReadAsync<string>(database, "SELECT QueryText FROM OrleansQuery"));

        await PostgreSqlFixture.ExecuteAsync(database, "CREATE SCHEMA omq");
        var inItsOwn = new NpgsqlConnectionStringBuilder(database) { SearchPath = "omq" }.ConnectionString;
        Assert.Equal(AllScripts, (await SchemaMigration.ApplyAsync(inItsOwn)).Applied);
        Assert.Equal(["theirs"], await PostgreSqlFixture.ReadAsync<string>(database, "SELECT QueryText FROM public.OrleansQuery"));
    }

    [SkippableFact]
    public async Task Wrong_password_and_missing_database_are_refused()
    {
        var server = new NpgsqlConnectionStringBuilder(postgres.Server.ConnectionString()) { Password = "guess" };
        Assert.Contains("28P01", (await RefusalAsync(server.ConnectionString)).Message, StringComparison.Ordinal);
        Assert.Contains("3D000", (await RefusalAsync(postgres.Server.ConnectionString("nowhere"))).Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Unresponsive_server_is_distinguished_from_a_refusal()
    {
        // Port 1 is privileged and unused, so the connection is refused.
        var failure = await Assert.ThrowsAsync<DatabaseUnreachableException>(() =>
            SchemaMigration.ApplyAsync("Host=127.0.0.1;Port=1;Username=omq"));
        Assert.Contains("127.0.0.1:1", failure.Message, StringComparison.Ordinal);
    }

    private static Task<SchemaRefusedException> RefusalAsync(string connectionString) =>
        Assert.ThrowsAsync<SchemaRefusedException>(() => SchemaMigration.ApplyAsync(connectionString));

    private static Task<List<string>> AppliedAsync(string database) =>
        PostgreSqlFixture.ReadAsync<string>(database, "SELECT script || '|' || applied_at FROM omq_schema_version ORDER BY version");
}
