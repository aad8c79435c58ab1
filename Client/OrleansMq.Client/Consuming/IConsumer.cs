using OrleansMq.Api;

namespace OrleansMq.Client;

/// <summary>
/// What a consumer is told and asked besides its records. Thread safe. See <see cref="IConsumer{TKey, TValue}"/>.
/// </summary>
public interface IConsumer : IAsyncDisposable
{
    /// <summary>The group and who the consumer is in it.</summary>
    ConsumerGroupMetadata GroupMetadata { get; }

    /// <summary>The partitions that are the consumer's now.</summary>
    IReadOnlyCollection<TopicPartition> Assignment { get; }

    /// <summary>Those of them that <see cref="Pause"/> named.</summary>
    IReadOnlyCollection<TopicPartition> Paused { get; }

    /// <summary>
    /// Asks for a share of these topics' partitions; it replaces an earlier subscription. With <see cref="ConsumerOptions.Broadcast"/> for
    /// all of them. Returns at once; partitions come and go in the background. Topics need not exist yet.
    /// </summary>
    /// <exception cref="InvalidOperationException">There is no <see cref="ConsumerOptions.GroupId"/> and no broadcast, or partitions were
    /// assigned by hand.</exception>
    void Subscribe(params IReadOnlyList<string> topics);

    /// <summary>Asks for a share of all topics whose whole name matches, those that come later included.</summary>
    /// <param name="regex">Understood by the coordinator (RE2) and by .NET; <c>orders-.*</c>.</param>
    /// <inheritdoc cref="Subscribe"/>
    void SubscribePattern(string regex);

    /// <summary>
    /// Reads these partitions and no others, without being a member of a group; it replaces an earlier assignment. They start where
    /// <paramref name="start"/> says; without it where the group committed last, and without group or offset as
    /// <see cref="ConsumerOptions.AutoOffsetReset"/> says.
    /// </summary>
    /// <exception cref="InvalidOperationException">The consumer has a subscription.</exception>
    void Assign(IEnumerable<TopicPartition> partitions, ReadFrom? start = null);

    /// <summary>Gives all partitions up, as at the end (drained, committed), and leaves the group. The consumer may subscribe
    /// again.</summary>
    Task UnsubscribeAsync(CancellationToken cancellationToken = default);

    /// <summary>Reads on elsewhere; also what ends a failure of the partition. The next commit, by itself too, says so to the
    /// group.</summary>
    /// <exception cref="InvalidOperationException">The partition is not the consumer's (any more).</exception>
    void Seek(TopicPartition partition, ReadFrom position);

    /// <summary>Hands out no records of these partitions until <see cref="Resume"/>. They stay the consumer's; a partition that is given up
    /// forgets it.</summary>
    /// <inheritdoc cref="Seek"/>
    void Pause(params IEnumerable<TopicPartition> partitions);

    /// <summary>Ends <see cref="Pause"/>.</summary>
    /// <inheritdoc cref="Seek"/>
    void Resume(params IEnumerable<TopicPartition> partitions);

    /// <summary>The offset that is handed out next; waits until it is known.</summary>
    /// <exception cref="InvalidOperationException">The partition is not the consumer's (any more).</exception>
    /// <exception cref="ConsumeException">It cannot be found.</exception>
    ValueTask<long> GetPositionAsync(TopicPartition partition, CancellationToken cancellationToken = default);

    /// <summary>The partition's high watermark as of its last fetch; -1 before the first.</summary>
    /// <exception cref="InvalidOperationException">The partition is not the consumer's (any more).</exception>
    long GetHighWatermark(TopicPartition partition);

    /// <summary>The id of the partition's topic, which is never reused; empty where the partition was assigned by hand.</summary>
    /// <exception cref="InvalidOperationException">The partition is not the consumer's (any more).</exception>
    Guid GetTopicId(TopicPartition partition);

    /// <summary>What the group committed, asked of the coordinator; a partition without an offset is left out.</summary>
    /// <exception cref="InvalidOperationException">The consumer has no group id.</exception>
    /// <exception cref="CommitException">The coordinator could not be asked within <see cref="ConsumerOptions.CommitTimeout"/>.</exception>
    Task<IReadOnlyDictionary<TopicPartition, CommittedOffset>> GetCommittedAsync(IEnumerable<TopicPartition> partitions,
        CancellationToken cancellationToken = default);

