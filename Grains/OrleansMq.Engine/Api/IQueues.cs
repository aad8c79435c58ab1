namespace OrleansMq.Api;

/// <summary>
/// Queues: consumption record by record. A queue is a durable cursor over one partition's log, with a name. It knows of each record whether
/// a consumer holds it, has settled it, or gave it back. Several queues and consumer groups may read the same partition.
/// <para>A consumer attaches, receives with a long poll, and settles what it received under the delivery's lock. Each delivery is
/// at-least-once: a record whose consumer dies, or whose lock ends, is delivered again. What was settled and answered never is.</para>
/// <para>All methods throw a <see cref="BrokerException"/>: <see cref="ErrorCode.UnknownTopicOrPartition"/>;
/// <see cref="ErrorCode.NotLeaderOrFollower"/>, <see cref="ErrorCode.LeaderNotAvailable"/>: retry;
/// <see cref="ErrorCode.RequestTimedOut"/>: the outcome is unknown; <see cref="ErrorCode.GroupIdNotFound"/>: there is no such queue;
/// <see cref="ErrorCode.UnknownMemberId"/>: the consumer is not attached any more, attach again. Thread safe.</para>
/// </summary>
public interface IQueues
{
    /// <summary>Creates a queue. Completes when it is stored. A queue of that name that exists is left as it is.</summary>
    /// <returns>The queue, with the options that it has.</returns>
    /// <exception cref="BrokerException">Also <see cref="ErrorCode.InvalidRequest"/>: an option is out of range;
    /// <see cref="ErrorCode.InvalidConfig"/>: the topic lacks what an option needs; <see cref="ErrorCode.PolicyViolation"/>: the partition
    /// has as many queues as its broker allows.</exception>
    ValueTask<QueueDescription> CreateAsync(TopicPartition partition, NewQueue queue, CancellationToken cancellationToken = default);

    /// <summary>Deletes a queue; its consumers are detached. The topic's records stay.</summary>
    /// <param name="partition">Topic and number.</param>
    /// <param name="name">The queue.</param>
    /// <param name="id">The id that the queue must have, as described: a request that is carried out late does nothing to the next queue of
    /// the name. Null: the id that it has when this is asked for.</param>
    /// <param name="cancellationToken">Ends the wait; the queue may be deleted nevertheless.</param>
    /// <exception cref="BrokerException">Also <see cref="ErrorCode.GroupIdNotFound"/>: the queue has another id.</exception>
    ValueTask DeleteAsync(TopicPartition partition, string name, Guid? id = null, CancellationToken cancellationToken = default);

    /// <summary>Describes a queue.</summary>
    ValueTask<QueueDescription> DescribeAsync(TopicPartition partition, string name, CancellationToken cancellationToken = default);

    /// <summary>Describes all queues of a partition, ordered by name (ordinal).</summary>
    ValueTask<IReadOnlyList<QueueDescription>> ListAsync(TopicPartition partition, CancellationToken cancellationToken = default);

    /// <summary>Describes where a share group reads the partition: its cursor, with the group's id as the name.</summary>
    /// <returns>Null while the group has no cursor there.</returns>
    ValueTask<QueueDescription?> DescribeShareAsync(TopicPartition partition, string groupId,
        CancellationToken cancellationToken = default) =>
        throw new BrokerException(ErrorCode.UnsupportedVersion, "Share groups are described by the brokers of the Kafka protocol.");

