using OrleansMq.VirtualHosts;

namespace OrleansMq.Gateways.Amqp.Queues;

/// <summary>
/// An exclusive queue that is in the memory of another broker, that of its connection. Only that connection consumes it: this broker
/// publishes to it, and counts and purges it for operators. Thread safe.
/// </summary>
/// <param name="homes">The way to its home.</param>
/// <param name="owner">The queue's connection.</param>
/// <param name="target">The queue.</param>
internal sealed class RemoteQueue(QueueHomes homes, string owner, HomeTarget target) : IAmqpQueue
{
    private readonly QueueHome _home = QueueHome.Of(owner);
    private volatile bool _isGone;

    /// <inheritdoc/>
    public Task<PublishOutcome> PublishAsync(AmqpMessage message) =>
        _isGone ? Task.FromResult(PublishOutcome.Gone) : homes.PublishAsync(_home, target, message);

    /// <inheritdoc/>
    public ValueTask<IQueueReader> AttachAsync(int priority) =>
        throw new NotSupportedException("An exclusive queue is consumed at the broker of its connection.");

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
