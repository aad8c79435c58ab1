using Npgsql;

namespace OrleansMq.Client.PostgreSql;

/// <summary>
/// Remembers which records were handled, in the transaction that handles them: at-least-once delivery and this are exactly-once in effect.
/// <code>
/// await using var transaction = await connection.BeginTransactionAsync();
/// if (await inbox.TryAddAsync(transaction, record))
///     await BookAsync(transaction, record.Value);
/// await transaction.CommitAsync();
/// </code>
/// Thread safe. Of two transactions that add the same record at once the second waits for the first: it is refused when that one commits.
/// </summary>
/// <param name="consumer">Whose inbox: the group, or the handler where a group has several. Each handles every record once.</param>
public sealed class PostgresInbox(string consumer)
{
    private readonly string _consumer = string.IsNullOrEmpty(consumer)
        ? throw new ArgumentException("Name the consumer, as by its group.", nameof(consumer)) : consumer;

    /// <summary>Notes a record by where it is. False: it was handled before, so do nothing about it and commit.</summary>
    /// <param name="transaction">The one that the record's effects are in.</param>
    /// <param name="record">The record. Where it knows its topic's id, a topic that was deleted and created again is another.</param>
    /// <param name="cancellationToken">Ends the wait; roll the transaction back then.</param>
    /// <exception cref="PostgresException">The database refused; without <see cref="ConsumerTables.CreateAsync"/> there is no
    /// table.</exception>
    public async ValueTask<bool> TryAddAsync<TKey, TValue>(NpgsqlTransaction transaction, ConsumeResult<TKey, TValue> record,
        CancellationToken cancellationToken = default) =>
        await transaction.ExecuteAsync("INSERT INTO omq_inbox (consumer, topic, partition, record_offset) VALUES ($1, $2, $3, $4) ON "
        + "CONFLICT DO NOTHING", cancellationToken,
            _consumer, ConsumerTables.Name(record.TopicPartition.Topic, record.TopicId), record.TopicPartition.Partition,
            record.Offset).ConfigureAwait(false) == 1;

    /// <summary>Notes a message by an id of the sender's: it is recognised wherever and however often it was sent. False: it was handled
    /// before.</summary>
    /// <inheritdoc cref="TryAddAsync{TKey, TValue}"/>
    /// <param name="transaction">The one that the message's effects are in.</param>
    /// <param name="messageId">Unique for the consumer.</param>
    /// <param name="cancellationToken">Ends the wait; roll the transaction back then.</param>
    public async ValueTask<bool> TryAddAsync(NpgsqlTransaction transaction, string messageId, CancellationToken cancellationToken = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(messageId);
        return await transaction.ExecuteAsync("INSERT INTO omq_inbox_message (consumer, message_id) VALUES ($1, $2) ON CONFLICT DO NOTHING",
            cancellationToken,
            _consumer, messageId).ConfigureAwait(false) == 1;
    }

    /// <summary>Forgets what was handled before a time. What is forgotten is handled again when it comes again: keep more than a consumer
    /// may fall behind.</summary>
    /// <returns>How much was forgotten.</returns>
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
