using OrleansMq.Api;

namespace OrleansMq.Topics;

/// <summary>The rule that a topic with a queue ordered by key keeps its number of partitions.</summary>
internal static class OrderedQueues
{
    /// <summary>Demands that no queue of a topic is ordered by key: with more partitions later records of a key go to another one, and
    /// would be delivered beside earlier ones.</summary>
    /// <param name="broker">The broker.</param>
    /// <param name="topic">The topic.</param>
    /// <param name="cancellationToken">Ends the lookup.</param>
    /// <exception cref="BrokerException"><see cref="ErrorCode.InvalidPartitions"/>: there is such a queue. Others: the topic does not
    /// exist, or one of its partitions cannot be asked now.</exception>
    public static async Task DemandNoneAsync(IBroker broker, string topic, CancellationToken cancellationToken)
    {
        var partitions = (await broker.GetTopicAsync(topic, cancellationToken).ConfigureAwait(false)).Partitions;
        foreach (var partition in Enumerable.Range(0, partitions).Select(number => new TopicPartition(topic, number)))
        {
            var queues = await broker.Queues.ListAsync(partition, cancellationToken).ConfigureAwait(false);
            if (queues.FirstOrDefault(static queue => queue.Options.IsOrderedByKey) is { } ordered)
            {
                throw new BrokerException(ErrorCode.InvalidPartitions, $"Topic '{topic}' keeps its {partitions} partitions: its queue "
                    + $"'{ordered.Name}' delivers in order of keys, and later records of a key would go to another partition. Create a "
                    + "topic with more partitions, or delete the queue first.");
            }
        }
    }
}
