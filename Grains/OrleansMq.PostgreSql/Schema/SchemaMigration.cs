using Npgsql;

namespace OrleansMq.PostgreSql.Schema;

/// <summary>Brings a database to the schema version that this program knows.</summary>
public static class SchemaMigration
{
    // The key of OrleansMq's advisory lock. Each migration holds it for the length of a script's transaction.
    private const long AdvisoryLock = 0x6F6D715F736368; // "omq_sch"

    // Waits for a concurrent migration; none takes nearly as long.
    private const int LockWaitSeconds = 60;

    /// <summary>Applies the missing scripts, each in a transaction of its own; does nothing if none is missing. Concurrent calls are safe:
    /// each script is applied once.</summary>
    /// <param name="connectionString">An Npgsql connection string, such as <c>Host=db;Database=omq;Username=omq;Password=...</c>. Tables
    /// are created in the first schema of its <c>Search Path</c>.</param>
    /// <param name="cancellationToken">Stops the migration; the current script is rolled back.</param>
    /// <returns>What was done.</returns>
    /// <exception cref="ArgumentException">The connection string is malformed.</exception>
    /// <exception cref="DatabaseUnreachableException">The server does not answer.</exception>
    /// <exception cref="SchemaRefusedException">The server refuses, the schema is newer than this program, or the tables of another
    /// application are in the way.</exception>
    public static Task<MigrationResult> ApplyAsync(string connectionString, CancellationToken cancellationToken = default) =>
        ApplyAsync(connectionString, SchemaScript.All, cancellationToken);

    internal static async Task<MigrationResult> ApplyAsync(string connectionString, IReadOnlyList<SchemaScript> scripts,
        CancellationToken cancellationToken)
    {
        var settings = new NpgsqlConnectionStringBuilder(connectionString) { CommandTimeout = LockWaitSeconds };
        var target = $"{settings.Host}:{settings.Port}, database '{settings.Database ?? settings.Username}'";
        try
        {
            var source = NpgsqlDataSource.Create(settings);
            await using (source.ConfigureAwait(false))
            {
                var connection = await source.OpenConnectionAsync(cancellationToken).ConfigureAwait(false);
                await using (connection.ConfigureAwait(false))
                    return await ApplyAsync(connection, target, scripts, cancellationToken).ConfigureAwait(false);
            }
        }
        catch (NpgsqlException failure) when (IsUnreachable(failure))
        {
            throw new DatabaseUnreachableException($"PostgreSQL does not answer at {target}: "
                + $"{failure.GetBaseException().Message.TrimEnd('.')}. "
                + "Check that the server runs and accepts connections there, then retry.", failure);
        }
        catch (PostgresException refusal)
        {
            throw new SchemaRefusedException($"PostgreSQL at {target} refused: {refusal.MessageText} (SQLSTATE {refusal.SqlState}). "
                + "The user must exist and must be allowed to connect and to create tables in the first schema of the search path.",
                refusal);
        }
        catch (NpgsqlException failure)
        {
            throw new SchemaRefusedException($"PostgreSQL at {target}: {failure.Message}", failure);
        }
    }

    private static async Task<MigrationResult> ApplyAsync(NpgsqlConnection connection, string target, IReadOnlyList<SchemaScript> scripts,
        CancellationToken cancellationToken)
    {
        var applied = new List<string>();
        int? before = null;
        while (true)
        {
            var transaction = await connection.BeginTransactionAsync(cancellationToken).ConfigureAwait(false);
            await using (transaction.ConfigureAwait(false))
            {
                await ExecuteAsync(connection, $"SELECT pg_advisory_xact_lock({AdvisoryLock})", cancellationToken).ConfigureAwait(false);
                var current = await VersionAsync(connection, target, cancellationToken).ConfigureAwait(false);
                before ??= current;
                if (current > scripts[^1].Version)
                    throw Newer(target, current, scripts[^1].Version);
                if (scripts.FirstOrDefault(script => script.Version > current) is not { } next)
                    return new MigrationResult(target, before.Value, current, applied);
                await ExecuteAsync(connection, next.Text, cancellationToken).ConfigureAwait(false);
                await transaction.CommitAsync(cancellationToken).ConfigureAwait(false);
                applied.Add(next.Name);
            }
        }
    }

    /// <summary>Reads the schema's version; 0 if there is none yet.</summary>
    private static async Task<int> VersionAsync(NpgsqlConnection connection, string target, CancellationToken cancellationToken)
    {
        if (await HasTableAsync(connection, "omq_schema_version", cancellationToken).ConfigureAwait(false))
        {
            using var read = new NpgsqlCommand("SELECT coalesce(max(version), 0) FROM omq_schema_version", connection);
            return (int)(await read.ExecuteScalarAsync(cancellationToken).ConfigureAwait(false))!;
        }
        // The registry's name is the same for every Orleans application: registering our queries would change those of another one.
        if (await HasTableAsync(connection, "orleansquery", cancellationToken).ConfigureAwait(false))
        {
            throw new SchemaRefusedException($"{target} has a table OrleansQuery that OrleansMq did not make: another Orleans application "
                + "uses it. Give OrleansMq a database of its own, or a schema of its own by 'Search Path=...' in the connection string.");
        }
        return 0;
    }

    private static async Task<bool> HasTableAsync(NpgsqlConnection connection, string name, CancellationToken cancellationToken)
    {
        using var look = new NpgsqlCommand("SELECT to_regclass(@name) IS NOT NULL", connection) { Parameters = { new("name", name) } };
        return (bool)(await look.ExecuteScalarAsync(cancellationToken).ConfigureAwait(false))!;
    }

    private static async Task ExecuteAsync(NpgsqlConnection connection, string text, CancellationToken cancellationToken)
    {
        // Without parameters the text is sent unchanged, so the @names in the queries that it registers stay intact.
        using var command = new NpgsqlCommand(text, connection);
        await command.ExecuteNonQueryAsync(cancellationToken).ConfigureAwait(false);
    }

    private static SchemaRefusedException Newer(string target, int current, int known) => new(
        $"{target} has schema version {current}, and this program knows only up to {known}: a newer OrleansMq migrated it. "
        + $"Run a release that knows version {current}; nothing was changed.");

    /// <summary>Whether the failure means that the server is down, starting or stopping, rather than that it refused.</summary>
    private static bool IsUnreachable(NpgsqlException failure) =>
        failure is PostgresException answer
            ? answer.SqlState is PostgresErrorCodes.CannotConnectNow or PostgresErrorCodes.AdminShutdown or PostgresErrorCodes.CrashShutdown
                or PostgresErrorCodes.TooManyConnections
            : failure.GetBaseException() is System.Net.Sockets.SocketException or IOException or TimeoutException;
}

/// <summary>The result of a migration.</summary>
/// <param name="Database">Host, port and database name, for messages.</param>
/// <param name="FromVersion">The schema's version before; 0 if there was none.</param>
/// <param name="ToVersion">The schema's version now.</param>
/// <param name="Applied">The scripts that this call applied, in order, without those of a concurrent migration.</param>
public sealed record MigrationResult(string Database, int FromVersion, int ToVersion, IReadOnlyList<string> Applied);
