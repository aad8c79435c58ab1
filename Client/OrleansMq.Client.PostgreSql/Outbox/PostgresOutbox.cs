using System.Buffers;
using System.Data.Common;
using System.Diagnostics;
using System.Text;
using Npgsql;
using NpgsqlTypes;
using OrleansMq.Topics;

namespace OrleansMq.Client.PostgreSql;

/// <summary>How many messages an outbox has.</summary>
/// <param name="Pending">Messages that are not known to be delivered.</param>
/// <param name="OldestPending">When the oldest of them was added; null for none.</param>
/// <param name="Parked">Messages that their topic refused for good.</param>
/// <param name="OldestParked">When the oldest of them was added; null for none.</param>
public readonly record struct PostgresOutboxStatus(long Pending, DateTimeOffset? OldestPending, long Parked, DateTimeOffset? OldestParked);

/// <summary>
/// The messages that a service sends, as part of its own transactions: a message is delivered if its transaction commits, and only then.
/// <code>
/// await using var transaction = await connection.BeginTransactionAsync();
/// await BookAsync(transaction, order);
/// await outbox.AddAsync(transaction, "orders", order.Customer, order);
/// await transaction.CommitAsync();
/// </code>
/// <c>AddPostgresOutbox</c> registers it, with a relay that sends the messages. Thread-safe; a transaction is used by one
/// thread at a time.
/// </summary>
public sealed class PostgresOutbox
{
    /// <summary>The channel of notifications.</summary>
    internal const string Channel = "omq_outbox";

    private readonly PostgresOutboxOptions _options;
    private readonly OrleansMqClientOptions _formats;

    /// <summary>Creates an outbox without a relay, for a process that only adds messages.</summary>
    /// <param name="options">Its name; null for the defaults.</param>
    /// <param name="formats">JSON formats; null for the built-in formats alone.</param>
    /// <exception cref="ArgumentException">An option is out of its range; the message names it.</exception>
    public PostgresOutbox(PostgresOutboxOptions? options = null, OrleansMqClientOptions? formats = null)
    {
        _options = options ?? new PostgresOutboxOptions();
        _options.Validate();
        _formats = formats ?? new OrleansMqClientOptions();
    }

    /// <summary>Its name.</summary>
    public string Name => _options.Name;

    /// <summary>Adds a message. It is serialized now, and delivered after the commit. Messages of one partition are delivered in the order
    /// in which they were added, by all transactions of the outbox. Those without a key go to one partition of the topic.</summary>
    /// <typeparam name="TKey">The type of the key; <see cref="Ignore"/> for none.</typeparam>
    /// <typeparam name="TValue">The type of the value.</typeparam>
    /// <param name="transaction">The transaction, one of Npgsql: with Entity Framework Core
    /// <c>context.Database.CurrentTransaction.GetDbTransaction()</c>.</param>
    /// <param name="record">The message. Its topic need not exist yet; messages wait until it does.</param>
    /// <param name="keys">Serializes the key; null for the built-in format of the type, or that of <c>UseJson</c>.</param>
    /// <param name="values">Serializes the value; null for the built-in format of the type, or that of <c>UseJson</c>.</param>
    /// <param name="cancellationToken">Ends the wait; then roll the transaction back.</param>
    /// <exception cref="ArgumentException">No topic can have that name, the partition is negative, or the transaction is not one of
    /// Npgsql.</exception>
    /// <exception cref="InvalidOperationException">There is no format for the type, or the transaction has ended.</exception>
    /// <exception cref="PostgresException">The database rejected the statement, for example since <see cref="OutboxTables.CreateAsync"/>
    /// was not called.</exception>
    public async Task AddAsync<TKey, TValue>(DbTransaction transaction, ProducerRecord<TKey, TValue> record, ISerializer<TKey>? keys = null,
        ISerializer<TValue>? values = null, CancellationToken cancellationToken = default)
    {
        var postgres = Require(transaction);
        ThrowIfInvalid(record.Topic);
        ArgumentOutOfRangeException.ThrowIfNegative(record.Partition ?? 0);
        if (record.MessageId is { } id && Encoding.UTF8.GetByteCount(id) is 0 or > 256)
        {
            throw new ArgumentException($"The message's id has {Encoding.UTF8.GetByteCount(id)} bytes: 1 to 256 are allowed.",
                nameof(record));
        }
        var (names, headers) = HeadersOf(record);
        await using var batch = new NpgsqlBatch(postgres.Connection, postgres);
        var insert = new NpgsqlBatchCommand("INSERT INTO omq_outbox (outbox, topic, partition, message_id, key, value, header_names, "
            + "header_values, message_time) VALUES ($1, $2, $3, coalesce($4, gen_random_uuid()::text), $5, $6, $7, $8, "
            + "coalesce($9, clock_timestamp()))");
        Add(insert, NpgsqlDbType.Text, Name);
        Add(insert, NpgsqlDbType.Text, record.Topic);
        Add(insert, NpgsqlDbType.Integer, record.Partition);
        Add(insert, NpgsqlDbType.Text, record.MessageId);
        Add(insert, NpgsqlDbType.Bytea, BytesOf(keys ?? Serdes.Find<TKey>(_formats.Json), record.Key));
        Add(insert, NpgsqlDbType.Bytea, BytesOf(values ?? Serdes.Find<TValue>(_formats.Json), record.Value));
        Add(insert, NpgsqlDbType.Array | NpgsqlDbType.Text, names);
        Add(insert, NpgsqlDbType.Array | NpgsqlDbType.Bytea, headers);
        Add(insert, NpgsqlDbType.TimestampTz, record.Timestamp?.ToUniversalTime());
        batch.BatchCommands.Add(insert);
        if (_options.Notifies)
        {
            var notify = new NpgsqlBatchCommand($"SELECT pg_notify('{Channel}', $1)");
            Add(notify, NpgsqlDbType.Text, Name);
            batch.BatchCommands.Add(notify);
        }
        await batch.ExecuteNonQueryAsync(cancellationToken).ConfigureAwait(false);
    }

