namespace OrleansMq.Client;

/// <summary>
/// Handles records with what is known of the attempt, and may give a record up: see <see cref="MessageContext{TKey, TValue}"/>. It is
/// registered and called like any <see cref="IMessageHandler{TKey, TValue}"/>.
/// </summary>
/// <typeparam name="TKey">The type of keys.</typeparam>
/// <typeparam name="TValue">The type of values.</typeparam>
public interface IMessageContextHandler<TKey, TValue> : IMessageHandler<TKey, TValue>
{
    /// <summary>Handles a record. It may be delivered again after a crash, a lost partition or a drain that timed out.</summary>
    /// <param name="message">The record and the attempt.</param>
    /// <param name="cancellationToken">Cancelled when the partition is no longer assigned to this consumer, and another may already read
    /// the record.</param>
    ValueTask HandleAsync(MessageContext<TKey, TValue> message, CancellationToken cancellationToken);

    /// <inheritdoc/>
    ValueTask IMessageHandler<TKey, TValue>.HandleAsync(ConsumeResult<TKey, TValue> record, CancellationToken cancellationToken) =>
        HandleAsync(new MessageContext<TKey, TValue>(record), cancellationToken);
}

/// <summary>Handles records with what is known of the attempt, and ignores their keys.</summary>
/// <typeparam name="TValue">The type of values.</typeparam>
public interface IMessageContextHandler<TValue> : IMessageContextHandler<Ignore, TValue>, IMessageHandler<TValue>;
