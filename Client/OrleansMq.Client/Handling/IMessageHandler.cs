namespace OrleansMq.Client;

/// <summary>
/// Handles records, one a call. A record whose call returns is done; one whose call throws is tried again and then set aside, see
/// <see cref="MessageHandlingOptions"/>. Calls overlap as <see cref="MessageHandlingOptions.Parallelism"/> allows.
/// </summary>
/// <typeparam name="TKey">The type of keys.</typeparam>
/// <typeparam name="TValue">The type of values.</typeparam>
public interface IMessageHandler<TKey, TValue>
{
    /// <summary>Handles a record. It may come again: after a crash, a lost partition or a drain that took too long.</summary>
    /// <param name="record">The record.</param>
    /// <param name="cancellationToken">Cancelled when the partition is no longer this consumer's: another may have the record
    /// already.</param>
    ValueTask HandleAsync(ConsumeResult<TKey, TValue> record, CancellationToken cancellationToken);
}

/// <summary>Handles records without regard to their keys.</summary>
/// <typeparam name="TValue">The type of values.</typeparam>
public interface IMessageHandler<TValue> : IMessageHandler<Ignore, TValue>;