    /// <inheritdoc cref="AddAsync{TKey, TValue}(DbTransaction, ProducerRecord{TKey, TValue}, ISerializer{TKey}, ISerializer{TValue},
    /// CancellationToken)"/>
    /// <param name="transaction">The transaction, one of Npgsql.</param>
    /// <param name="topic">The topic. It need not exist yet; messages wait until it does.</param>
    /// <param name="key">The key. Messages of one key stay in order.</param>
    /// <param name="value">The value.</param>
    /// <param name="cancellationToken">Ends the wait; then roll the transaction back.</param>
    public Task AddAsync<TKey, TValue>(DbTransaction transaction, string topic, TKey key, TValue value,
        CancellationToken cancellationToken = default) =>
        AddAsync(transaction, new ProducerRecord<TKey, TValue>(topic, key, value), cancellationToken: cancellationToken);

    /// <summary>Sends the parked messages again, behind all others, once the transaction commits. They keep their timestamps and their
    /// <see cref="MessageHeaders.MessageId"/>.</summary>
    /// <returns>Their number.</returns>
    public async Task<int> RetryParkedAsync(DbTransaction transaction, CancellationToken cancellationToken = default)
    {
        var count = await Require(transaction).ExecuteAsync(
            """
            WITH parked AS (DELETE FROM omq_outbox WHERE outbox = $1 AND refusal IS NOT NULL RETURNING *)
            INSERT INTO omq_outbox (outbox, topic, partition, message_id, key, value, header_names, header_values, message_time, added_at)
            SELECT outbox, topic, partition, message_id, key, value, header_names, header_values, message_time, added_at
            FROM parked ORDER BY parked.id
            """, cancellationToken, Name).ConfigureAwait(false);
        if (_options.Notifies)
            await Require(transaction).ExecuteAsync($"SELECT pg_notify('{Channel}', $1)", cancellationToken, Name).ConfigureAwait(false);
        return count;
    }

    /// <summary>Removes the parked messages, once the transaction commits.</summary>
    /// <returns>Their number.</returns>
    public Task<int> DiscardParkedAsync(DbTransaction transaction, CancellationToken cancellationToken = default) =>
        Require(transaction).ExecuteAsync("DELETE FROM omq_outbox WHERE outbox = $1 AND refusal IS NOT NULL", cancellationToken, Name);

