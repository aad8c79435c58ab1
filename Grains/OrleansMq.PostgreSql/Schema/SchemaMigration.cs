using Npgsql;

namespace OrleansMq.PostgreSql.Schema;

/// <summary>Brings a database to the version of the schema that this program knows.</summary>
public static class SchemaMigration
{
    // One number of our own: whoever migrates a database holds it for the length of a script's transaction.
    private const long AdvisoryLock = 0x6F6D715F736368; // "omq_sch"

    // Another's migration may be in the way; none takes nearly as long.
    private const int LockWaitSeconds = 60;

    /// <summary>Applies the scripts that the database lacks, each in a transaction of its own. Does nothing where it lacks none. Any number
    /// may do it at once: each script is applied once.</summary>
    /// <param name="connectionString">Npgsql's, such as <c>Host=db;Database=omq;Username=omq;Password=...</c>. Tables are made in the first
    /// schema of its <c>Search Path</c>.</param>
    /// <param name="cancellationToken">Ends it between two scripts, or undoes the current one.</param>
    /// <returns>What was done.</returns>
    /// <exception cref="ArgumentException">The connection string is none.</exception>
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
                + "Check that the server runs and takes connections there, then run it again.", failure);
        }
        catch (PostgresException refusal)
        {
            throw new SchemaRefusedException($"PostgreSQL at {target} refused: {refusal.MessageText} (SQLSTATE {refusal.SqlState}). "
                + "The user must exist, may connect, and may create tables in the first schema of the search path.", refusal);
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

    /// <summary>0 where there is no schema of ours yet.</summary>
    private static async Task<int> VersionAsync(NpgsqlConnection connection, string target, CancellationToken cancellationToken)
    {
        if (await HasTableAsync(connection, "omq_schema_version", cancellationToken).ConfigureAwait(false))
        {
            using var read = new NpgsqlCommand("SELECT coalesce(max(version), 0) FROM omq_schema_version", connection);
            return (int)(await read.ExecuteScalarAsync(cancellationToken).ConfigureAwait(false))!;
        }
        // The registry has one name for every Orleans application: writing ours into it would change the queries under another.
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
        // No parameters: the text goes as it is, and the @names in the queries it registers stay as they are.
        using var command = new NpgsqlCommand(text, connection);
        await command.ExecuteNonQueryAsync(cancellationToken).ConfigureAwait(false);
    }

    private static SchemaRefusedException Newer(string target, int current, int known) => new(
        $"{target} has schema version {current}, and this program knows only up to {known}: a newer OrleansMq migrated it. "
        + $"Run a release that knows version {current}; nothing was changed.");

    /// <summary>Whether it is the server's absence, its start or its end, rather than its answer.</summary>
    private static bool IsUnreachable(NpgsqlException failure) =>
        failure is PostgresException answer
            ? answer.SqlState is PostgresErrorCodes.CannotConnectNow or PostgresErrorCodes.AdminShutdown or PostgresErrorCodes.CrashShutdown
                or PostgresErrorCodes.TooManyConnections
            : failure.GetBaseException() is System.Net.Sockets.SocketException or IOException or TimeoutException;
}

/// <summary>What a migration did.</summary>
/// <param name="Database">Host, port and database's name, for people.</param>
/// <param name="FromVersion">The schema's version before; 0 where there was none.</param>
/// <param name="ToVersion">The schema's version now.</param>
/// <param name="Applied">The scripts that were applied, in order; those of another who migrated at the same time are not among
/// them.</param>
public sealed record MigrationResult(string Database, int FromVersion, int ToVersion, IReadOnlyList<string> Applied);
