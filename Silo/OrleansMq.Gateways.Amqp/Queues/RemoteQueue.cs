using OrleansMq.VirtualHosts;

namespace OrleansMq.Gateways.Amqp.Queues;

/// <summary>
/// A queue that is in the memory of another broker. Thread safe.
/// </summary>
/// <param name="homes">The way to its home.</param>
/// <param name="keeper">The connection that declared it.</param>
/// <param name="target">The queue.</param>
internal sealed class RemoteQueue(QueueHomes homes, string keeper, HomeTarget target) : IAmqpQueue
{
    private readonly QueueHome _home = QueueHome.Of(keeper);
    private volatile bool _isGone;

    /// <inheritdoc/>
    public Task<PublishOutcome> PublishAsync(AmqpMessage message) =>
        _isGone ? Task.FromResult(PublishOutcome.Gone) : homes.PublishAsync(_home, target, message);

    /// <inheritdoc/>
    public ValueTask<IQueueReader> AttachAsync(int priority) =>
        _isGone ? throw new QueueGoneException() : homes.AttachAsync(_home, target, priority);

    /// <inheritdoc/>
    public ValueTask<QueueCounts> CountAllAsync() => _isGone ? throw new QueueGoneException() : homes.CountAsync(_home, target);

    /// <inheritdoc/>
    /// <remarks>Its home has the settings.</remarks>
    public ValueTask ApplyAsync(QueueSettings settings) => default;

    /// <inheritdoc/>
    public ValueTask<long> PurgeAsync() => _isGone ? throw new QueueGoneException() : homes.PurgeAsync(_home, target);

    /// <inheritdoc/>
    /// <remarks>Its home deletes the messages.</remarks>
    public ValueTask DeleteAsync()
    {
        _isGone = true;
        return default;
    }

    /// <inheritdoc/>
    public ValueTask DisposeAsync() => DeleteAsync();
}