    /// <summary>
    /// Commits the positions of all partitions, the record that was handed out last included: call it when that one is done. Completes when
    /// the offsets are stored.
    /// </summary>
    /// <exception cref="CommitFencedException">The partitions belong to another consumer by now.</exception>
    /// <exception cref="CommitException">Not stored; the message says why, and what to do.</exception>
    /// <exception cref="InvalidOperationException">The consumer has no group id.</exception>
    Task CommitAsync(CancellationToken cancellationToken = default);

    /// <summary>Commits these offsets: each is the next one to read, so the offset of the last record done plus one.</summary>
    /// <inheritdoc cref="CommitAsync(CancellationToken)"/>
    Task CommitAsync(IEnumerable<TopicPartitionOffset> offsets, CancellationToken cancellationToken = default);

    /// <summary>As <see cref="CommitAsync(CancellationToken)"/>, without waiting for it: the callback hears what became of it (null:
    /// stored).</summary>
    /// <param name="callback">Called once, from the background; without one a failure is logged.</param>
    void Commit(Action<Exception?>? callback = null);

    /// <summary>
    /// Stops handing out records, commits what is done (with <see cref="ConsumerOptions.AutoCommit"/>), gives all partitions up and leaves
    /// the group; a coordinator that does not answer is waited for 10 s beyond <see cref="ConsumerOptions.DrainTimeout"/>. Whether the
    /// record that was handed out last is done is for the application to say beforehand: unless it committed it, it is read again. The same
    /// as disposing.
    /// </summary>
    Task CloseAsync(CancellationToken cancellationToken = default);
}

/// <summary>
/// Reads topics together with the other members of its group, each partition by one of them at a time.
/// <code>
/// await using var consumer = client.CreateConsumer&lt;string, string&gt;(new() { GroupId = "billing", AutoOffsetReset =
/// AutoOffsetReset.Earliest }); consumer.Subscribe("orders");
/// await foreach (var record in consumer.WithCancellation(stopping))
///     await BillAsync(record.Value);
/// </code>
/// <para><b>What counts as done.</b> A record is done when the next one is asked for. Auto commit commits what is done and no more, so that
/// a record whose handling fails is read again. By hand <see cref="IConsumer.CommitAsync(CancellationToken)"/> says that the last one is
/// done too.</para>
/// <para><b>Liveness</b> is a matter of heartbeats in the background: however long a record takes, it costs no rebalance. When a partition
/// is to go to another consumer, its record in flight is waited for, what is done is committed, and only then is it given up.</para>
/// <para><b>Cut off</b> from its group for a session's length, a consumer stops handing out records, since its partitions may be another's:
/// they are <em>lost</em>, nothing is committed for them any more, and it joins again.</para>
/// Reading is for one caller at a time; all else may be called from any thread.
/// </summary>
/// <typeparam name="TKey">The type of keys.</typeparam>
/// <typeparam name="TValue">The type of values.</typeparam>
public interface IConsumer<TKey, TValue> : IConsumer, IAsyncEnumerable<ConsumeResult<TKey, TValue>>
{
    /// <summary>The next record; waits until there is one.</summary>
    /// <param name="cancellationToken">Ends the wait at once; no record is lost by that.</param>
    /// <exception cref="OffsetOutOfRangeException">A position that its partition does not have, where
    /// <see cref="ConsumerOptions.OutOfRange"/> does not decide.</exception>
    /// <exception cref="ConsumeException">A partition that cannot be read; thrown until it is sought, paused or given up.</exception>
    /// <exception cref="DeserializationException">A key or value that its deserializer refuses; the position stays on it.</exception>
    /// <exception cref="ConsumerGroupException">The consumer cannot be a member of its group (any more).</exception>
    /// <exception cref="ObjectDisposedException">The consumer was closed.</exception>
    ValueTask<ConsumeResult<TKey, TValue>> ReadAsync(CancellationToken cancellationToken = default);

    /// <summary>The next record, or null if there is none within <paramref name="maxWait"/>; zero looks only at what was fetched.</summary>
    /// <inheritdoc cref="ReadAsync(CancellationToken)"/>
    ValueTask<ConsumeResult<TKey, TValue>?> ReadAsync(TimeSpan maxWait, CancellationToken cancellationToken = default);

    /// <summary>Commits this record, and by that all before it in its partition.</summary>
    /// <param name="record">What is done.</param>
    /// <param name="metadata">Words of your own, at most 4,096 bytes.</param>
    /// <param name="cancellationToken">Ends the wait; the offset may be stored all the same.</param>
    /// <inheritdoc cref="IConsumer.CommitAsync(CancellationToken)"/>
    Task CommitAsync(ConsumeResult<TKey, TValue> record, string metadata = "", CancellationToken cancellationToken = default);
}
