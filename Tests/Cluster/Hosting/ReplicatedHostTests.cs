using System.Net;
using Microsoft.Extensions.Logging;
using Npgsql;
using OrleansMq.Silo.Configuration;
using OrleansMq.Silo.Hosting;
using OrleansMq.Silo.Logging;
using OrleansMq.Tests.PostgreSql.Server;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Cluster.Hosting;

/// <summary>The broker program as a member of a replicated cluster: its start, and what prevents it.</summary>
public sealed class ReplicatedHostTests(PostgreSqlFixture postgres) : IClassFixture<PostgreSqlFixture>, IDisposable
{
    private readonly TempDirectory _one = new();
    private readonly TempDirectory _other = new();
    private readonly LogText _log = new();

    public void Dispose()
    {
        _one.Dispose();
        _other.Dispose();
    }

    [SkippableFact]
    public async Task Broker_publishes_its_addresses_and_restarts_on_other_ports()
    {
        var settings = Settings(_one, await postgres.DatabaseAsync()) with { ClusterId = "mine" };
        string? before;
        await using (var server = await StartAsync(settings))
        {
            Assert.Equal("mine", server.Member!.ClusterId);
            before = server.Member.Orleans;
            Assert.StartsWith("127.0.0.1:", before, StringComparison.Ordinal);
        }
        await using (var server = await StartAsync(settings with { OrleansPort = 0 }))
            Assert.NotEqual(before, server.Member!.Orleans);
        AssertQuiet();
    }

    [SkippableFact]
    public async Task Second_broker_with_the_same_id_is_refused_with_the_first_ones_address()
    {
        var settings = Settings(_one, await postgres.DatabaseAsync());
        await using var one = await StartAsync(settings);
        var refused = await Assert.ThrowsAsync<StartException>(() => StartAsync(settings with { DataDirectory = _other.Path }));
        Assert.All(["Broker 1", one.Member!.Orleans, "--broker-id"],
            part => Assert.Contains(part, refused.Message, StringComparison.Ordinal));
    }

    [SkippableFact]
    public async Task Directory_of_another_cluster_or_of_none_is_refused()
    {
        var settings = Settings(_one, await postgres.DatabaseAsync());
        await using (await StartAsync(settings))
        {
        }
        await RefusedAsync(settings with { ClusterId = "other" }, "--cluster-id orleansmq", _one.Path);
        await RefusedAsync(settings with { BrokerId = 2 }, "--broker-id 1", _one.Path);
        await RefusedAsync(settings with { PostgreSql = null }, "--postgres", _one.Path);
        await using (await StartAsync(settings with { PostgreSql = null, DataDirectory = _other.Path }))
        {
        }
        await RefusedAsync(settings with { DataDirectory = _other.Path }, "without --postgres", _other.Path);
    }

    [SkippableFact]
    public async Task Unresponsive_database_is_retried_and_then_reported_without_its_password()
    {
        var nowhere = new NpgsqlConnectionStringBuilder(await postgres.DatabaseAsync()) { Port = FreePort.Choose(), Password = "hunter2" };
        var settings = Settings(_one, nowhere.ConnectionString) with { StartTimeout = TimeSpan.FromSeconds(4) };
        var message = await RefusedAsync(settings, $"127.0.0.1:{nowhere.Port}", "does not answer", "4 s");
        Assert.Contains("Waiting up to 4 s", _log.ToString(), StringComparison.Ordinal);
        Assert.DoesNotContain("hunter2", message + _log, StringComparison.Ordinal);
    }

    [SkippableFact]
    public async Task Database_user_without_create_rights_is_pointed_to_the_migration()
    {
        var database = await postgres.DatabaseAsync();
        var weak = new NpgsqlConnectionStringBuilder(database) { Username = "weak", Password = "weak" };
        await PostgreSqlFixture.ExecuteAsync(database,
            "DO $$ BEGIN CREATE ROLE weak LOGIN PASSWORD 'weak'; EXCEPTION WHEN duplicate_object THEN END $$");
        await RefusedAsync(Settings(_one, weak.ConnectionString), "omq db migrate", "SQLSTATE 42501");
    }

    [SkippableFact]
    public async Task Unknown_connection_string_key_is_named() =>
        await RefusedAsync(Settings(_one, await postgres.DatabaseAsync() + ";Pasword=hunter2"), "--postgres", "pasword");

    [SkippableFact]
    public async Task Lost_database_is_reported_once_and_does_not_block_shutdown()
    {
        var settings = Settings(_one, await postgres.DatabaseAsync()) with { DrainTimeout = TimeSpan.FromMilliseconds(100) };
        var server = await StartAsync(settings);
        try
        {
            await postgres.Server.StopAsync();
            await LoggedAsync("does not answer");
            await postgres.Server.StartAsync();
            await LoggedAsync("answers again");
            Assert.Single(_log.ToString().Split("answers again")[0].Split('\n'),
                line => line.Contains("does not answer", StringComparison.Ordinal));
            await postgres.Server.StopAsync();
        }
        finally
        {
            await server.DisposeAsync();
            if (!postgres.Server.IsRunning)
                await postgres.Server.StartAsync();
        }
        Assert.Contains("could not leave its cluster", _log.ToString(), StringComparison.Ordinal);
        Assert.True(File.Exists(Path.Combine(_one.Path, "clean-shutdown")));
    }

    private async Task LoggedAsync(string part)
    {
        using var deadline = new CancellationTokenSource(TimeSpan.FromSeconds(60));
        while (!_log.ToString().Contains(part, StringComparison.Ordinal))
            await Task.Delay(50, deadline.Token);
    }

    private async Task<string> RefusedAsync(BrokerSettings settings, params string[] parts)
    {
        var refused = await Assert.ThrowsAsync<StartException>(() => StartAsync(settings));
        Assert.All(parts, part => Assert.Contains(part, refused.Message, StringComparison.OrdinalIgnoreCase));
        Assert.DoesNotContain('\n', refused.Message);
        Assert.DoesNotContain("hunter2", refused.Message, StringComparison.Ordinal);
        return refused.Message;
    }

    private void AssertQuiet() => Complaints.AssertNone(_log.ToString());

    private static BrokerSettings Settings(TempDirectory data, string database) => BrokerSettings.Default with
    {
        DataDirectory = data.Path,
        BrokerId = 1,
        Kafka = null,
        Http = new ListenAddress(IPAddress.Loopback, 0),
        OrleansPort = 0,
        GatewayPort = 0,
        PostgreSql = database,
    };

    private Task<BrokerServer> StartAsync(BrokerSettings settings) =>
        BrokerServer.StartAsync(settings, new ConsoleLog(_log, LogLevel.Information, TimeProvider.System));

    /// <summary>A log that may be read while it is written.</summary>
    private sealed class LogText : StringWriter
    {
        private readonly Lock _lock = new();

        public override void Write(char value)
        {
            lock (_lock)
                base.Write(value);
        }

        public override void Write(string? value)
        {
            lock (_lock)
                base.Write(value);
        }

        public override void Write(char[] buffer, int index, int count)
        {
            lock (_lock)
                base.Write(buffer, index, count);
        }

        public override string ToString()
        {
            lock (_lock)
                return base.ToString();
        }
    }
}
