using Npgsql;

namespace OrleansMq.Client.PostgreSql;

/// <summary>The tables of outboxes in the application's database: <c>omq_outbox</c>, <c>omq_outbox_batch</c>,
/// <c>omq_outbox_relay</c>.</summary>
public static class OutboxTables
{
    /// <summary>The advisory lock for creation: two concurrent CREATE TABLE IF NOT EXISTS may fail.</summary>
    private const long LockKey = 0x6f6d715f6f757462; // "omq_outb"

    /// <summary>The script, for applications that migrate by other means. It may be run repeatedly.</summary>
    /// <remarks>The default of <c>id</c> gives the transaction its id before the message has one. The relay relies on that order. Vacuum
    /// runs after every so many deleted messages, since the table is large for a moment and empty again.</remarks>
    public const string Script = """
        CREATE SEQUENCE IF NOT EXISTS omq_outbox_id;
        CREATE TABLE IF NOT EXISTS omq_outbox (
            outbox text NOT NULL,
            id bigint NOT NULL DEFAULT CASE WHEN pg_current_xact_id() IS NOT NULL THEN nextval('omq_outbox_id') END,
            topic text NOT NULL,
            partition integer,
            message_id text NOT NULL DEFAULT gen_random_uuid()::text,
            key bytea,
            value bytea,
            header_names text[] NOT NULL DEFAULT '{}',
            header_values bytea[] NOT NULL DEFAULT '{}',
            message_time timestamptz NOT NULL DEFAULT clock_timestamp(),
            added_at timestamptz NOT NULL DEFAULT clock_timestamp(),
            refusal text,
            PRIMARY KEY (outbox, id)) WITH (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 10000);
        CREATE INDEX IF NOT EXISTS omq_outbox_refused ON omq_outbox (outbox, id) WHERE refusal IS NOT NULL;
        CREATE TABLE IF NOT EXISTS omq_outbox_batch (
            outbox text NOT NULL,
            topic text NOT NULL,
            partition integer NOT NULL,
            producer_id bigint NOT NULL,
            epoch smallint NOT NULL,
            sequence integer NOT NULL,
            ids bigint[] NOT NULL,
            PRIMARY KEY (outbox, topic, partition)) WITH (fillfactor = 50);
        CREATE TABLE IF NOT EXISTS omq_outbox_relay (
            outbox text PRIMARY KEY,
            session uuid NOT NULL,
            turn bigint NOT NULL,
            expires_at timestamptz NOT NULL) WITH (fillfactor = 50);
        """;

    /// <summary>Creates missing tables. May be called at every start, also concurrently.</summary>
    /// <param name="database">The application's database. Its user must be allowed to create tables, unless they exist.</param>
    /// <param name="cancellationToken">Cancels the creation; nothing is changed then.</param>
    /// <exception cref="NpgsqlException">The database rejected the script.</exception>
    public static async Task CreateAsync(NpgsqlDataSource database, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(database);
        await using var connection = await database.OpenConnectionAsync(cancellationToken).ConfigureAwait(false);
        await using var transaction = await connection.BeginTransactionAsync(cancellationToken).ConfigureAwait(false);
        await transaction.ExecuteAsync("SELECT pg_advisory_xact_lock($1)", cancellationToken, LockKey).ConfigureAwait(false);
        await transaction.ExecuteAsync(Script, cancellationToken).ConfigureAwait(false);
        await transaction.CommitAsync(cancellationToken).ConfigureAwait(false);
    }
}
