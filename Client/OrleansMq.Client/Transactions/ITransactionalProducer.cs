namespace OrleansMq.Client;

/// <summary>
/// Sends records in transactions: all records and offsets of a transaction count, or none does. Thread-safe; one transaction is open at a
/// time.
/// <code>
/// await using var producer = client.CreateTransactionalProducer&lt;string, string&gt;("billing-1");
/// await using var transaction = await producer.BeginTransactionAsync();
/// await transaction.EnqueueAsync(new("invoices", "customer-7", "12.50"));
/// await transaction.EnqueueAsync(new("audit", "customer-7", "invoice written"));
/// await transaction.CommitAsync();
/// </code>
/// <para><b>Readers</b> with <see cref="IsolationLevel.ReadCommitted"/> see the records from the commit on, and never those of an
/// aborted transaction (<see cref="ReaderOptions.Isolation"/>).</para>
/// <para><b>One instance for each id.</b> The first transaction of an instance ends what an earlier instance with the same transactional id
/// has left open, and fences that one: whatever it still sends is refused.</para>
/// </summary>
/// <typeparam name="TKey">The type of keys.</typeparam>
/// <typeparam name="TValue">The type of values.</typeparam>
public interface ITransactionalProducer<TKey, TValue> : IAsyncDisposable
{
    /// <summary>The transactional id.</summary>
    string TransactionalId { get; }

    /// <summary>Begins a transaction. The broker learns of it with its first record or offset.</summary>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <exception cref="InvalidOperationException">The last transaction is neither committed nor aborted: dispose it.</exception>
    /// <exception cref="ProducerFencedException">Another instance has taken over the transactional id.</exception>
    /// <exception cref="TransactionException">The broker refuses the transactional id, or does not answer within
    /// <see cref="TransactionalProducerOptions.RequestTimeout"/>.</exception>
    /// <exception cref="ObjectDisposedException">The producer was disposed.</exception>
    ValueTask<ITransaction<TKey, TValue>> BeginTransactionAsync(CancellationToken cancellationToken = default);
}

/// <summary>
/// An open transaction: the records of this producer count when it commits. Dispose aborts it, unless it is committed.
/// <para>A record that is not delivered fails the transaction, whether its sender looks or not: <see cref="CommitAsync"/> then throws, and
/// nothing of the transaction counts.</para>
/// </summary>
/// <typeparam name="TKey">The type of keys.</typeparam>
/// <typeparam name="TValue">The type of values.</typeparam>
public interface ITransaction<TKey, TValue> : IProducer<TKey, TValue>
{
    /// <summary>Returns a producer of other types in the same transaction.</summary>
    /// <typeparam name="TOtherKey">The type of keys.</typeparam>
    /// <typeparam name="TOtherValue">The type of values.</typeparam>
    /// <param name="keys">Serializes keys; null for the built-in format of the type, see <see cref="Serdes.For{T}"/>.</param>
    /// <param name="values">Serializes values; null for the built-in format of the type.</param>
    /// <returns>The producer. It need not be disposed.</returns>
    IProducer<TOtherKey, TOtherValue> ProducerOf<TOtherKey, TOtherValue>(ISerializer<TOtherKey>? keys = null,
        ISerializer<TOtherValue>? values = null);

    /// <summary>
    /// Commits the positions of a consumer with the transaction: those of all partitions, including the last record handed out. So each
    /// record that was read has its effect exactly once, although the process may die anywhere.
    /// <para>After an abort the consumer is still behind the records that it handed out: seek back to the committed offsets before going
    /// on,
    /// or they are passed over. A consumer of topics that others write in transactions reads with
    /// <see cref="IsolationLevel.ReadCommitted"/>. <see cref="OrleansMqClient.ProcessAsync"/> does both.</para>
    /// </summary>
    /// <param name="consumer">A consumer of this library, in a group, with <see cref="ConsumerOptions.AutoCommit"/> off.</param>
    /// <param name="cancellationToken">Ends the wait, and fails the transaction.</param>
    /// <exception cref="CommitFencedException">Partitions whose records were handed out are assigned to another consumer by now. The
    /// transaction has failed.</exception>
    /// <exception cref="TransactionException">The offsets are not taken; the message gives the reason. The transaction has
    /// failed.</exception>
    /// <exception cref="InvalidOperationException">The consumer commits automatically, has no group, or is not of this library; or the
    /// transaction has ended.</exception>
    Task SendOffsetsAsync(IConsumer consumer, CancellationToken cancellationToken = default);

    /// <summary>Commits offsets of a group with the transaction.</summary>
    /// <param name="group">The group, and the member that read the records (<see cref="IConsumer.GroupMetadata"/>). With an empty member id
    /// and -1 the membership is not checked.</param>
    /// <param name="offsets">The offsets. Each is the next one to read: that of the last record done, plus one.</param>
    /// <param name="cancellationToken">Ends the wait, and fails the transaction.</param>
    /// <exception cref="CommitFencedException">The member is no longer one of the group. The transaction has failed.</exception>
    /// <exception cref="TransactionException">The offsets are not taken; the message gives the reason. The transaction has
    /// failed.</exception>
    /// <exception cref="InvalidOperationException">The transaction has ended.</exception>
    Task SendOffsetsAsync(ConsumerGroupMetadata group, IEnumerable<TopicPartitionOffset> offsets,
        CancellationToken cancellationToken = default);

    /// <summary>
    /// Delivers all records sent before, and commits. When it completes, the commit is stored, and nothing changes it any more. After
    /// <see cref="TransactionOutcomeUnknownException"/> it may be called again.
    /// </summary>
    /// <param name="cancellationToken">Ends the wait; whether the transaction is committed is not known then.</param>
    /// <exception cref="TransactionOutcomeUnknownException">No broker answered in time. Call again to learn the outcome.</exception>
    /// <exception cref="ProducerFencedException">Another instance has taken over the transactional id. Nothing is committed, unless the
    /// message says that an attempt before was not answered.</exception>
    /// <exception cref="TransactionException">Nothing is committed: a record or offset has failed, or the transaction was open for longer
    /// than <see cref="TransactionalProducerOptions.TransactionTimeout"/>. Abort it.</exception>
    /// <exception cref="InvalidOperationException">The transaction has ended.</exception>
    Task CommitAsync(CancellationToken cancellationToken = default);

    /// <summary>Aborts: none of the records and offsets counts. Records not sent yet are discarded, and their senders get an error. A
    /// consumer whose offsets were sent does not go back by itself.</summary>
    /// <param name="cancellationToken">Ends the wait. Dispose the transaction then: the producer's next one ends it before it
    /// begins.</param>
    /// <exception cref="ProducerFencedException">Another instance has taken over the transactional id; the transaction is
    /// aborted.</exception>
    /// <exception cref="TransactionException">The broker did not answer in time, or the transaction was committed by a call whose outcome
    /// was unknown.</exception>
    /// <exception cref="InvalidOperationException">The transaction is committed.</exception>
    Task AbortAsync(CancellationToken cancellationToken = default);
}
