using System.Collections.Concurrent;
using Npgsql;

namespace OrleansMq.Client.PostgreSql;

/// <summary>
/// Stores a consumer's offsets together with its data, in the transaction that handles the records. Seeks to them when a partition is
/// assigned. Set it as <see cref="ConsumerOptions.RebalanceListener"/>, with <see cref="ConsumerOptions.AutoCommit"/> off.
/// <para>Each assignment claims the partition in the database. A consumer that lost a partition to another member without noticing fails
/// when it stores an offset. Its transaction cannot commit, so no record takes effect twice.</para>
/// For handlers that process one record of a partition at a time; others can use <see cref="PostgresInbox"/>. Thread-safe.
/// </summary>
/// <param name="database">The application's database.</param>
/// <param name="consumer">The owner of the offsets: the group.</param>
public sealed class PostgresOffsets(NpgsqlDataSource database, string consumer) : IRebalanceListener
{
    /// <summary>No offset is stored yet: the consumer starts as its options specify.</summary>
    private const long Unknown = -1;

    /// <summary>Attempts to claim, one second apart: long enough for a database failover.</summary>
    private const int Attempts = 30;

    private readonly ConcurrentDictionary<TopicPartition, Claim> _claims = new();

    /// <summary>Stores that a record is done.</summary>
    /// <param name="transaction">The transaction with the record's effects.</param>
    /// <param name="record">The record.</param>
    /// <param name="cancellationToken">Ends the wait; then roll the transaction back.</param>
    /// <exception cref="CommitFencedException">The partition is assigned to another consumer by now, or a later record of it was stored
    /// before this one: roll the transaction back.</exception>
    /// <exception cref="RecordAlreadyDoneException">The record was done before under this assignment, as by a commit whose outcome was
    /// unknown: roll the transaction back, and continue with the next record.</exception>
    public async Task StoreAsync<TKey, TValue>(NpgsqlTransaction transaction, ConsumeResult<TKey, TValue> record,
        CancellationToken cancellationToken = default)
    {
        if (!_claims.TryGetValue(record.TopicPartition, out var claim))
            throw new CommitFencedException(ErrorCode.UnknownMemberId, [record.TopicPartition]);
        var stored = await transaction.ExecuteAsync(
            "UPDATE omq_consumer_offset SET next_offset = $1, updated_at = now() WHERE consumer = $2 AND topic = $3 AND partition = $4 AND "
            + "claim = $5 AND next_offset < $1",
            cancellationToken, record.Offset + 1, consumer, claim.Topic, record.TopicPartition.Partition,
            claim.Number).ConfigureAwait(false);
        if (stored > 0)
            return;
        // Under the own claim the last record is refused when it comes again. An earlier one means that records are handled out of order:
        // its effects would be lost if it counted as done.
        var row = await transaction.ReadRowAsync(
            "SELECT claim, next_offset FROM omq_consumer_offset WHERE consumer = $1 AND topic = $2 AND partition = $3",
            cancellationToken, consumer, claim.Topic, record.TopicPartition.Partition).ConfigureAwait(false);
        if (row is not null && (long)row[0] == claim.Number && (long)row[1] == record.Offset + 1)
            throw new RecordAlreadyDoneException(record.TopicPartition, record.Offset);
        throw new CommitFencedException(ErrorCode.IllegalGeneration, [record.TopicPartition]);
    }

    /// <summary>Claims the partitions, and seeks to the stored offsets.</summary>
    /// <exception cref="NpgsqlException">The database was unavailable for more than 30 s. The partitions then fail, so that none of their
    /// records is handled.</exception>
    public async ValueTask OnAssignedAsync(IConsumer consumer, IReadOnlyList<TopicPartition> partitions,
        CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(consumer);
        ArgumentNullException.ThrowIfNull(partitions);
        foreach (var partition in partitions)
        {
            var (claim, next) = await ClaimPatientlyAsync(partition, consumer.GetTopicId(partition),
                cancellationToken).ConfigureAwait(false);
            _claims[partition] = claim;
            if (next != Unknown)
                consumer.Seek(partition, ReadFrom.Offset(next));
        }
    }

    /// <inheritdoc/>
    public ValueTask OnRevokedAsync(IConsumer consumer, IReadOnlyList<TopicPartition> partitions, CancellationToken cancellationToken) =>
        Forget(partitions);

    /// <inheritdoc/>
    public ValueTask OnLostAsync(IConsumer consumer, IReadOnlyList<TopicPartition> partitions, CancellationToken cancellationToken) =>
        Forget(partitions);

    private ValueTask Forget(IReadOnlyList<TopicPartition> partitions)
    {
        foreach (var partition in partitions)
            _claims.TryRemove(partition, out _);
        return default;
    }

    private async Task<(Claim Claim, long Next)> ClaimPatientlyAsync(TopicPartition partition, Guid topicId,
        CancellationToken cancellationToken)
    {
        for (var attempt = 1; ; attempt++)
        {
            try
            {
                return await ClaimAsync(partition, topicId, cancellationToken).ConfigureAwait(false);
            }
            catch (NpgsqlException e) when (MayPass(e) && attempt < Attempts)
            {
                await Task.Delay(TimeSpan.FromSeconds(1), cancellationToken).ConfigureAwait(false);
            }
        }
    }

    // A primary that was demoted accepts connections and refuses writes, until clients are led to the new one.
    private static bool MayPass(NpgsqlException failure) =>
        failure.IsTransient || failure.SqlState == PostgresErrorCodes.ReadOnlySqlTransaction;

    /// <summary>Claims a partition. Waits for a transaction of its previous owner: what that stores is visible here, and no later one can
    /// store.</summary>
    private async Task<(Claim Claim, long Next)> ClaimAsync(TopicPartition partition, Guid topicId, CancellationToken cancellationToken)
    {
        var topic = ConsumerTables.Name(partition.Topic, topicId);
        await using var connection = await database.OpenConnectionAsync(cancellationToken).ConfigureAwait(false);
        await using var transaction = await connection.BeginTransactionAsync(cancellationToken).ConfigureAwait(false);
        var row = await transaction.ReadRowAsync(
            """
            INSERT INTO omq_consumer_offset AS stored (consumer, topic, partition, next_offset, claim) VALUES ($1, $2, $3, $4, 1)
            ON CONFLICT (consumer, topic, partition) DO UPDATE SET claim = stored.claim + 1 RETURNING claim, next_offset
            """, cancellationToken, consumer, topic, partition.Partition, Unknown).ConfigureAwait(false);
        await transaction.CommitAsync(cancellationToken).ConfigureAwait(false);
        return (new Claim(topic, (long)row![0]), (long)row[1]);
    }

    private sealed record Claim(string Topic, long Number);
}
