using System.CommandLine;
using System.Text.Json.Serialization;
using OrleansMq.Cli.CommandLine;
using OrleansMq.Cli.Terminal;
using OrleansMq.PostgreSql.Schema;

namespace OrleansMq.Cli.Databases;

/// <summary><c>omq db ...</c>: the database in which a cluster stores its members and grain state.</summary>
internal static class DatabaseCommands
{
    /// <summary>Creates the command.</summary>
    public static Command Create() => new OmqCommand("db", "Manages a cluster's PostgreSQL database.",
        """omq db migrate --postgres "Host=localhost;Database=omq;Username=omq" """.TrimEnd())
    {
        Migrate(),
    };

    private static OmqCommand Migrate()
    {
        var postgres = new PostgresOption("The connection string, in Npgsql's format.");
        var command = new OmqCommand("migrate", "Migrates the database's schema to this program's version. Does nothing if it is current.",
            """omq db migrate --postgres "Host=localhost;Database=omq;Username=omq" """.TrimEnd(),
            "omq db migrate --postgres-file /run/secrets/omq-postgres") { postgres.Connection, postgres.File };
        var json = JsonOption.AddTo(command);
        command.SetAction(async (parsed, cancellationToken) =>
        {
            var result = await MigrateAsync(ConnectionString(postgres.Read(parsed)), cancellationToken).ConfigureAwait(false);
            if (parsed.GetValue(json))
                Output.WriteJson(result, DatabaseJson.Default.MigrationResult);
            else
                Output.WriteLine(Describe(result));
        });
        return command;
    }

    /// <summary>Migrates a database's schema to this program's version.</summary>
    /// <exception cref="CommandFailedException">The connection string is malformed, or the database is unreachable or refuses.</exception>
    public static async Task<MigrationResult> MigrateAsync(string connectionString, CancellationToken cancellationToken)
    {
        try
        {
            return await SchemaMigration.ApplyAsync(connectionString, cancellationToken).ConfigureAwait(false);
        }
        catch (ArgumentException)
        {
            // The reason would quote a part of it, which may be the password.
            throw CommandFailedException.Usage("This is not a connection string of Npgsql: a keyword is unknown, or its value is wrong. "
                + "Write it like \"Host=localhost;Port=5432;Database=omq;Username=omq;Password=...\".");
        }
        catch (DatabaseUnreachableException unreachable)
        {
            throw new CommandFailedException(ExitCode.Unreachable, unreachable.Message, unreachable);
        }
        catch (SchemaRefusedException refused)
        {
            throw CommandFailedException.Refused(refused.Message, refused);
        }
    }

    private static string ConnectionString(string? given) => string.IsNullOrWhiteSpace(given)
        ? throw CommandFailedException.Usage($"No database is given. {PostgresOption.Hint}") : given;

    private static string Describe(MigrationResult result) => result.Applied.Count == 0
        ? $"The schema is at version {result.ToVersion} already; nothing was changed ({result.Database})."
        : $"Applied {string.Join(", ", result.Applied)}: schema version {result.FromVersion} -> {result.ToVersion} ({result.Database}).";
}

/// <summary>JSON of the commands' results.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase)]
[JsonSerializable(typeof(MigrationResult))]
internal sealed partial class DatabaseJson : JsonSerializerContext;
