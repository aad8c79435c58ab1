using System.Text.Json;
using OrleansMq.PostgreSql.Schema;
using OrleansMq.Tests.PostgreSql.Server;
using OrleansMq.Tests.Process.Running;

namespace OrleansMq.Tests.Process.Databases;

/// <summary><c>omq db migrate</c> as an operator runs it.</summary>
public sealed class MigrateCommandTests(PostgreSqlFixture postgres) : IClassFixture<PostgreSqlFixture>
{
    [SkippableFact]
    public async Task Migrate_reports_its_changes_and_then_that_there_are_none()
    {
        var database = await postgres.DatabaseAsync();
        var first = (await MigrateAsync(database)).Expect(0);
        Assert.All(SchemaScript.All, script => Assert.Contains(script.Name, first.Text, StringComparison.Ordinal));
        var second = (await MigrateAsync(database)).Expect(0);
        Assert.Contains("nothing was changed", second.Text, StringComparison.Ordinal);
        Assert.DoesNotContain("Password", first.Text + second.Text, StringComparison.OrdinalIgnoreCase);
    }

    [SkippableFact]
    public async Task Json_output_is_one_object_and_the_environment_may_name_the_database()
    {
        var environment = new Dictionary<string, string?> { ["OMQ_POSTGRES"] = await postgres.DatabaseAsync() };
        var outcome = (await RunningProgram.OmqAsync(["db", "migrate", "--json"], environment: environment)).Expect(0);
        var result = JsonSerializer.Deserialize<JsonElement>(outcome.Text);
        Assert.Equal((0, SchemaScript.All.Count),
            (result.GetProperty("fromVersion").GetInt32(), result.GetProperty("toVersion").GetInt32()));
        Assert.Equal(SchemaScript.All.Select(script => script.Name),
            result.GetProperty("applied").EnumerateArray().Select(name => name.GetString()));
    }

    [SkippableFact]
    public async Task Newer_schema_exits_1()
    {
        var database = await postgres.DatabaseAsync();
        await SchemaMigration.ApplyAsync(database);
        await PostgreSqlFixture.ExecuteAsync(database, "INSERT INTO omq_schema_version (version, script) VALUES (4711, '4711-future')");
        var refusal = (await MigrateAsync(database)).Expect(1);
        Assert.StartsWith("omq: ", refusal.Error, StringComparison.Ordinal);
        Assert.Contains("4711", refusal.Error, StringComparison.Ordinal);
        Assert.Empty(refusal.Output);
    }

    [Fact]
    public async Task Unresponsive_database_exits_3()
    {
        var outcome = (await MigrateAsync("Host=127.0.0.1;Port=1;Username=omq")).Expect(3);
        Assert.Contains("127.0.0.1:1", outcome.Error, StringComparison.Ordinal);
        Assert.Empty(outcome.Output);
    }

    [Fact]
    public async Task File_names_the_database_and_two_forms_are_refused()
    {
        var file = Path.GetTempFileName();
        try
        {
            Assert.Contains("its first line is empty", (await MigrateFromAsync(file)).Expect(2).Error, StringComparison.Ordinal);
            await File.WriteAllTextAsync(file, "Host=127.0.0.1;Port=1;Username=omq;Password=secret\n");
            var outcome = (await MigrateFromAsync(file)).Expect(3);
            Assert.Contains("127.0.0.1:1", outcome.Error, StringComparison.Ordinal);
            Assert.DoesNotContain("secret", outcome.Error, StringComparison.Ordinal);
            var environment = new Dictionary<string, string?> { ["OMQ_POSTGRES_FILE"] = file };
            outcome = (await RunningProgram.OmqAsync(["db", "migrate"], environment: environment)).Expect(3);
            Assert.Contains("127.0.0.1:1", outcome.Error, StringComparison.Ordinal);
            outcome = (await MigrateFromAsync(file, "--postgres", "Host=127.0.0.1")).Expect(2);
            Assert.Contains("--postgres and --postgres-file are two forms of one setting", outcome.Error, StringComparison.Ordinal);
        }
        finally
        {
            File.Delete(file);
        }
    }

    private static Task<Outcome> MigrateFromAsync(string file, params string[] more) =>
        RunningProgram.OmqAsync(["db", "migrate", "--postgres-file", file, .. more]);

    private static Task<Outcome> MigrateAsync(string database) => RunningProgram.OmqAsync(["db", "migrate", "--postgres", database]);
}
