namespace OrleansMq.Client;

/// <summary>
/// Consumes a queue, message by message. Messages of all partitions come as they are free; each is held until it is completed, abandoned or
/// rejected, and goes back when the consumer is disposed or dies. Thread-safe: several callers may receive and settle at once.
/// </summary>
/// <typeparam name="TKey">The type of keys.</typeparam>
/// <typeparam name="TValue">The type of values.</typeparam>
public interface IQueueConsumer<TKey, TValue> : IAsyncDisposable
{
    /// <summary>Receives the next message; waits until there is one.</summary>
    /// <exception cref="ObjectDisposedException">The consumer was disposed.</exception>
    ValueTask<QueueMessage<TKey, TValue>> ReceiveAsync(CancellationToken cancellationToken = default);

    /// <summary>Receives the next message, or returns null if none arrives within <paramref name="maxWait"/>.</summary>
    /// <exception cref="ObjectDisposedException">The consumer was disposed.</exception>
    ValueTask<QueueMessage<TKey, TValue>?> ReceiveAsync(TimeSpan maxWait, CancellationToken cancellationToken = default);

    /// <summary>
    /// Passes messages to a handler until it is cancelled. A message is completed when its handler returns, and abandoned as failed when it
    /// throws, unless the handler settled it itself. Its lock is renewed while the handler runs.
    /// <para>A handler does not wait until the completions before it are stored: up to 1,000 are on their way, and are waited for before
    /// this returns. What a crash keeps from being stored is delivered again; a handler that needs to know awaits
    /// <see cref="QueueMessage{TKey, TValue}.CompleteAsync"/>.</para>
    /// </summary>
    /// <param name="handle">Handles one message.</param>
    /// <param name="concurrency">The handlers that run at once, 1 or more. With more than one, order holds for a queue that is ordered by
    /// key.</param>
    /// <param name="cancellationToken">Stops it. Handlers in progress are cancelled and waited for; their messages go back.</param>
    Task RunAsync(Func<QueueMessage<TKey, TValue>, CancellationToken, ValueTask> handle, int concurrency = 1,
        CancellationToken cancellationToken = default);
}
