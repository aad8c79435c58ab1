using OrleansMq.Client;

namespace OrleansMq.Outboxes;

/// <summary>The state of a grain with an outbox: an <see cref="IPersistentState{TState}"/> whose writes store the messages that were added,
/// and nothing else does. A constructor parameter with <see cref="OutboxStateAttribute"/> gets it.</summary>
/// <typeparam name="TState">The state class.</typeparam>
/// <remarks>
/// A write that throws may be in the store or not. If the store can be read then, and says that the write is in force, it does not throw.
/// Otherwise, whatever the reason is, what was changed and added since the last write is dropped, and the activation ends. <c>State</c> is
/// what the store has; where the store cannot be read, <c>State</c> throws. Each later write of the activation throws an
/// <c>InconsistentStateException</c>: what other, interleaved calls had changed is dropped, too. The next call to the grain reaches a new
/// activation. A grain that repeats a call, as after a timeout, therefore first looks in its state whether it has done it.
/// </remarks>
public interface IOutboxState<TState> : IPersistentState<TState>
    where TState : class, IHasOutbox, new()
{
    /// <summary>The outbox.</summary>
    IOutbox Outbox { get; }
}

/// <summary>The messages that a grain sends. They belong to its state: a message that was added is delivered if the state is written, and
/// only then. Used in the grain's turns.</summary>
public interface IOutbox
{
    /// <summary>The messages that are not known to be delivered: those of the store, and those that were added since.</summary>
    IReadOnlyList<OutboxMessage> Pending { get; }

    /// <summary>The messages that their topic refused for good, such as one that is larger than its <c>max.message.bytes</c>. Later
    /// messages are delivered without them. They stay until <see cref="RetryParked"/> or <see cref="DiscardParked"/>.</summary>
    IReadOnlyList<OutboxMessage> Parked { get; }

    /// <summary>Adds a message. It is serialized now, stored with the next write, and delivered after it. Messages of one partition are
    /// delivered in the order in which they were added. Those without a key go to one partition of the topic.</summary>
    /// <typeparam name="TKey">The type of the key; <see cref="Ignore"/> for none.</typeparam>
    /// <typeparam name="TValue">The type of the value.</typeparam>
    /// <param name="record">The message. Its topic need not exist yet; messages wait until it does.</param>
    /// <param name="keys">Serializes the key; null for the built-in format of the type.</param>
    /// <param name="values">Serializes the value; null for the built-in format of the type.</param>
    /// <exception cref="OutboxFullException">As many messages or bytes wait as may.</exception>
    /// <exception cref="ArgumentException">No topic can have that name, the partition is negative, or the message has an id: the outbox
    /// gives it one.</exception>
    /// <exception cref="InvalidOperationException">There is no built-in format for the type.</exception>
    void Add<TKey, TValue>(ProducerRecord<TKey, TValue> record, ISerializer<TKey>? keys = null, ISerializer<TValue>? values = null);

    /// <inheritdoc cref="Add{TKey, TValue}(ProducerRecord{TKey, TValue}, ISerializer{TKey}, ISerializer{TValue})"/>
    /// <param name="topic">The topic. It need not exist yet; messages wait until it does.</param>
    /// <param name="key">The key. Messages of one key stay in order.</param>
    /// <param name="value">The value.</param>
    void Add<TKey, TValue>(string topic, TKey key, TValue value) => Add(new ProducerRecord<TKey, TValue>(topic, key, value));

    /// <summary>Removes the messages to a topic that are not delivered, once the state is written: those of a topic that will never exist,
    /// or of a partition that it does not have. One that is on its way may be delivered nevertheless.</summary>
    /// <param name="topic">The topic.</param>
    void DiscardPending(string topic);

    /// <summary>Sends the parked messages again, behind all others, once the state is written. They keep their timestamps and their
    /// <see cref="OutboxHeaders.MessageId"/>.</summary>
    void RetryParked();

    /// <summary>Removes the parked messages, once the state is written.</summary>
    void DiscardParked();

    /// <summary>Completes when every message that is stored now is delivered or parked. Until then the call of the grain goes on: a grain
    /// whose calls do not interleave takes no other one, and the activation does not end.</summary>
    /// <param name="cancellationToken">Ends the wait; the messages are delivered nevertheless. Without one that can be cancelled it ends
    /// after 30 seconds.</param>
    /// <exception cref="TimeoutException">30 seconds are over, and no token was passed.</exception>
    /// <exception cref="InvalidOperationException">The activation ends, as after a write that failed. A wake-up delivers the
    /// messages.</exception>
    Task FlushAsync(CancellationToken cancellationToken = default);
}

/// <summary>Gives a constructor parameter of a grain, an <see cref="IOutboxState{TState}"/>, its state.</summary>
/// <param name="stateName">The name of the state, as of a <see cref="PersistentStateAttribute"/>: what was stored under that is
/// read.</param>
/// <param name="storageName">The name of the storage provider; null for the default one.</param>
[AttributeUsage(AttributeTargets.Parameter)]
public sealed class OutboxStateAttribute(string stateName, string? storageName = null) : Attribute, IFacetMetadata
{
    /// <summary>The name of the state.</summary>
    public string StateName { get; } = string.IsNullOrEmpty(stateName)
        ? throw new ArgumentException("Name the state.", nameof(stateName)) : stateName;

    /// <summary>The name of the storage provider; null for the default one.</summary>
    public string? StorageName { get; } = storageName;
}

/// <summary>An outbox has as many messages or bytes as it may have: its topics do not take them.</summary>
public sealed class OutboxFullException : OrleansMqException
{
    internal OutboxFullException(string message) : base(ErrorCode.PolicyViolation, message)
    {
    }
}
