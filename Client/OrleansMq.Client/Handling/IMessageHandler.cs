namespace OrleansMq.Client;

/// <summary>
/// Handles records, one per call. A record is done when its call returns. If the call throws, the record is retried and finally treated as
/// failed, see <see cref="MessageHandlingOptions"/>. Two exceptions are not retried: with <see cref="RecordAlreadyDoneException"/> the
/// record is done, and with <see cref="CommitFencedException"/> its partition stops. Calls overlap as
/// <see cref="MessageHandlingOptions.Parallelism"/> allows.
/// </summary>
/// <typeparam name="TKey">The type of keys.</typeparam>
/// <typeparam name="TValue">The type of values.</typeparam>
public interface IMessageHandler<TKey, TValue>
{
    /// <summary>Handles a record. It may be delivered again after a crash, a lost partition or a drain that timed out.</summary>
    /// <param name="record">The record.</param>
    /// <param name="cancellationToken">Cancelled when the partition is no longer assigned to this consumer, and another may already read
    /// the record.</param>
    ValueTask HandleAsync(ConsumeResult<TKey, TValue> record, CancellationToken cancellationToken);
}

/// <summary>Handles records and ignores their keys.</summary>
/// <typeparam name="TValue">The type of values.</typeparam>
public interface IMessageHandler<TValue> : IMessageHandler<Ignore, TValue>;
