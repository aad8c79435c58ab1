namespace OrleansMq.Client;

/// <summary>
/// Sends records. Thread safe: one producer serves a whole process. Records that one caller sends to one partition are written in the order
/// of the calls, and with idempotence (the default) none is written twice.
/// <para><b>Three ways to send.</b> <see cref="SendAsync"/>: await the delivery; the record leaves at once when its partition has nothing
/// in flight, and no linger holds it up. <see cref="Send(in ProducerRecord{TKey, TValue}, Action{DeliveryReport}, CancellationToken)"/>: be
/// called back. <see cref="Send(in ProducerRecord{TKey, TValue}, CancellationToken)"/>: fire and forget; failures raise
/// <see cref="DeliveryFailed"/> and are logged and counted. The latter two only fill batches on the caller's thread; what is in flight
/// decides how large these grow.</para>
/// <para><b>Back-pressure.</b> When <see cref="ProducerOptions.BufferMemory"/> is used up, <see cref="SendAsync"/> and
/// <see cref="EnqueueAsync"/> wait without a thread, <c>Send</c> blocks its thread (so prefer <see cref="EnqueueAsync"/> in asynchronous
/// code); first come, first served.</para>
/// </summary>
/// <typeparam name="TKey">The type of keys.</typeparam>
/// <typeparam name="TValue">The type of values.</typeparam>
public interface IProducer<TKey, TValue> : IAsyncDisposable
{
    /// <summary>Sends a record and completes when it is delivered. Await the result once, at once or later, as any ValueTask.</summary>
    /// <param name="record">The record; its key and value are serialized before the call returns.</param>
    /// <param name="cancellationToken">
    /// Ends the wait. A record that still waits for room is not sent; one that was accepted is delivered all the same, with its batch.
    /// </param>
    /// <returns>Where the record is.</returns>
    /// <exception cref="ProduceException">Not delivered: see <see cref="ProduceException.Action"/>.</exception>
    /// <exception cref="OperationCanceledException">The wait was cancelled; the record may have been delivered.</exception>
    /// <exception cref="ObjectDisposedException">The producer was disposed.</exception>
    ValueTask<DeliveryReport> SendAsync(ProducerRecord<TKey, TValue> record, CancellationToken cancellationToken = default);

    /// <summary>
    /// Accepts a record and completes when there is room for it, which is nearly always at once; the delivery is reported to
    /// <paramref name="callback"/>, or, without one, only failures to <see cref="DeliveryFailed"/>.
    /// </summary>
    /// <param name="record">The record; its key and value are serialized before the call returns.</param>
    /// <param name="callback">
    /// Called once, in the order of sending within a partition. It runs in the producer's send loop: keep it short, and never wait in it.
    /// To send more from it use this method, not <c>Send</c>, which waits where there is no room.
    /// </param>
    /// <param name="cancellationToken">Ends the wait for room; the record is then not sent, and the callback not called.</param>
    /// <exception cref="ProduceException">Refused, or no room within <see cref="ProducerOptions.DeliveryTimeout"/>; the callback is not
    /// called.</exception>
    /// <exception cref="OperationCanceledException">The wait for room was cancelled.</exception>
    /// <exception cref="ObjectDisposedException">The producer was disposed.</exception>
    ValueTask EnqueueAsync(ProducerRecord<TKey, TValue> record, Action<DeliveryReport>? callback = null,
        CancellationToken cancellationToken = default);

    /// <summary>Fire and forget. Blocks the thread only while there is no room.</summary>
    /// <inheritdoc cref="EnqueueAsync"/>
    void Send(in ProducerRecord<TKey, TValue> record, CancellationToken cancellationToken = default);

    /// <summary>Sends a record and calls back. Blocks the thread only while there is no room.</summary>
    /// <inheritdoc cref="EnqueueAsync"/>
    void Send(in ProducerRecord<TKey, TValue> record, Action<DeliveryReport> callback, CancellationToken cancellationToken = default);

    /// <summary>
    /// Completes when every record sent before the call is delivered or has failed: at the latest after
    /// <see cref="ProducerOptions.DeliveryTimeout"/>. Failures are reported where the record was sent, not here.
    /// </summary>
    /// <param name="cancellationToken">Ends the wait; the records go on.</param>
    Task FlushAsync(CancellationToken cancellationToken = default);

    /// <summary>
    /// A record that was sent without await and without callback has failed. Raised in the producer's send loop: keep it short.
    /// </summary>
    event Action<ProduceException>? DeliveryFailed;

    /// <summary>Counters since the producer was made.</summary>
    ProducerStatistics Statistics { get; }
}

/// <summary>A producer's counters.</summary>
/// <param name="RecordsDelivered">Records reported as delivered.</param>
/// <param name="RecordsFailed">Records reported as failed.</param>
/// <param name="BatchesSent">Batches handed to the broker, each retry counted again.</param>
/// <param name="Retries">Batches handed to the broker again.</param>
/// <param name="BufferedBytes">Bytes of records accepted and not yet reported.</param>
public readonly record struct ProducerStatistics(long RecordsDelivered, long RecordsFailed, long BatchesSent, long Retries,
    long BufferedBytes);
