using Npgsql;

namespace OrleansMq.Client.PostgreSql;

/// <summary>The result of checking a sequence number.</summary>
public enum SequenceFinding
{
    /// <summary>Unknown.</summary>
    Unknown = 0,
    /// <summary>The next number.</summary>
    InOrder = 1,
    /// <summary>Numbers before it are missing; they are recorded until they arrive.</summary>
    AfterGap = 2,
    /// <summary>A number that was missing.</summary>
    FillsGap = 3,
    /// <summary>A number that arrived before.</summary>
    Duplicate = 4,
}

/// <summary>Missing numbers of a source.</summary>
/// <param name="Source">The source.</param>
/// <param name="First">The first missing number.</param>
/// <param name="Last">The last missing number.</param>
public sealed record SequenceGap(string Source, long First, long Last);

/// <summary>
/// Proves that nothing was lost. Sources number what they send, and each number is checked in the transaction that handles it. When all
/// records are handled and <see cref="FindGapsAsync"/> finds none, every number up to the last one has arrived. A source is a producer that
/// numbers its records (<see cref="RecordSequence"/>), or a partition with its offsets if the topic is neither compacted nor transactional.
/// Numbers may arrive in any order. Thread-safe.
/// </summary>
/// <param name="consumer">The owner of the sequences: the group.</param>
public sealed class PostgresSequences(string consumer)
{
    /// <summary>Checks a number.</summary>
    /// <param name="transaction">The transaction with the record's effects. Others that check the same source wait for its end.</param>
    /// <param name="source">The source of the number.</param>
    /// <param name="number">The number.</param>
    /// <param name="first">The first number of the source. Numbers from here to the first that arrives are missing.</param>
    /// <param name="cancellationToken">Ends the wait; then roll the transaction back.</param>
    public async Task<SequenceFinding> CheckAsync(NpgsqlTransaction transaction, string source, long number, long first = 0,
        CancellationToken cancellationToken = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(source);
        await transaction.ExecuteAsync(
            "INSERT INTO omq_sequence (consumer, source, next_number) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING", cancellationToken,
            consumer, source, first).ConfigureAwait(false);
        var row = await transaction.ReadRowAsync("SELECT next_number FROM omq_sequence WHERE consumer = $1 AND source = $2 FOR UPDATE",
            cancellationToken, consumer, source).ConfigureAwait(false);
        var next = (long)row![0];
        if (number < next)
            return await FillAsync(transaction, source, number, cancellationToken).ConfigureAwait(false);
        if (number > next)
            await NoteGapAsync(transaction, source, next, number - 1, cancellationToken).ConfigureAwait(false);
        await transaction.ExecuteAsync("UPDATE omq_sequence SET next_number = $1 WHERE consumer = $2 AND source = $3", cancellationToken,
            number + 1, consumer, source).ConfigureAwait(false);
        return number == next ? SequenceFinding.InOrder : SequenceFinding.AfterGap;
    }

    /// <summary>Checks a record's offset, with its partition as the source.</summary>
    /// <inheritdoc cref="CheckAsync(NpgsqlTransaction, string, long, long, CancellationToken)"/>
    public Task<SequenceFinding> CheckOffsetAsync<TKey, TValue>(NpgsqlTransaction transaction, ConsumeResult<TKey, TValue> record,
        long first = 0, CancellationToken cancellationToken = default) =>
        CheckAsync(transaction, $"{ConsumerTables.Name(record.TopicPartition.Topic, record.TopicId)}-{record.TopicPartition.Partition}",
            record.Offset, first, cancellationToken);

    /// <summary>Returns all numbers that are missing now, ordered by source and number.</summary>
    public async Task<IReadOnlyList<SequenceGap>> FindGapsAsync(NpgsqlDataSource database, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(database);
        await using var command = database.CreateCommand("SELECT source, first_missing, last_missing FROM omq_sequence_gap WHERE consumer "
            + "= $1 ORDER BY source, first_missing");
        command.Parameters.Add(new NpgsqlParameter { Value = consumer });
        await using var reader = await command.ExecuteReaderAsync(cancellationToken).ConfigureAwait(false);
        var gaps = new List<SequenceGap>();
        while (await reader.ReadAsync(cancellationToken).ConfigureAwait(false))
            gaps.Add(new SequenceGap(reader.GetString(0), reader.GetInt64(1), reader.GetInt64(2)));
        return gaps;
    }

    private async Task<SequenceFinding> FillAsync(NpgsqlTransaction transaction, string source, long number,
        CancellationToken cancellationToken)
    {
        var gap = await transaction.ReadRowAsync(
            "DELETE FROM omq_sequence_gap WHERE consumer = $1 AND source = $2 AND first_missing <= $3 AND last_missing >= $3 RETURNING "
            + "first_missing, last_missing",
            cancellationToken, consumer, source, number).ConfigureAwait(false);
        if (gap is null)
            return SequenceFinding.Duplicate;
        var (first, last) = ((long)gap[0], (long)gap[1]);
        if (first < number)
            await NoteGapAsync(transaction, source, first, number - 1, cancellationToken).ConfigureAwait(false);
        if (number < last)
            await NoteGapAsync(transaction, source, number + 1, last, cancellationToken).ConfigureAwait(false);
        return SequenceFinding.FillsGap;
    }

    private Task NoteGapAsync(NpgsqlTransaction transaction, string source, long first, long last, CancellationToken cancellationToken) =>
        transaction.ExecuteAsync("INSERT INTO omq_sequence_gap (consumer, source, first_missing, last_missing) VALUES ($1, $2, $3, $4)",
            cancellationToken, consumer, source, first, last);
}