    /// <summary>Removes the messages to a topic that are not delivered, once the transaction commits: those of a topic that will never
    /// exist, or of a partition that it does not have. One that is on its way may be delivered nevertheless.</summary>
    /// <returns>Their number.</returns>
    public Task<int> DiscardPendingAsync(DbTransaction transaction, string topic, CancellationToken cancellationToken = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(topic);
        return Require(transaction).ExecuteAsync("DELETE FROM omq_outbox WHERE outbox = $1 AND topic = $2 AND refusal IS NULL",
            cancellationToken, Name, topic);
    }

    /// <summary>Removes the messages that were added for a partition and are not delivered, once the transaction commits: those of a
    /// partition that will never exist. Messages that have it by their key stay. One that is on its way may be delivered
    /// nevertheless.</summary>
    /// <returns>Their number.</returns>
    public Task<int> DiscardPendingAsync(DbTransaction transaction, TopicPartition partition,
        CancellationToken cancellationToken = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(partition.Topic);
        return Require(transaction).ExecuteAsync("DELETE FROM omq_outbox WHERE outbox = $1 AND topic = $2 AND partition = $3 AND refusal "
            + "IS NULL", cancellationToken, Name, partition.Topic, partition.Partition);
    }

    /// <summary>Counts the messages. Reads all of them.</summary>
    public async Task<PostgresOutboxStatus> GetStatusAsync(NpgsqlDataSource database, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(database);
        await using var command = database.CreateCommand("SELECT count(*) FILTER (WHERE refusal IS NULL), min(added_at) FILTER (WHERE "
            + "refusal IS NULL), count(refusal), min(added_at) FILTER (WHERE refusal IS NOT NULL) FROM omq_outbox WHERE outbox = $1");
        command.Parameters.Add(new NpgsqlParameter { Value = Name });
        await using var reader = await command.ExecuteReaderAsync(cancellationToken).ConfigureAwait(false);
        await reader.ReadAsync(cancellationToken).ConfigureAwait(false);
        return new PostgresOutboxStatus(reader.GetInt64(0), Time(reader, 1), reader.GetInt64(2), Time(reader, 3));

        static DateTimeOffset? Time(NpgsqlDataReader reader, int column) =>
            reader.IsDBNull(column) ? null : reader.GetFieldValue<DateTimeOffset>(column);
    }

    private static NpgsqlTransaction Require(DbTransaction transaction)
    {
        ArgumentNullException.ThrowIfNull(transaction);
        var postgres = transaction as NpgsqlTransaction ?? throw new ArgumentException($"The transaction is a {transaction.GetType()}: "
            + "pass one of Npgsql.", nameof(transaction));
        return postgres.Connection is null ? throw new InvalidOperationException("The transaction has ended already.") : postgres;
    }

    // A topic that does not exist may be created. One that cannot be is refused.
    private static void ThrowIfInvalid(string? topic)
    {
        if (TopicName.Validate(topic) is { } why)
            throw new ArgumentException(why, nameof(topic));
        if (InternalTopics.IsInternal(topic))
            throw new ArgumentException($"Topic '{topic}' is internal: send to another one.", nameof(topic));
    }

    private static (string[] Names, byte[]?[] Values) HeadersOf<TKey, TValue>(ProducerRecord<TKey, TValue> record)
    {
        var names = new List<string>();
        var values = new List<byte[]?>();
        foreach (var header in record.Headers.Span)
        {
            names.Add(header.Name());
            values.Add(header.Value?.ToArray());
        }
        // As a producer does: the trace goes on at the message's handler.
        if (OrleansMqDiagnostics.Source.HasListeners() && Activity.Current is { IdFormat: ActivityIdFormat.W3C, Id: { } trace }
            && !names.Contains("traceparent"))
        {
            names.Add("traceparent");
            values.Add(Encoding.ASCII.GetBytes(trace));
        }
        return ([.. names], [.. values]);
    }

    private static void Add(NpgsqlBatchCommand command, NpgsqlDbType type, object? value) =>
        command.Parameters.Add(new NpgsqlParameter { NpgsqlDbType = type, Value = value ?? DBNull.Value });

    private static byte[]? BytesOf<T>(ISerializer<T> serializer, T value)
    {
        if (serializer.IsNull(value))
            return null;
        var buffer = new ArrayBufferWriter<byte>();
        serializer.Serialize(value, buffer);
        return buffer.WrittenSpan.ToArray();
    }
}
