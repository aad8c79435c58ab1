namespace OrleansMq.Client;

/// <summary>
/// Sends records. Thread-safe: one producer serves a whole process. Records from one caller to one partition are written in the order of
/// the calls. With idempotence (the default) no record is written twice.
/// <para><b>Three ways to send.</b> <see cref="SendAsync"/> awaits the delivery; the record is sent at once if its partition has nothing in
/// flight, without linger. <see cref="Send(in ProducerRecord{TKey, TValue}, Action{DeliveryReport}, CancellationToken)"/> reports to a
/// callback. <see cref="Send(in ProducerRecord{TKey, TValue}, CancellationToken)"/> is fire and forget: failures raise
/// <see cref="DeliveryFailed"/> and are logged and counted. The latter two only fill batches on the caller's thread; these grow while
/// others are in flight.</para>
/// <para><b>Back-pressure.</b> When <see cref="ProducerOptions.BufferMemory"/> is used up, <see cref="SendAsync"/> and
/// <see cref="EnqueueAsync"/> wait without blocking a thread. <c>Send</c> blocks its thread, so prefer <see cref="EnqueueAsync"/> in
/// asynchronous code. Waiting callers are served in order.</para>
/// </summary>
/// <typeparam name="TKey">The type of keys.</typeparam>
/// <typeparam name="TValue">The type of values.</typeparam>
public interface IProducer<TKey, TValue> : IAsyncDisposable
{
    /// <summary>Sends a record and completes when it is delivered. Await the result exactly once, as with any ValueTask.</summary>
    /// <param name="record">The record; its key and value are serialized before the call returns.</param>
    /// <param name="cancellationToken">
    /// Ends the wait. A record that still waits for room is not sent; an accepted record is delivered nevertheless, with its batch.
    /// </param>
    /// <returns>Partition, offset and timestamp of the record.</returns>
    /// <exception cref="ProduceException">The record was not delivered: see <see cref="OrleansMqException.Action"/>.</exception>
    /// <exception cref="OperationCanceledException">The wait was cancelled; the record may have been delivered.</exception>
    /// <exception cref="ObjectDisposedException">The producer was disposed.</exception>
    ValueTask<DeliveryReport> SendAsync(ProducerRecord<TKey, TValue> record, CancellationToken cancellationToken = default);

    /// <summary>
    /// Sends records that are written together or not at all: as one batch of one partition, which readers see at once. No transaction is
    /// needed where everything goes to one partition. With idempotence (the default) the batch is never there twice.
    /// </summary>
    /// <param name="records">
    /// The records, in order, at least one, of one topic and one partition: that of the first with a partition or a key. The others name
    /// it, have a key that belongs to it, or neither. Together they take at most <see cref="ProducerOptions.MaxRequestSize"/> and the
    /// topic's <c>max.message.bytes</c>.
    /// </param>
    /// <param name="cancellationToken">
    /// Ends the wait. Records that still wait for room are not sent; accepted ones are delivered nevertheless, all of them.
    /// </param>
    /// <returns>Partition, offset and timestamp of each record, in their order.</returns>
    /// <exception cref="ProduceException">None of the records was delivered; if <see cref="ProduceException.MayBeWritten"/>, all or none of
    /// them may be in the log.</exception>
    /// <exception cref="ArgumentException">There is no record, or they are of different topics.</exception>
    /// <exception cref="OperationCanceledException">The wait was cancelled; the records may have been delivered, all of them.</exception>
    /// <exception cref="ObjectDisposedException">The producer was disposed.</exception>
    Task<IReadOnlyList<DeliveryReport>> SendTogetherAsync(IReadOnlyList<ProducerRecord<TKey, TValue>> records,
        CancellationToken cancellationToken = default);

    /// <summary>
    /// Accepts a record and completes when there is room for it, which is nearly always at once. The delivery is reported to
    /// <paramref name="callback"/>; without one, only failures are reported, to <see cref="DeliveryFailed"/>.
    /// </summary>
    /// <param name="record">The record; its key and value are serialized before the call returns.</param>
    /// <param name="callback">
    /// Called once, in sending order within a partition. It runs in the producer's send loop: keep it short and never block. To send from
    /// it use this method, not <c>Send</c>, which blocks without room.
    /// </param>
    /// <param name="cancellationToken">Ends the wait for room. The record is then not sent, and the callback not called.</param>
    /// <exception cref="ProduceException">The record was rejected, or found no room within <see cref="ProducerOptions.DeliveryTimeout"/>.
    /// The callback is not called.</exception>
    /// <exception cref="OperationCanceledException">The wait for room was cancelled.</exception>
    /// <exception cref="ObjectDisposedException">The producer was disposed.</exception>
    ValueTask EnqueueAsync(ProducerRecord<TKey, TValue> record, Action<DeliveryReport>? callback = null,
        CancellationToken cancellationToken = default);

    /// <summary>Sends a record, fire and forget. Blocks the thread only while there is no room.</summary>
    /// <inheritdoc cref="EnqueueAsync"/>
    void Send(in ProducerRecord<TKey, TValue> record, CancellationToken cancellationToken = default);

    /// <summary>Sends a record and reports to a callback. Blocks the thread only while there is no room.</summary>
    /// <inheritdoc cref="EnqueueAsync"/>
    void Send(in ProducerRecord<TKey, TValue> record, Action<DeliveryReport> callback, CancellationToken cancellationToken = default);

    /// <summary>
    /// Completes when every record sent before the call is delivered or has failed, at the latest after
    /// <see cref="ProducerOptions.DeliveryTimeout"/>. Failures are reported to the senders, not here.
    /// </summary>
    /// <param name="cancellationToken">Ends the wait; the records are still sent.</param>
    Task FlushAsync(CancellationToken cancellationToken = default);

    /// <summary>
    /// Raised when a record sent without await or callback has failed. It runs in the producer's send loop: keep it short.
    /// </summary>
    event Action<ProduceException>? DeliveryFailed;

    /// <summary>Counters since the producer was created.</summary>
    ProducerStatistics Statistics { get; }
}

/// <summary>A producer's counters.</summary>
/// <param name="RecordsDelivered">Records reported as delivered.</param>
/// <param name="RecordsFailed">Records reported as failed.</param>
/// <param name="BatchesSent">Batches handed to the broker, including retries.</param>
/// <param name="Retries">Batches handed to the broker again.</param>
/// <param name="BufferedBytes">Bytes of records accepted and not yet reported.</param>
public readonly record struct ProducerStatistics(long RecordsDelivered, long RecordsFailed, long BatchesSent, long Retries,
    long BufferedBytes);
