using OrleansMq.VirtualHosts;

namespace OrleansMq.Gateways.Amqp.Queues;

/// <summary>What came of a publish.</summary>
internal enum PublishOutcome
{
    /// <summary>Not known: the queue could not be reached, or did not answer.</summary>
    Unknown = 0,
    /// <summary>The queue has the message, as safely as it keeps messages.</summary>
    Accepted,
    /// <summary>The queue is full.</summary>
    Refused,
    /// <summary>The queue was deleted meanwhile.</summary>
    Gone,
    /// <summary>The queue can never hold the message, however empty it is.</summary>
    TooLarge,
}

/// <summary>What a reader does with a message that it received.</summary>
internal enum Settlement
{
    /// <summary>Never used.</summary>
    None = 0,
    /// <summary>It is done.</summary>
    Accept,
    /// <summary>It goes back to its place.</summary>
    Return,
    /// <summary>It goes back to its place, and counts as failed.</summary>
    Fail,
}

/// <summary>
/// A queue's messages. States of a message: ready -> held by one reader -> gone, or ready again at its place. A message that was published
/// and answered stays until it is settled, expires, overflows, is purged, or the queue is deleted. Thread safe.
/// </summary>
internal interface IAmqpQueue : IAsyncDisposable
{
    /// <summary>The priority of a reader that receives beside a single active consumer, and is never it.</summary>
    const int Beside = OrleansMq.Queues.ConsumerRing.Beside;

    /// <summary>Publishes a message. The calls of one caller keep their order, also where it does not wait for each.</summary>
    Task<PublishOutcome> PublishAsync(AmqpMessage message);

    /// <summary>Attaches a reader. What it holds when it is disposed returns to the queue.</summary>
    /// <param name="priority">Readers with a higher one receive first.</param>
    /// <exception cref="QueueGoneException">The queue is deleted.</exception>
    ValueTask<IQueueReader> AttachAsync(int priority);

    /// <summary>Counts the messages.</summary>
    /// <exception cref="QueueGoneException">The queue is deleted.</exception>
    ValueTask<QueueCounts> CountAllAsync();

    /// <summary>Counts the ready messages.</summary>
    /// <exception cref="QueueGoneException">The queue is deleted.</exception>
    async ValueTask<long> CountAsync() => (await CountAllAsync().ConfigureAwait(false)).Ready;

    /// <summary>Takes new settings, since a policy has changed.</summary>
    ValueTask ApplyAsync(QueueSettings settings);

    /// <summary>Removes the ready messages. Returns their number.</summary>
    ValueTask<long> PurgeAsync();

    /// <summary>Deletes the messages and what they are kept in. Readers end.</summary>
    ValueTask DeleteAsync();
}

/// <summary>How many messages a queue has.</summary>
/// <param name="Ready">Those that no reader holds.</param>
/// <param name="Held">Those that readers hold.</param>
/// <param name="ReadyBytes">The bytes of bodies of the ready ones; null where they are not counted.</param>
/// <param name="HeldBytes">The bytes of bodies of the held ones; null where they are not counted.</param>
internal readonly record struct QueueCounts(long Ready, long Held, long? ReadyBytes = null, long? HeldBytes = null);

/// <summary>A reader of a queue. One call of <see cref="ReceiveAsync"/> at a time; settlements at any time.</summary>
internal interface IQueueReader : IAsyncDisposable
{
    /// <summary>Receives ready messages, waiting for the first.</summary>
    /// <param name="max">The most messages.</param>
    /// <param name="maxWait">How long to wait.</param>
    /// <param name="cancellationToken">Ends the wait; what arrives then goes back.</param>
    /// <returns>The messages; none when the time is over. A call that does not wait returns none only if the queue had none.</returns>
    /// <exception cref="BrokerException">Whether it has some is not known.</exception>
    /// <exception cref="QueueGoneException">The queue is deleted.</exception>
    ValueTask<IReadOnlyList<HeldMessage>> ReceiveAsync(int max, TimeSpan maxWait, CancellationToken cancellationToken);

    /// <summary>Settles a message that this reader received. Completes when that is stored; fails where it is not known to be:
    /// the message may come again.</summary>
    /// <param name="hold">The message's hold.</param>
    /// <param name="settlement">What to do with it.</param>
    /// <param name="delay">How long one that goes back waits. A queue in memory does not wait.</param>
    Task SettleAsync(MessageHold hold, Settlement settlement, TimeSpan delay = default);

    /// <summary>Receives nothing more, and keeps what it holds: a single active reader gives its turn up to the next one.</summary>
    Task YieldAsync() => Task.CompletedTask;

    /// <summary>Whether the queue has what this reader holds in memory all the same.</summary>
    bool KeepsMessages => false;

    /// <summary>Reads a message again that this reader holds; null if the queue has it no more.</summary>
    /// <exception cref="BrokerException">It cannot be read now.</exception>
    ValueTask<AmqpMessage?> ReadAsync(MessageHold hold);
}

/// <summary>A message that a reader has received and holds.</summary>
/// <param name="Message">The message.</param>
/// <param name="Hold">What settles it.</param>
/// <param name="IsRedelivered">Whether it may have been delivered before.</param>
internal sealed record HeldMessage(AmqpMessage Message, MessageHold Hold, bool IsRedelivered);

/// <summary>What settles a message that a reader holds. A queue on the log needs no memory for the message itself meanwhile.</summary>
/// <param name="Position">Its place in the queue.</param>
/// <param name="Failures">How often it failed.</param>
internal record MessageHold(long Position, int Failures)
{
    /// <summary>The id of what the position is in: a queue on the log that is deleted and made again has another. Empty in memory, and for
    /// streams.</summary>
    public virtual Guid Queue => Guid.Empty;
}

/// <summary>The queue is deleted.</summary>
internal sealed class QueueGoneException(Exception? inner = null) : Exception("The queue is deleted.", inner);
