using OrleansMq.Api;

namespace OrleansMq.Client;

/// <summary>
/// The part of a consumer that does not depend on its record types. Thread-safe. See <see cref="IConsumer{TKey, TValue}"/>.
/// </summary>
public interface IConsumer : IAsyncDisposable
{
    /// <summary>The group and the consumer's identity in it.</summary>
    ConsumerGroupMetadata GroupMetadata { get; }

    /// <summary>The partitions currently assigned to the consumer.</summary>
    IReadOnlyCollection<TopicPartition> Assignment { get; }

    /// <summary>The assigned partitions that are paused.</summary>
    IReadOnlyCollection<TopicPartition> Paused { get; }

    /// <summary>
    /// Requests a share of these topics' partitions, or all of them with <see cref="ConsumerOptions.Broadcast"/>. Replaces an earlier
    /// subscription. Returns at once; partitions are assigned and revoked in the background. Topics need not exist yet.
    /// </summary>
    /// <exception cref="InvalidOperationException">Neither <see cref="ConsumerOptions.GroupId"/> nor broadcast is set, or partitions were
    /// assigned with <see cref="Assign"/>.</exception>
    void Subscribe(params IReadOnlyList<string> topics);

    /// <summary>Requests a share of all topics whose whole name matches, including topics created later.</summary>
    /// <param name="regex">A pattern valid for both the coordinator (RE2) and .NET, such as <c>orders-.*</c>.</param>
    /// <inheritdoc cref="Subscribe"/>
    void SubscribePattern(string regex);

    /// <summary>
    /// Reads exactly these partitions, without being a member of a group. Replaces an earlier assignment. They start at
    /// <paramref name="start"/>; without it at the group's committed offset; without a group or offset as
    /// <see cref="ConsumerOptions.AutoOffsetReset"/> specifies.
    /// </summary>
    /// <exception cref="InvalidOperationException">The consumer has a subscription.</exception>
    void Assign(IEnumerable<TopicPartition> partitions, ReadFrom? start = null);

    /// <summary>Drains, commits and revokes all partitions, as on close, and leaves the group. The consumer may subscribe again.</summary>
    Task UnsubscribeAsync(CancellationToken cancellationToken = default);

    /// <summary>Continues reading at another position. This also clears a failure of the partition. The next commit, automatic or not,
    /// includes the new position.</summary>
    /// <exception cref="InvalidOperationException">The partition is not (or no longer) assigned to the consumer.</exception>
    void Seek(TopicPartition partition, ReadFrom position);

    /// <summary>Stops handing out records of these partitions until <see cref="Resume"/>. They remain assigned. Revocation clears the
    /// pause.</summary>
    /// <inheritdoc cref="Seek"/>
    void Pause(params IEnumerable<TopicPartition> partitions);

    /// <summary>Resumes paused partitions.</summary>
    /// <inheritdoc cref="Seek"/>
    void Resume(params IEnumerable<TopicPartition> partitions);

    /// <summary>Returns the offset of the next record to be handed out; waits until it is known.</summary>
    /// <exception cref="InvalidOperationException">The partition is not (or no longer) assigned to the consumer.</exception>
    /// <exception cref="ConsumeException">The position cannot be found.</exception>
    ValueTask<long> GetPositionAsync(TopicPartition partition, CancellationToken cancellationToken = default);

    /// <summary>Returns the partition's high watermark as of its last fetch, or with <see cref="IsolationLevel.ReadCommitted"/> its last
    /// stable offset; -1 before the first.</summary>
    /// <exception cref="InvalidOperationException">The partition is not (or no longer) assigned to the consumer.</exception>
    long GetHighWatermark(TopicPartition partition);

    /// <summary>Returns the id of the partition's topic, which is never reused; empty if the partition was assigned with
    /// <see cref="Assign"/>.</summary>
    /// <exception cref="InvalidOperationException">The partition is not (or no longer) assigned to the consumer.</exception>
    Guid GetTopicId(TopicPartition partition);

    /// <summary>Fetches the group's committed offsets from the coordinator. Partitions without one are omitted.</summary>
    /// <exception cref="InvalidOperationException">The consumer has no group id.</exception>
    /// <exception cref="CommitException">The coordinator did not answer within <see cref="ConsumerOptions.CommitTimeout"/>.</exception>
    Task<IReadOnlyDictionary<TopicPartition, CommittedOffset>> GetCommittedAsync(IEnumerable<TopicPartition> partitions,
        CancellationToken cancellationToken = default);

