using System.Globalization;
using Npgsql;
using NpgsqlTypes;

namespace OrleansMq.Client.PostgreSql;

/// <summary>A message as it is sent.</summary>
internal sealed record OutboxMessage(long Id, string MessageId, byte[]? Key, byte[]? Value, string[] HeaderNames, byte[]?[] HeaderValues,
    long Timestamp);

/// <summary>Another relay is in charge, or the database has lost a transaction of this one: the session ends.</summary>
internal sealed class OutboxSessionLostException(string message) : Exception(message);

/// <summary>A session of a relay in the database. Its transactions succeed one after the other: each counts on, and fails where the one
/// before is not in force, or another session is.</summary>
internal sealed class OutboxStore(NpgsqlDataSource database, PostgresOutboxOptions options, Guid session)
{
    private long _turn;

    /// <summary>Whether no relay is in charge, or the one that was shows no life, or it was an earlier session of this process.</summary>
    public static async Task<bool> IsFreeAsync(NpgsqlDataSource database, string outbox, Guid earlier, CancellationToken cancellationToken)
    {
        await using var command = database.CreateCommand("SELECT 1 FROM omq_outbox_relay WHERE outbox = $1 AND session <> $2 AND "
            + "expires_at >= clock_timestamp()");
        Add(command.Parameters, outbox, earlier);
        return await command.ExecuteScalarAsync(cancellationToken).ConfigureAwait(false) is null;
    }

    /// <summary>Takes over, unless another relay is in charge. Waits for its transaction, if one is under way.</summary>
    /// <param name="earlier">The last session of this process.</param>
    /// <param name="cancellationToken">Ends the wait; the session is not used then.</param>
    public async Task<bool> TakeOverAsync(Guid earlier, CancellationToken cancellationToken)
    {
        await using var command = database.CreateCommand(
            """
            INSERT INTO omq_outbox_relay AS relay (outbox, session, turn, expires_at) VALUES ($1, $2, 0, clock_timestamp() + $3)
            ON CONFLICT (outbox) DO UPDATE SET session = excluded.session, turn = 0, expires_at = excluded.expires_at
            WHERE relay.expires_at < clock_timestamp() OR relay.session = $4
            """);
        Add(command.Parameters, options.Name, session, options.LeaseDuration, earlier);
        return await command.ExecuteNonQueryAsync(cancellationToken).ConfigureAwait(false) == 1;
    }

