using Npgsql;

namespace OrleansMq.Client.PostgreSql;

/// <summary>The tables in the application's database: <c>omq_inbox</c>, <c>omq_inbox_message</c>, <c>omq_consumer_offset</c>,
/// <c>omq_sequence</c>, <c>omq_sequence_gap</c>.</summary>
public static class ConsumerTables
{
    /// <summary>The advisory lock for creation: two concurrent CREATE TABLE IF NOT EXISTS may fail.</summary>
    private const long LockKey = 0x6f6d715f636f6e73; // "omq_cons"

    /// <summary>The script, for applications that migrate by other means. It may be run repeatedly.</summary>
    /// <remarks>Topics are stored by id if known, so a topic that is deleted and created again is a different one.</remarks>
    public const string Script = """
        CREATE TABLE IF NOT EXISTS omq_inbox (
            consumer text NOT NULL,
            topic text NOT NULL,
            partition integer NOT NULL,
            record_offset bigint NOT NULL,
            handled_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (consumer, topic, partition, record_offset));
        CREATE INDEX IF NOT EXISTS omq_inbox_handled_at ON omq_inbox (handled_at);
        CREATE TABLE IF NOT EXISTS omq_inbox_message (
            consumer text NOT NULL,
            message_id text NOT NULL,
            handled_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (consumer, message_id));
        CREATE INDEX IF NOT EXISTS omq_inbox_message_handled_at ON omq_inbox_message (handled_at);
        CREATE TABLE IF NOT EXISTS omq_consumer_offset (
            consumer text NOT NULL,
            topic text NOT NULL,
            partition integer NOT NULL,
            next_offset bigint NOT NULL,
            claim bigint NOT NULL,
            updated_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (consumer, topic, partition));
        CREATE TABLE IF NOT EXISTS omq_sequence (
            consumer text NOT NULL,
            source text NOT NULL,
            next_number bigint NOT NULL,
            PRIMARY KEY (consumer, source));
        CREATE TABLE IF NOT EXISTS omq_sequence_gap (
            consumer text NOT NULL,
            source text NOT NULL,
            first_missing bigint NOT NULL,
            last_missing bigint NOT NULL,
            PRIMARY KEY (consumer, source, first_missing));
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

    /// <summary>Returns the stored name of a topic: its id if known.</summary>
    internal static string Name(string topic, Guid topicId) => topicId == Guid.Empty ? topic : topicId.ToString();
}
