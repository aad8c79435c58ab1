namespace OrleansMq.Client;

/// <content>Queues of a whole topic, and their documents.</content>
public sealed partial class HttpBroker
{
    /// <summary>Lists the queues of all partitions of a topic, by partition and then by name.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.UnknownTopicOrPartition"/>; <see cref="ErrorCode.UnsupportedVersion"/>: the
    /// broker has no queues.</exception>
    internal ValueTask<IReadOnlyList<QueueDocument>> ListQueuesAsync(string topic, CancellationToken cancellationToken = default) =>
        AskAsync(HttpMethod.Get, "api/queues/" + Uri.EscapeDataString(topic), null, QueueJson.Default.IReadOnlyListQueueDocument,
            cancellationToken);

    /// <summary>Describes a queue of a partition, with its oldest record's timestamp.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.UnknownTopicOrPartition"/>; <see cref="ErrorCode.GroupIdNotFound"/>: there is
    /// no such queue; <see cref="ErrorCode.UnsupportedVersion"/>: the broker has no queues.</exception>
    internal ValueTask<QueueDocument> DescribeQueueAsync(TopicPartition partition, string name,
        CancellationToken cancellationToken = default) =>
        AskAsync(HttpMethod.Get, HttpQueues.PathOf(partition, name), null, QueueJson.Default.QueueDocument, cancellationToken);
}