    /// <summary>
    /// Commits the positions of all partitions, including the last record handed out: call it when that record is done. Completes when the
    /// offsets are stored.
    /// </summary>
    /// <exception cref="CommitFencedException">The partitions are assigned to another consumer by now.</exception>
    /// <exception cref="CommitException">Not stored; the message gives the reason and the fix.</exception>
    /// <exception cref="InvalidOperationException">The consumer has no group id.</exception>
    Task CommitAsync(CancellationToken cancellationToken = default);

    /// <summary>Commits these offsets. Each is the next one to read: that of the last record done, plus one.</summary>
    /// <inheritdoc cref="CommitAsync(CancellationToken)"/>
    Task CommitAsync(IEnumerable<TopicPartitionOffset> offsets, CancellationToken cancellationToken = default);

    /// <summary>Commits like <see cref="CommitAsync(CancellationToken)"/>, without waiting. The callback receives the outcome (null:
    /// stored).</summary>
    /// <param name="callback">Called once, in the background. Without a callback a failure is logged.</param>
    void Commit(Action<Exception?>? callback = null);

    /// <summary>
    /// Stops handing out records, commits what is done (with <see cref="ConsumerOptions.AutoCommit"/>), revokes all partitions and leaves
    /// the group. It waits for records in flight up to <see cref="ConsumerOptions.DrainTimeout"/>, and for a coordinator that does not
    /// answer 10 s longer. The last record handed out is read again unless the application commits it beforehand. Equivalent to disposing.
    /// </summary>
    Task CloseAsync(CancellationToken cancellationToken = default);
}

/// <summary>
/// Reads topics together with the other members of its group. Each partition is read by one member at a time.
/// <code>
/// await using var consumer = client.CreateConsumer&lt;string, string&gt;(
///     new() { GroupId = "billing", AutoOffsetReset = AutoOffsetReset.Earliest });
/// consumer.Subscribe("orders");
/// await foreach (var record in consumer.WithCancellation(stopping))
///     await BillAsync(record.Value);
/// </code>
/// <para><b>Processing.</b> A record is done when the application asks for the next one. Auto commit commits only what is done, so a record
/// whose handling fails is read again. <see cref="IConsumer.CommitAsync(CancellationToken)"/> marks the last record as done too.</para>
/// <para><b>Liveness</b> depends on heartbeats in the background: slow processing of a record never causes a rebalance. When a partition
/// moves to another consumer, it is drained first: the record in flight is completed, and what is done is committed. Only then is the
/// partition revoked.</para>
/// <para><b>Lost partitions.</b> A consumer without contact to its group for the session timeout stops handing out records, since its
/// partitions may be assigned to others. They are <em>lost</em>: nothing is committed for them any more, and the consumer rejoins.</para>
/// Only one caller may read at a time; all other members may be called from any thread.
/// </summary>
/// <typeparam name="TKey">The type of keys.</typeparam>
/// <typeparam name="TValue">The type of values.</typeparam>
public interface IConsumer<TKey, TValue> : IConsumer, IAsyncEnumerable<ConsumeResult<TKey, TValue>>
{
    /// <summary>Reads the next record; waits until there is one.</summary>
    /// <param name="cancellationToken">Ends the wait at once, without losing a record.</param>
    /// <exception cref="OffsetOutOfRangeException">The position does not exist in the partition, and
    /// <see cref="ConsumerOptions.OutOfRange"/> does not choose another.</exception>
    /// <exception cref="ConsumeException">A partition cannot be read; thrown until it is sought, paused or revoked.</exception>
    /// <exception cref="DeserializationException">The deserializer rejected a key or value; the position stays at that record.</exception>
    /// <exception cref="ConsumerGroupException">The consumer cannot be a member of its group (any more).</exception>
    /// <exception cref="ObjectDisposedException">The consumer was closed.</exception>
    ValueTask<ConsumeResult<TKey, TValue>> ReadAsync(CancellationToken cancellationToken = default);

    /// <summary>Reads the next record, or returns null if there is none within <paramref name="maxWait"/>. Zero returns only a record that
    /// is already fetched.</summary>
    /// <inheritdoc cref="ReadAsync(CancellationToken)"/>
    ValueTask<ConsumeResult<TKey, TValue>?> ReadAsync(TimeSpan maxWait, CancellationToken cancellationToken = default);

    /// <summary>Commits this record, and thereby all earlier ones in its partition.</summary>
    /// <param name="record">The last record done.</param>
    /// <param name="metadata">Free text, at most 4,096 bytes.</param>
    /// <param name="cancellationToken">Ends the wait; the offset may be stored nevertheless.</param>
    /// <inheritdoc cref="IConsumer.CommitAsync(CancellationToken)"/>
    Task CommitAsync(ConsumeResult<TKey, TValue> record, string metadata = "", CancellationToken cancellationToken = default);
}
