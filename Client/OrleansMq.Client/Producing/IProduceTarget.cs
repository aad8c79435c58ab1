using OrleansMq.Api;

namespace OrleansMq.Client;

/// <summary>What a producer sends its batches to: a broker, or one transaction at it. Thread-safe.</summary>
internal interface IProduceTarget
{
    /// <summary>Whether batches belong to a transaction.</summary>
    bool IsTransactional { get; }

    /// <summary>Returns what the producer needs to know about a topic.</summary>
    /// <exception cref="BrokerException">The topic does not exist, or must not be written to.</exception>
    ValueTask<TopicListing> GetTopicAsync(string topic);

    /// <summary>Returns a producer id and epoch under which nothing was sent yet.</summary>
    /// <exception cref="BrokerException">There is none.</exception>
    ValueTask<ProducerIdentity> GetIdentityAsync();

    /// <summary>Appends a batch. Its memory belongs to the target until the task completes.</summary>
    /// <param name="partition">The partition.</param>
    /// <param name="batch">The batch.</param>
    /// <param name="producer">The producer in the batch; null without idempotence.</param>
    /// <param name="acks">When to acknowledge.</param>
    ValueTask<ProduceResult> ProduceAsync(TopicPartition partition, Memory<byte> batch, ProducerIdentity? producer, Acks acks);

    /// <summary>Returns the size of batches that a topic took before; <see cref="int.MaxValue"/> if none was too large.</summary>
    int BatchSizeOf(string topic);

    /// <summary>Notes the size of batches that a topic may take, since a larger one was refused.</summary>
    void LearnBatchSize(string topic, int size);

    /// <summary>Notes that a record is not delivered. Called before its sender learns of it.</summary>
    void OnFailed(ProduceException failure);
}

/// <summary>A broker as the target of batches that belong to no transaction.</summary>
internal sealed class BrokerTarget(IBroker broker) : IProduceTarget
{
    /// <inheritdoc/>
    public bool IsTransactional => false;

    /// <inheritdoc/>
    public ValueTask<TopicListing> GetTopicAsync(string topic) => broker.GetTopicAsync(topic);

    /// <inheritdoc/>
    public ValueTask<ProducerIdentity> GetIdentityAsync() => broker.InitProducerIdAsync();

    /// <inheritdoc/>
    public ValueTask<ProduceResult> ProduceAsync(TopicPartition partition, Memory<byte> batch, ProducerIdentity? producer, Acks acks) =>
        broker.ProduceAsync(partition, batch, acks);

    /// <inheritdoc/>
    public int BatchSizeOf(string topic) => int.MaxValue;

    /// <inheritdoc/>
    /// <remarks>Each partition's queue remembers it.</remarks>
    public void LearnBatchSize(string topic, int size) { }

    /// <inheritdoc/>
    public void OnFailed(ProduceException failure) { }
}
