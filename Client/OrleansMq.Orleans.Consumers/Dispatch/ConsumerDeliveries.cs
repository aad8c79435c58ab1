using System.Collections.Concurrent;
using System.Text;
using OrleansMq.Client;

namespace OrleansMq.Consumers;

/// <summary>Delivers records to the grains of a class.</summary>
internal sealed class ConsumerDeliveries(ConsumerClass consumer, CursorSources sources, GrainCaller caller) : IDeliveries
{
    private const int MostShown = 100;

    /// <inheritdoc/>
    public string CauseWithoutKey => $"The record has no key, which would say which grain of {consumer.Class} it is for.";

    /// <inheritdoc/>
    public long MaxRun => caller.MaxRun;

    /// <inheritdoc/>
    public async Task<RunAnswer> DeliverAsync(RecordRun run, SemaphoreSlim places, CancellationToken cancellationToken)
    {
        if (!consumer.Keys.TryGet(run.Key.AsSpan(), out var key))
        {
            var shown = run.Key.AsSpan()[..Math.Min(run.Key.AsSpan().Length, MostShown)];
            return new RunAnswer(0, [new DeliveryAnswer(0, DeliveryOutcome.Unreadable, $"The key '{Encoding.UTF8.GetString(shown)}' is no "
                + $"key of a grain of {consumer.Class}, which is {consumer.Keys.Description}.")]);
        }
        var topicId = await sources.FindTopicAsync(run.Messages[0].TopicPartition, consumer.Queue, run.Queue, cancellationToken)
            .ConfigureAwait(false);
        return RunAnswer.Of(run.Messages.Count, [await caller.DeliverAsync(GrainId.Create(consumer.GrainType, key),
            new ConsumerDelivery(RecordDelivery.Of(run, topicId), run), places, cancellationToken).ConfigureAwait(false)]);
    }
}

/// <summary>Delivers records of one key to its grain.</summary>
internal sealed class ConsumerDelivery(RecordDelivery delivery, RecordRun run) : IGrainDelivery
{
    /// <inheritdoc/>
    public string Origin => $"topic {delivery.Topic}";

    /// <inheritdoc/>
    public string Installation => "AddOrleansMqConsumers()";

    /// <inheritdoc/>
    public IEnumerable<long> Offsets => delivery.Items.Select(static item => item.Offset);

    /// <inheritdoc/>
    public long Size => run.Size;

    /// <inheritdoc/>
    public CancellationToken Ended => run.Ended;

    /// <inheritdoc/>
    public Task<DeliveryAnswer> CallAsync(IGrainFactory grains, GrainId grain, CancellationToken cancellationToken) =>
        ExtensionReferences<IRecordReceiver>.Of(grains, grain).DeliverAsync(delivery, cancellationToken);

    /// <inheritdoc/>
    public Task<long?> FindCurrentAsync(IGrainFactory grains, GrainId grain) =>
        ExtensionReferences<IRecordReceiver>.Of(grains, grain).FindCurrentAsync(delivery.SourceInQueue);

    /// <inheritdoc/>
    public Task<bool> IsDeliveringAsync(IGrainFactory grains, GrainId grain) =>
        ExtensionReferences<IRecordReceiver>.Of(grains, grain).IsDeliveringAsync(delivery.DeliveryId);
}

/// <summary>Which topic a cursor belongs to. A topic that is deleted and created again has another id. Thread-safe.</summary>
internal sealed class CursorSources(OrleansMqClient client)
{
    private readonly ConcurrentDictionary<Guid, Guid> _topics = new();

    /// <summary>Returns the id of the topic that a cursor's records are of.</summary>
    /// <param name="partition">The records' partition.</param>
    /// <param name="name">The cursor's name.</param>
    /// <param name="queue">The cursor's id.</param>
    /// <param name="cancellationToken">Ends the lookup.</param>
    /// <exception cref="BrokerException">It cannot be told now: a partition does not answer, or the topic or the cursor is
    /// deleted.</exception>
    public async Task<Guid> FindTopicAsync(TopicPartition partition, string name, Guid queue, CancellationToken cancellationToken)
    {
        if (_topics.TryGetValue(queue, out var known))
            return known;
        // The topic was the same one when the cursor was looked at, since ids do not return. A lookup may answer from memory; a description
        // does not.
        var before = await client.Broker.DescribeTopicAsync(partition.Topic, cancellationToken).ConfigureAwait(false);
        var described = await client.Broker.Queues.DescribeAsync(partition, name, cancellationToken).ConfigureAwait(false);
        var after = await client.Broker.DescribeTopicAsync(partition.Topic, cancellationToken).ConfigureAwait(false);
        if (described.Id != queue || before.TopicId != after.TopicId)
        {
            throw new BrokerException(ErrorCode.GroupIdNotFound, $"Queue '{name}' of {partition} is not the one any more that delivered "
                + "the record: it or its topic was deleted and created again.");
        }
        return _topics.GetOrAdd(queue, after.TopicId);
    }
}
