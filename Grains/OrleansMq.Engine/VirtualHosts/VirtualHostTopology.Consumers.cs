using System.Collections.Immutable;

namespace OrleansMq.VirtualHosts;

// Consumers. The owner knows those of all brokers: it decides who may consume, and which queue has none left.
internal sealed partial class VirtualHostTopology
{
    /// <summary>The consumers, in no particular order.</summary>
    public IEnumerable<QueueConsumer> Consumers => _shards.SelectMany(static shard => shard.Consumers.Values)
        .SelectMany(static consumers => consumers.Values);

    /// <summary>The connections that have consumers or exclusive queues, and <see cref="ConnectionId.OfBroker"/> of those in whose memory
    /// there are others.</summary>
    public IEnumerable<string> Connections => _consumersOf.Keys.Union(_byOwner.Keys);

    /// <summary>Returns the consumers of a queue by their ids, without a copy of them.</summary>
    public ImmutableSortedDictionary<string, QueueConsumer> ConsumersOf(QueueState queue) =>
        _shards[VirtualHostShard.Of(queue.Name)].ConsumersOf(queue.Id);

    /// <summary>Whether a connection has consumers.</summary>
    public bool HasConsumers(string connection) => _consumersOf.ContainsKey(connection);

    /// <summary>Decides on a new consumer.</summary>
    /// <param name="consumer">The consumer. One that is there already stays.</param>
    /// <param name="isSingleActive">Whether the queue has one active consumer at a time: then none may be exclusive.</param>
    public TopologyDecision AddConsumer(QueueConsumer consumer, bool isSingleActive)
    {
        if (FindQueue(consumer.Queue) is not { } queue || queue.Id != consumer.QueueId)
            return Refuse(NoQueue(consumer.Queue));
        if (IsLocked(queue, consumer.Connection))
            return Refuse(AmqpRefusal.Locked(QueueName(queue.Name)));
        var present = ConsumersOf(queue);
        if (present.ContainsKey(consumer.Id))
            return TopologyDecision.Keep(this, queue);
        // An exclusive one is alone, so that many need not be looked at.
        var isTaken = present.Count == 1 && present.Values.First().Exclusive;
        if (isTaken || (consumer.Exclusive && (!present.IsEmpty || isSingleActive)))
            return Refuse(AmqpRefusal.Access($"{QueueName(queue.Name)} in exclusive use"));
        var changes = new TopologyChanges(this);
        changes.Add(new PutConsumer(consumer));
        return TopologyDecision.Accept(changes, queue);
    }

    /// <summary>Decides that a consumer has gone. An auto-delete queue ends with its last one.</summary>
    /// <param name="name">The queue.</param>
    /// <param name="queueId">Its id.</param>
    /// <param name="id">The consumer's id.</param>
    public TopologyDecision RemoveConsumer(string name, long queueId, string id) =>
        _shards[VirtualHostShard.Of(name)].ConsumersOf(queueId).TryGetValue(id, out var consumer)
            ? End([consumer], []) : TopologyDecision.Keep(this);

    // Consumers first, then the queues that end with them, then the queues given.
    private TopologyDecision End(IReadOnlyCollection<QueueConsumer> consumers, IReadOnlyCollection<QueueState> queues)
    {
        if (consumers.Count == 0 && queues.Count == 0)
            return TopologyDecision.Keep(this);
        var changes = new TopologyChanges(this);
        foreach (var consumer in consumers)
            changes.Add(new DropConsumer(consumer));
        var left = consumers.Select(consumer => FindQueue(consumer.Queue)).OfType<QueueState>().Distinct()
            .Where(queue => queue.AutoDelete && changes.Next.ConsumersOf(queue).IsEmpty);
        QueueState[] ending = [.. queues.Union(left)];
        foreach (var queue in ending)
        {
            foreach (var consumer in changes.Next.ConsumersOf(queue).Values)
                changes.Add(new DropConsumer(consumer));
            EndDestination(changes, DestinationKind.Queue, queue.Name, () => changes.Add(new RemoveQueue(queue)));
        }
        return TopologyDecision.Accept(changes, ending.FirstOrDefault());
    }
}
