using Npgsql;

namespace OrleansMq.Client.PostgreSql;

/// <summary>The tables in the application's database: <c>omq_inbox</c>, <c>omq_inbox_message</c>, <c>omq_consumer_offset</c>,
/// <c>omq_sequence</c>, <c>omq_sequence_gap</c>.</summary>
public static class ConsumerTables
{
    /// <summary>Of the advisory lock under which they are made: CREATE TABLE IF NOT EXISTS of two at once may fail.</summary>
    private const long LockKey = 0x6f6d715f636f6e73; // "omq_cons"

    /// <summary>The script, for those who migrate by other means. It may be run again.</summary>
    /// <remarks>A topic's name here is its id where that is known: a topic that is deleted and created again is another.</remarks>
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

    /// <summary>Makes what is missing. May be called at every start, by many at once.</summary>
    /// <param name="database">The application's database; its user may create tables, or they are there already.</param>
    /// <param name="cancellationToken">Gives it up; nothing is changed then.</param>
    /// <exception cref="NpgsqlException">The database refused.</exception>
    public static async Task CreateAsync(NpgsqlDataSource database, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(database);
        await using var connection = await database.OpenConnectionAsync(cancellationToken).ConfigureAwait(false);
        await using var transaction = await connection.BeginTransactionAsync(cancellationToken).ConfigureAwait(false);
        await transaction.ExecuteAsync("SELECT pg_advisory_xact_lock($1)", cancellationToken, LockKey).ConfigureAwait(false);
        await transaction.ExecuteAsync(Script, cancellationToken).ConfigureAwait(false);
        await transaction.CommitAsync(cancellationToken).ConfigureAwait(false);
    }

    /// <summary>What stands for a topic: its id where it is known.</summary>
    internal static string Name(string topic, Guid topicId) => topicId == Guid.Empty ? topic : topicId.ToString();
}
