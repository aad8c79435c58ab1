namespace OrleansMq.Client;

/// <summary>
/// Handles records in transactions, one per call: what it returns is written, and the record is done, in one transaction. A host runs it
/// with <c>AddTransactionalHandler</c>. If the call throws, the transaction is aborted and its records are handled again, at most
/// <see cref="TransactionalProcessingOptions.MaxAttempts"/> times; then the host stops. Calls do not overlap.
/// </summary>
/// <typeparam name="TKey">The type of keys that are read.</typeparam>
/// <typeparam name="TValue">The type of values that are read.</typeparam>
/// <typeparam name="TResultKey">The type of keys that are written.</typeparam>
/// <typeparam name="TResultValue">The type of values that are written.</typeparam>
public interface ITransactionalHandler<TKey, TValue, TResultKey, TResultValue>
{
    /// <summary>Handles a record. What it does besides returning results is not part of the transaction.</summary>
    /// <param name="record">The record.</param>
    /// <param name="cancellationToken">Cancelled when the partition moves to another consumer, and when the host stops.</param>
    /// <returns>The records to write; null and empty for none.</returns>
    ValueTask<IEnumerable<ProducerRecord<TResultKey, TResultValue>>> HandleAsync(ConsumeResult<TKey, TValue> record,
        CancellationToken cancellationToken);
}