    /// <summary>Hands over: another relay may take over at once.</summary>
    public async Task ReleaseAsync(CancellationToken cancellationToken)
    {
        await using var command = database.CreateCommand("UPDATE omq_outbox_relay SET expires_at = '-infinity' WHERE outbox = $1 AND "
            + "session = $2");
        Add(command.Parameters, options.Name, session);
        await command.ExecuteNonQueryAsync(cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Returns the stored batches.</summary>
    public async Task<IReadOnlyList<OutboxBatch>> ReadBatchesAsync(CancellationToken cancellationToken)
    {
        await using var command = database.CreateCommand("SELECT topic, partition, producer_id, epoch, sequence, ids FROM omq_outbox_batch "
            + "WHERE outbox = $1");
        Add(command.Parameters, options.Name);
        await using var reader = await command.ExecuteReaderAsync(cancellationToken).ConfigureAwait(false);
        var batches = new List<OutboxBatch>();
        while (await reader.ReadAsync(cancellationToken).ConfigureAwait(false))
        {
            batches.Add(new OutboxBatch(new TopicPartition(reader.GetString(0), reader.GetInt32(1)), reader.GetInt64(2), reader.GetInt16(3),
                reader.GetInt32(4), reader.GetFieldValue<long[]>(5)));
        }
        return batches;
    }

    /// <summary>Reads the last id that was given out, and the oldest running transaction.</summary>
    public async Task<(long Last, ulong OldestRunning)> LookAsync(CancellationToken cancellationToken)
    {
        await using var command = database.CreateCommand("SELECT CASE WHEN is_called THEN last_value ELSE last_value - 1 END, "
            + "pg_snapshot_xmin(pg_current_snapshot()) FROM omq_outbox_id");
        await using var reader = await command.ExecuteReaderAsync(cancellationToken).ConfigureAwait(false);
        await reader.ReadAsync(cancellationToken).ConfigureAwait(false);
        return (reader.GetInt64(0), reader.GetFieldValue<ulong>(1));
    }

    /// <summary>Returns those of the messages that are in the table.</summary>
    public async Task<IReadOnlySet<long>> ExistingAsync(IReadOnlyList<long> ids, CancellationToken cancellationToken)
    {
        await using var command = database.CreateCommand("SELECT id FROM omq_outbox WHERE outbox = $1 AND id = ANY($2)");
        Add(command.Parameters, options.Name, ids);
        await using var reader = await command.ExecuteReaderAsync(cancellationToken).ConfigureAwait(false);
        var existing = new HashSet<long>();
        while (await reader.ReadAsync(cancellationToken).ConfigureAwait(false))
            existing.Add(reader.GetInt64(0));
        return existing;
    }

    /// <summary>Runs a transaction of the session: stores what was answered, reads, and binds batches.</summary>
    /// <param name="core">The decisions.</param>
    /// <param name="last">An id that was given out before.</param>
    /// <param name="cancellationToken">Ends the wait; then the session ends, too.</param>
    /// <returns>The batches to send, with their messages.</returns>
    /// <exception cref="OutboxSessionLostException">The session is over.</exception>
    public async Task<IReadOnlyList<(OutboxBatch Batch, IReadOnlyList<OutboxMessage> Messages)>> TurnAsync(OutboxRelayCore core, long last,
        CancellationToken cancellationToken)
    {
        await using var connection = await database.OpenConnectionAsync(cancellationToken).ConfigureAwait(false);
        await using var transaction = await connection.BeginTransactionAsync(System.Data.IsolationLevel.ReadCommitted, cancellationToken)
            .ConfigureAwait(false);
        await BeginAsync(transaction, core, last, cancellationToken).ConfigureAwait(false);
        foreach (var read in core.TopicReads())
            core.Add(read, await ReadAsync(transaction, read, cancellationToken).ConfigureAwait(false));
        var takes = core.Take();
        var messages = await LoadAsync(transaction, takes, cancellationToken).ConfigureAwait(false);
        var binding = core.Bind(takes, messages.ContainsKey);
        await StoreAsync(transaction, binding, cancellationToken).ConfigureAwait(false);
        if (options.BeforeCommit is { } hook)
            await hook().ConfigureAwait(false);
        await transaction.CommitAsync(cancellationToken).ConfigureAwait(false);
        return [.. binding.Sends.Select(batch =>
            (batch, (IReadOnlyList<OutboxMessage>)[.. batch.Ids.Select(id => messages[id])]))];
    }

    /// <summary>Stores what was answered, and binds nothing: the session ends.</summary>
    /// <inheritdoc cref="TurnAsync"/>
    public async Task EndAsync(OutboxRelayCore core, CancellationToken cancellationToken)
    {
        await using var connection = await database.OpenConnectionAsync(cancellationToken).ConfigureAwait(false);
        await using var transaction = await connection.BeginTransactionAsync(System.Data.IsolationLevel.ReadCommitted, cancellationToken)
            .ConfigureAwait(false);
        await BeginAsync(transaction, core, 0, cancellationToken).ConfigureAwait(false);
        await StoreAsync(transaction, core.Bind([], static _ => true), cancellationToken).ConfigureAwait(false);
        await transaction.CommitAsync(cancellationToken).ConfigureAwait(false);
    }

    // One round trip: proves that the session is in charge, stores the answers, and reads.
    private async Task BeginAsync(NpgsqlTransaction transaction, OutboxRelayCore core, long last, CancellationToken cancellationToken)
    {
        var (done, refused) = core.TakeAnswers();
        var read = core.NextRead();
        await using var batch = new NpgsqlBatch(transaction.Connection, transaction);
        // A relay whose machine dies here holds the lease's row, and the oldest transaction of the server, no longer than its lease.
        batch.BatchCommands.Add(Command("SELECT set_config('idle_in_transaction_session_timeout', $1, true)",
            ((long)options.LeaseDuration.TotalMilliseconds).ToString(CultureInfo.InvariantCulture)));
        batch.BatchCommands.Add(Command("UPDATE omq_outbox_relay SET turn = turn + 1, expires_at = clock_timestamp() + $4 WHERE outbox = "
            + "$1 AND session = $2 AND turn = $3 RETURNING pg_current_xact_id()", options.Name, session, _turn++, options.LeaseDuration));
        if (read is not null)
            batch.BatchCommands.Add(Command(ReadText(read), ReadValues(read)));
        if (done.Count > 0)
            batch.BatchCommands.Add(Command("DELETE FROM omq_outbox WHERE outbox = $1 AND id = ANY($2)", options.Name, done));
        if (refused.Count > 0)
        {
            batch.BatchCommands.Add(Command("UPDATE omq_outbox SET refusal = refused.cause FROM unnest($2, $3) AS refused (id, cause) "
                + "WHERE outbox = $1 AND omq_outbox.id = refused.id", options.Name, refused.Select(static row => row.Id).ToArray(),
                refused.Select(static row => row.Cause).ToArray()));
        }
        await using var reader = await batch.ExecuteReaderAsync(cancellationToken).ConfigureAwait(false);
        await reader.NextResultAsync(cancellationToken).ConfigureAwait(false);
        if (!await reader.ReadAsync(cancellationToken).ConfigureAwait(false))
        {
            throw new OutboxSessionLostException($"Another relay is in charge of outbox '{options.Name}', or the database has lost the "
                + "last transaction of this one.");
        }
        core.Mark(last, reader.GetFieldValue<ulong>(0));
        if (read is not null)
        {
            await reader.NextResultAsync(cancellationToken).ConfigureAwait(false);
            core.Add(read, await RowsAsync(reader, cancellationToken).ConfigureAwait(false));
        }
        // The outcomes of the others: an error of any is thrown here.
        while (await reader.NextResultAsync(cancellationToken).ConfigureAwait(false))
        {
        }
    }

    private static string ReadText(OutboxRead read) => "SELECT id, topic, partition, key, coalesce(octet_length(key), 0) + "
        + "coalesce(octet_length(value), 0) + 100 * (1 + cardinality(header_names)) FROM omq_outbox WHERE outbox = $1 AND id > $2 AND id "
        + "<= $3 AND refusal IS NULL" + (read.Topic is null ? "" : " AND topic = $5") + " ORDER BY id LIMIT $4";

    private object[] ReadValues(OutboxRead read) => read.Topic is { } topic
        ? [options.Name, read.Above, read.UpTo, read.Limit, topic] : [options.Name, read.Above, read.UpTo, read.Limit];

    private async Task<IReadOnlyList<OutboxRow>> ReadAsync(NpgsqlTransaction transaction, OutboxRead read,
        CancellationToken cancellationToken)
    {
        await using var command = new NpgsqlCommand(ReadText(read), transaction.Connection, transaction);
        Add(command.Parameters, ReadValues(read));
        await using var reader = await command.ExecuteReaderAsync(cancellationToken).ConfigureAwait(false);
        return await RowsAsync(reader, cancellationToken).ConfigureAwait(false);
    }

    private static async Task<IReadOnlyList<OutboxRow>> RowsAsync(NpgsqlDataReader reader, CancellationToken cancellationToken)
    {
        var rows = new List<OutboxRow>();
        while (await reader.ReadAsync(cancellationToken).ConfigureAwait(false))
        {
            rows.Add(new OutboxRow(reader.GetInt64(0), reader.GetString(1), reader.IsDBNull(2) ? null : reader.GetInt32(2),
                reader.IsDBNull(3) ? null : reader.GetFieldValue<byte[]>(3), reader.GetInt32(4)));
        }
        return rows;
    }

    private async Task<Dictionary<long, OutboxMessage>> LoadAsync(NpgsqlTransaction transaction, IReadOnlyList<OutboxTake> takes,
        CancellationToken cancellationToken)
    {
        var messages = new Dictionary<long, OutboxMessage>();
        if (takes.Count == 0)
            return messages;
        await using var command = new NpgsqlCommand("SELECT id, message_id, key, value, header_names, header_values, message_time FROM "
            + "omq_outbox WHERE outbox = $1 AND id = ANY($2) AND refusal IS NULL", transaction.Connection, transaction);
        Add(command.Parameters, options.Name, takes.SelectMany(static take => take.Ids).ToArray());
        await using var reader = await command.ExecuteReaderAsync(cancellationToken).ConfigureAwait(false);
        while (await reader.ReadAsync(cancellationToken).ConfigureAwait(false))
        {
            var id = reader.GetInt64(0);
            messages.Add(id, new OutboxMessage(id, reader.GetString(1), reader.IsDBNull(2) ? null : reader.GetFieldValue<byte[]>(2),
                reader.IsDBNull(3) ? null : reader.GetFieldValue<byte[]>(3), reader.GetFieldValue<string[]>(4),
                reader.GetFieldValue<byte[]?[]>(5), reader.GetFieldValue<DateTimeOffset>(6).ToUnixTimeMilliseconds()));
        }
        return messages;
    }

    private async Task StoreAsync(NpgsqlTransaction transaction, OutboxBinding binding, CancellationToken cancellationToken)
    {
        if (binding.Stores.Count + binding.Removes.Count == 0)
            return;
        await using var batch = new NpgsqlBatch(transaction.Connection, transaction);
        foreach (var target in binding.Removes)
        {
            batch.BatchCommands.Add(Command("DELETE FROM omq_outbox_batch WHERE outbox = $1 AND topic = $2 AND partition = $3",
                options.Name, target.Topic, target.Partition));
        }
        foreach (var stored in binding.Stores)
        {
            batch.BatchCommands.Add(Command(
                """
                INSERT INTO omq_outbox_batch (outbox, topic, partition, producer_id, epoch, sequence, ids)
                VALUES ($1, $2, $3, $4, $5, $6, $7)
                ON CONFLICT (outbox, topic, partition) DO UPDATE SET producer_id = excluded.producer_id, epoch = excluded.epoch,
                sequence = excluded.sequence, ids = excluded.ids
                """, options.Name, stored.Target.Topic, stored.Target.Partition, stored.ProducerId, stored.Epoch, stored.Sequence,
                stored.Ids));
        }
        await batch.ExecuteNonQueryAsync(cancellationToken).ConfigureAwait(false);
    }

    private static NpgsqlBatchCommand Command(string text, params object[] values)
    {
        var command = new NpgsqlBatchCommand(text);
        Add(command.Parameters, values);
        return command;
    }

    private static void Add(NpgsqlParameterCollection parameters, params object[] values)
    {
        foreach (var value in values)
        {
            parameters.Add(value switch
            {
                IReadOnlyList<long> ids => new NpgsqlParameter
                {
                    NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Bigint,
                    Value = ids as long[] ?? [.. ids],
                },
                _ => new NpgsqlParameter { Value = value },
            });
        }
    }
}