    /// <summary>Lists what consumers of a queue work at: the records that they have held for longest, first. A renewed lock does not begin
    /// anew here.</summary>
    /// <param name="partition">Topic and number.</param>
    /// <param name="name">The queue.</param>
    /// <param name="maxRecords">The most records, 1 to 1,000.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    ValueTask<IReadOnlyList<QueueHandler>> ListHandlersAsync(TopicPartition partition, string name, int maxRecords,
        CancellationToken cancellationToken = default) =>
        throw new BrokerException(ErrorCode.UnsupportedVersion, "This broker does not tell what consumers work at.");

    /// <summary>Begins a queue anew at another offset: everything at or above it is delivered, whatever was settled.</summary>
    /// <param name="partition">Topic and number.</param>
    /// <param name="name">The queue.</param>
    /// <param name="start">The first record: earliest, latest, the first at or after a time, or <see cref="OffsetSpec.AtOffset"/>: then the
    /// partition has it, or will have it next. The latest is the partition's end when this is asked for.</param>
    /// <param name="id">The id that the queue must have, as described: a request that is carried out late does nothing to the next queue of
    /// the name. Null: the id that it has when this is asked for.</param>
    /// <param name="cancellationToken">Ends the wait; the queue may be reset nevertheless.</param>
    /// <exception cref="BrokerException">Also <see cref="ErrorCode.GroupIdNotFound"/>: the queue has another id.</exception>
    ValueTask<QueueDescription> ResetAsync(TopicPartition partition, string name, OffsetSpec start, Guid? id = null,
        CancellationToken cancellationToken = default);

    /// <summary>Changes how a queue delivers. Completes when it is stored. Records that consumers hold, and delays that have begun, stay as
    /// they are.</summary>
    /// <param name="partition">Topic and number.</param>
    /// <param name="name">The queue.</param>
    /// <param name="options">All options. Those that are fixed at creation must be the same.</param>
    /// <param name="id">The id that the queue must have, as described: a request that is carried out late does nothing to the next queue of
    /// the name. Null: the id that it has when this is asked for.</param>
    /// <param name="cancellationToken">Ends the wait; the queue may be changed nevertheless.</param>
    /// <exception cref="BrokerException">Also <see cref="ErrorCode.InvalidRequest"/>: an option is out of range, or another fixed one;
    /// <see cref="ErrorCode.InvalidConfig"/>: the topic lacks what an option needs; <see cref="ErrorCode.GroupIdNotFound"/>: the queue has
    /// another id.</exception>
    ValueTask<QueueDescription> AlterAsync(TopicPartition partition, string name, QueueOptions options, Guid? id = null,
        CancellationToken cancellationToken = default);

    /// <summary>Settles every record that is in the queue now, except those that consumers hold.</summary>
    /// <param name="partition">Topic and number.</param>
    /// <param name="name">The queue.</param>
    /// <param name="below">Records at this offset and above stay; from 0. Give the same to the repetitions of a purge: one that is carried
    /// out late then takes nothing that came after the first was asked for. Null: the partition's end when the purge is asked for.</param>
    /// <param name="cancellationToken">Ends the wait; the queue may be purged nevertheless.</param>
    /// <exception cref="BrokerException">Also <see cref="ErrorCode.InvalidRequest"/>: <paramref name="below"/> is negative.</exception>
    ValueTask PurgeAsync(TopicPartition partition, string name, long? below = null, CancellationToken cancellationToken = default);

    /// <summary>Reads the first records that are not settled, whether a consumer holds them or not: as many as have 16 MiB together, or
    /// one. A search among records that the queue's filter does not match ends after 2 seconds, with those that were found. Changes
    /// nothing.</summary>
    /// <param name="partition">Topic and number.</param>
    /// <param name="name">The queue.</param>
    /// <param name="maxRecords">The most records, 1 to 1,000.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <exception cref="BrokerException">Also <see cref="ErrorCode.OffsetNotAvailable"/>: the new leader does not know yet how far its
    /// replicas are, and cannot tell which records are there; <see cref="ErrorCode.RequestTimedOut"/>: no record was found in
    /// time.</exception>
    ValueTask<IReadOnlyList<QueueRecord>> PeekAsync(TopicPartition partition, string name, int maxRecords,
        CancellationToken cancellationToken = default);

    /// <summary>Attaches a consumer.</summary>
    /// <returns>The consumer's id, which no other consumer ever has. It ends with the partition's leadership, with the queue, and when the
    /// consumer is not heard of for its session timeout; what it holds is then returned.</returns>
    ValueTask<Guid> AttachAsync(TopicPartition partition, string name, QueueAttachOptions options,
        CancellationToken cancellationToken = default);

    /// <summary>Receives records; waits for the first. One call at a time for each consumer. The call also keeps the consumer's session
    /// alive.</summary>
    /// <param name="partition">Topic and number.</param>
    /// <param name="consumer">The consumer's id.</param>
    /// <param name="maxRecords">The most records, 1 to 10,000: those that it takes beyond what it holds. 0: the consumer receives nothing
    /// more, and keeps what it holds. A single active consumer gives its turn up so. A leader of an earlier version refuses it
    /// (<see cref="ErrorCode.InvalidRequest"/>).</param>
    /// <param name="maxWait">How long to wait for the first; after 5 minutes a longer wait ends, too.</param>
    /// <param name="cancellationToken">Ends the wait; a record that arrives then goes back.</param>
    /// <returns>The delivery; null when the time is over. A call that does not wait returns null only if there was nothing to hand out:
    /// else it fails with <see cref="ErrorCode.LeaderNotAvailable"/>.</returns>
    ValueTask<QueueDelivery?> ReceiveAsync(TopicPartition partition, Guid consumer, int maxRecords, TimeSpan maxWait,
        CancellationToken cancellationToken = default);

    /// <summary>Settles received records. Completes when that is stored as the topic's replication requires.</summary>
    /// <param name="partition">Topic and number.</param>
    /// <param name="consumer">The consumer's id.</param>
    /// <param name="settlements">What to do, in order; at most 1,000.</param>
    /// <param name="cancellationToken">Ends the wait; the records may be settled nevertheless.</param>
    /// <returns>The outcome of each: <see cref="ErrorCode.None"/>; <see cref="ErrorCode.InvalidRecordState"/>: the lock has ended, and
    /// nothing was done; <see cref="ErrorCode.InvalidRequest"/>: its delay is out of range, and nothing was done; others as of
    /// exceptions.</returns>
    ValueTask<IReadOnlyList<ErrorCode>> SettleAsync(TopicPartition partition, Guid consumer, IReadOnlyList<QueueSettlement> settlements,
        CancellationToken cancellationToken = default);

    /// <summary>Detaches a consumer. What it holds is returned, and not counted as failed: it is there for the next receive, in its old
    /// place, or after 5 seconds will be there once enough replicas are in sync. Does nothing for one that is not attached.</summary>
    ValueTask DetachAsync(TopicPartition partition, Guid consumer, CancellationToken cancellationToken = default);
}
