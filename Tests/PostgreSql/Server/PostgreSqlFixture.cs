using Npgsql;
using OrleansMq.PostgreSql.Servers;

namespace OrleansMq.Tests.PostgreSql.Server;

/// <summary>One real server for the tests of a class. Each test creates a database of its own.</summary>
public sealed class PostgreSqlFixture : IAsyncLifetime
{
    private readonly string _directory = Directory.CreateTempSubdirectory("omq-pg-").FullName;
    private PrivatePostgreSql? _server;

    /// <summary>The server. The test is skipped if this machine has none.</summary>
    internal PrivatePostgreSql Server
    {
        get
        {
            Skip.If(_server is null, "needs PostgreSQL's server programs");
            return _server;
        }
    }

    public async Task InitializeAsync()
    {
        if (PostgreSqlInstallation.Find() is { } installation)
            _server = await PrivatePostgreSql.StartAsync(installation, _directory);
    }

    public async Task DisposeAsync()
    {
        if (_server is not null)
            await _server.DisposeAsync();
        Directory.Delete(_directory, recursive: true);
    }

    /// <summary>The file with the superuser's password.</summary>
    public string PasswordFile => Path.Combine(_directory, "password");

    /// <summary>Creates an empty database.</summary>
    /// <returns>Its connection string.</returns>
    public async Task<string> DatabaseAsync()
    {
        var name = $"test_{Guid.NewGuid():N}";
        await ExecuteAsync(Server.ConnectionString(), $"CREATE DATABASE {name}");
        return Server.ConnectionString(name);
    }

    /// <summary>Runs a statement.</summary>
    public static async Task ExecuteAsync(string connectionString, string statement)
    {
        await using var source = NpgsqlDataSource.Create(connectionString);
        await using var command = source.CreateCommand(statement);
        await command.ExecuteNonQueryAsync();
    }

    /// <summary>Reads the first column.</summary>
    public static async Task<List<T>> ReadAsync<T>(string connectionString, string query)
    {
        await using var source = NpgsqlDataSource.Create(connectionString);
        await using var command = source.CreateCommand(query);
        await using var reader = await command.ExecuteReaderAsync();
        var values = new List<T>();
        while (await reader.ReadAsync())
            values.Add(reader.GetFieldValue<T>(0));
        return values;
    }
}
