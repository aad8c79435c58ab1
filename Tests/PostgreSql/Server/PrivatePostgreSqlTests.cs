using Npgsql;
using OrleansMq.PostgreSql.Servers;

namespace OrleansMq.Tests.PostgreSql.Server;

/// <summary>A private server keeps what it acknowledged, and refuses connections without its password.</summary>
public sealed class PrivatePostgreSqlTests(PostgreSqlFixture postgres) : IClassFixture<PostgreSqlFixture>
{
    [SkippableTheory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Committed_rows_survive_a_restart(bool inOrder)
    {
        var server = postgres.Server;
        var (database, port) = (await postgres.DatabaseAsync(), server.Port);
        await PostgreSqlFixture.ExecuteAsync(database, "CREATE TABLE kept AS SELECT 7 AS number");
        await (inOrder ? server.StopAsync() : server.KillAsync());
        Assert.False(server.IsRunning);
        await Assert.ThrowsAnyAsync<NpgsqlException>(() => PostgreSqlFixture.ReadAsync<int>(database, "SELECT number FROM kept"));
        await server.StartAsync();
        Assert.Equal((true, port), (server.IsRunning, server.Port));
        Assert.Equal([7], await PostgreSqlFixture.ReadAsync<int>(database, "SELECT number FROM kept"));
    }

    [SkippableFact]
    public async Task Server_flushes_commits_to_disk()
    {
        var database = postgres.Server.ConnectionString();
        Assert.Equal(["on"], await PostgreSqlFixture.ReadAsync<string>(database, "SHOW fsync"));
        Assert.Equal(["on"], await PostgreSqlFixture.ReadAsync<string>(database, "SHOW synchronous_commit"));
    }

    [SkippableFact]
    public async Task Connection_without_the_password_is_refused()
    {
        var stranger = new NpgsqlConnectionStringBuilder(postgres.Server.ConnectionString()) { Password = "guess" }.ConnectionString;
        var refusal = await Assert.ThrowsAsync<PostgresException>(() => PostgreSqlFixture.ReadAsync<int>(stranger, "SELECT 1"));
        Assert.Equal(PostgresErrorCodes.InvalidPassword, refusal.SqlState);
    }

    [SkippableFact]
    public async Task Directory_that_the_servers_user_cannot_enter_is_refused_with_its_name_and_the_fix()
    {
        _ = postgres.Server;
        var closed = Directory.CreateTempSubdirectory("omq-closed-");
        try
        {
            var start = PrivatePostgreSql.StartAsync(PostgreSqlInstallation.Find()!, Path.Combine(closed.FullName, "server"));
            // Only a server that root starts runs as another user.
            if (Environment.IsPrivilegedProcess)
                Assert.Contains($"chmod o+x {closed.FullName}", (await Assert.ThrowsAsync<InvalidOperationException>(() => start)).Message,
                    StringComparison.Ordinal);
            else
                await (await start).DisposeAsync();
        }
        finally
        {
            closed.Delete(recursive: true);
        }
    }

    [SkippableFact]
    public void Password_is_readable_by_its_owner_alone()
    {
        _ = postgres.Server;
        if (!OperatingSystem.IsWindows())
            Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(postgres.PasswordFile));
    }
}
