using Npgsql;

namespace OrleansMq.Client.PostgreSql;

/// <summary>
/// Records which messages were handled, in the transaction that handles them. Together with at-least-once delivery, the effect is
/// exactly-once.
/// <code>
/// await using var transaction = await connection.BeginTransactionAsync();
/// if (await inbox.TryAddAsync(transaction, record))
///     await BookAsync(transaction, record.Value);
/// await transaction.CommitAsync();
/// </code>
/// Thread-safe. If two transactions add the same record at the same time, the second waits for the first and is refused if that one
/// commits.
/// </summary>
/// <param name="consumer">The owner of the inbox: the group, or the handler if a group has several. Each handles every record once.</param>
public sealed class PostgresInbox(string consumer)
{
    private readonly string _consumer = string.IsNullOrEmpty(consumer)
        ? throw new ArgumentException("Name the consumer, as by its group.", nameof(consumer)) : consumer;

    /// <summary>Adds a record by its position. Returns false if it was handled before: do nothing for it and commit.</summary>
    /// <param name="transaction">The transaction with the record's effects.</param>
    /// <param name="record">The record. If it has a topic id, a topic that was deleted and created again is a different one.</param>
    /// <param name="cancellationToken">Ends the wait; then roll the transaction back.</param>
    /// <exception cref="PostgresException">The database rejected the statement, for example since <see cref="ConsumerTables.CreateAsync"/>
    /// was not called.</exception>
    public async ValueTask<bool> TryAddAsync<TKey, TValue>(NpgsqlTransaction transaction, ConsumeResult<TKey, TValue> record,
        CancellationToken cancellationToken = default) =>
        await transaction.ExecuteAsync("INSERT INTO omq_inbox (consumer, topic, partition, record_offset) VALUES ($1, $2, $3, $4) ON "
        + "CONFLICT DO NOTHING", cancellationToken,
            _consumer, ConsumerTables.Name(record.TopicPartition.Topic, record.TopicId), record.TopicPartition.Partition,
            record.Offset).ConfigureAwait(false) == 1;

    /// <summary>Adds a message by an id that its sender assigned, which identifies it wherever and however often it is sent. Returns false
    /// if it was handled before.</summary>
    /// <inheritdoc cref="TryAddAsync{TKey, TValue}"/>
    /// <param name="transaction">The transaction with the message's effects.</param>
    /// <param name="messageId">The id, unique for the consumer.</param>
    /// <param name="cancellationToken">Ends the wait; then roll the transaction back.</param>
    public async ValueTask<bool> TryAddAsync(NpgsqlTransaction transaction, string messageId, CancellationToken cancellationToken = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(messageId);
        return await transaction.ExecuteAsync("INSERT INTO omq_inbox_message (consumer, message_id) VALUES ($1, $2) ON CONFLICT DO NOTHING",
            cancellationToken,
            _consumer, messageId).ConfigureAwait(false) == 1;
    }

    /// <summary>Deletes entries handled before a time. Their messages would be handled again if redelivered, so keep more than the
    /// consumer's maximum lag.</summary>
    /// <returns>The number of deleted entries.</returns>
    public async Task<int> PruneAsync(NpgsqlDataSource database, DateTimeOffset before, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(database);
        await using var connection = await database.OpenConnectionAsync(cancellationToken).ConfigureAwait(false);
        await using var transaction = await connection.BeginTransactionAsync(cancellationToken).ConfigureAwait(false);
        var pruned = await transaction.ExecuteAsync("DELETE FROM omq_inbox WHERE consumer = $1 AND handled_at < $2", cancellationToken,
            _consumer, before.ToUniversalTime()).ConfigureAwait(false)
            + await transaction.ExecuteAsync("DELETE FROM omq_inbox_message WHERE consumer = $1 AND handled_at < $2", cancellationToken,
                _consumer, before.ToUniversalTime()).ConfigureAwait(false);
        await transaction.CommitAsync(cancellationToken).ConfigureAwait(false);
        return pruned;
    }
}
