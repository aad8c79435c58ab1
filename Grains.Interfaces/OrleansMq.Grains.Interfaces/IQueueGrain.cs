using OrleansMq.Api;

namespace OrleansMq.Grains;

/// <summary>
/// The queues of one partition, where it is led: consumption record by record. The key is <see cref="GrainKeys.Partition"/>, as for
/// <see cref="IPartitionGrain"/>. <see cref="IQueues"/> says what each operation does; the client library's queue consumers are built on
/// it.
/// <para>Errors are thrown as <see cref="BrokerException"/>; <see cref="ErrorCodes.Action"/> says whether to retry.</para>
/// <list type="bullet">
/// <item><see cref="ErrorCode.UnknownTopicId"/>: the topic was deleted; ask its <see cref="ITopicGrain"/> for the id.</item>
/// <item><see cref="ErrorCode.LeaderNotAvailable"/>, <see cref="ErrorCode.NotLeaderOrFollower"/>: nothing was done; retry.</item>
/// <item><see cref="ErrorCode.UnknownMemberId"/>: the consumer is not attached any more, as after a change of the leader. Attach
/// again.</item>
/// <item><see cref="TimeoutException"/> or an Orleans exception: the outcome is unknown. After a receive, detach and attach again: a
/// delivery may have been lost on its way, and is then held by the consumer.</item>
/// </list>
/// </summary>
[Alias("omq.IQueueGrain")]
public interface IQueueGrain : IGrainWithStringKey
{
    /// <summary>Creates a queue, unless there is one of that name, and completes when it is stored.</summary>
    [Alias("Create")]
    [ResponseTimeout(GrainTimes.Data)]
    Task<QueueDescription> CreateAsync(NewQueue queue, CancellationToken cancellationToken = default);

    /// <summary>Deletes a queue; its consumers are detached. Repeated, it throws <see cref="ErrorCode.GroupIdNotFound"/>.</summary>
    /// <param name="name">The queue.</param>
    /// <param name="id">The id that the queue must have: a call that is carried out late does nothing to the next queue of the name. Null,
    /// as from a caller of an earlier version, for any.</param>
    /// <param name="cancellationToken">Ends the wait; the queue may be deleted nevertheless.</param>
    [Alias("Delete")]
    [ResponseTimeout(GrainTimes.Data)]
    Task DeleteAsync(string name, Guid? id = null, CancellationToken cancellationToken = default);

    /// <summary>Describes a queue.</summary>
    [Alias("Describe")]
    [ResponseTimeout(GrainTimes.Data)]
    Task<QueueDescription> DescribeAsync(string name, CancellationToken cancellationToken = default);

    /// <summary>Describes all queues of the partition, ordered by name (ordinal).</summary>
    [Alias("List")]
    [ResponseTimeout(GrainTimes.Data)]
    Task<QueueDescription[]> ListAsync(CancellationToken cancellationToken = default);

    /// <summary>Lists the 1 to 1,000 records that consumers have held for longest.</summary>
    [Alias("ListHandlers")]
    [ResponseTimeout(GrainTimes.Data)]
    Task<QueueHandler[]> ListHandlersAsync(string name, int maxRecords, CancellationToken cancellationToken = default);

    /// <summary>Begins a queue anew at another offset. Not idempotent.</summary>
    /// <param name="name">The queue.</param>
    /// <param name="start">The first record: earliest, latest, the first at or after a time, or an offset. The latest is the end when the
    /// call is carried out, which may be late.</param>
    /// <param name="id">The id that the queue must have: a call that is carried out late does nothing to the next queue of the name. Null,
    /// as from a caller of an earlier version, for any.</param>
    /// <param name="cancellationToken">Ends the wait; the queue may be reset nevertheless.</param>
    [Alias("Reset")]
    [ResponseTimeout(GrainTimes.Data)]
    Task<QueueDescription> ResetAsync(string name, OffsetSpec start, Guid? id = null, CancellationToken cancellationToken = default);

    /// <summary>Changes how a queue delivers.</summary>
    /// <param name="name">The queue.</param>
    /// <param name="options">All options; those that are fixed at creation must be the same.</param>
    /// <param name="id">The id that the queue must have: a call that is carried out late does nothing to the next queue of the name. Null,
    /// as from a caller of an earlier version, for any.</param>
    /// <param name="cancellationToken">Ends the wait; the queue may be changed nevertheless.</param>
    [Alias("Alter")]
    [ResponseTimeout(GrainTimes.Data)]
    Task<QueueDescription> AlterAsync(string name, QueueOptions options, Guid? id = null, CancellationToken cancellationToken = default);

    /// <summary>Settles every record that is in the queue now, except those that consumers hold.</summary>
    /// <param name="name">The queue.</param>
    /// <param name="below">Records at this offset and above stay. Null, as from a caller of an earlier version: the partition's end when
    /// the call is carried out, which may be late.</param>
    /// <param name="cancellationToken">Ends the wait; the queue may be purged nevertheless.</param>
    [Alias("Purge")]
    [ResponseTimeout(GrainTimes.Data)]
    Task PurgeAsync(string name, long? below = null, CancellationToken cancellationToken = default);

    /// <summary>Reads the first 1 to 1,000 records that are not settled. Changes nothing.</summary>
    /// <exception cref="BrokerException">Also <see cref="ErrorCode.RequestTimedOut"/>: for 4 seconds the broker has peeked for other
    /// clients, one at a time, or this peek took 3 seconds. Retry.</exception>
    [Alias("Peek")]
    [ResponseTimeout(GrainTimes.Data)]
    Task<QueueRecord[]> PeekAsync(string name, int maxRecords, CancellationToken cancellationToken = default);

    /// <summary>Attaches a consumer, and returns its id.</summary>
    [Alias("Attach")]
    [ResponseTimeout(GrainTimes.Data)]
    Task<Guid> AttachAsync(string name, QueueAttachOptions options, CancellationToken cancellationToken = default);

    /// <summary>Receives records; null when the time is over. One call at a time for each consumer.</summary>
    /// <param name="consumer">The consumer's id.</param>
    /// <param name="maxRecords">The most records, 1 to 10,000.</param>
    /// <param name="maxWait">How long to wait for the first. At most 5 seconds: the call times out after 10.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    [Alias("Receive")]
    [ResponseTimeout(GrainTimes.Data)]
    Task<QueueDelivery?> ReceiveAsync(Guid consumer, int maxRecords, TimeSpan maxWait, CancellationToken cancellationToken = default);

    /// <summary>Settles received records, and returns the outcome of each settlement when it is stored.</summary>
    /// <param name="consumer">The consumer's id.</param>
    /// <param name="settlements">What to do, in order.</param>
    /// <param name="cancellationToken">Ends the wait; the records may be settled nevertheless.</param>
    [Alias("Settle")]
    [ResponseTimeout(GrainTimes.Data)]
    Task<ErrorCode[]> SettleAsync(Guid consumer, QueueSettlement[] settlements, CancellationToken cancellationToken = default);

    /// <summary>Detaches a consumer. What it holds is returned. Idempotent.</summary>
    [Alias("Detach")]
    [ResponseTimeout(GrainTimes.Data)]
    Task DetachAsync(Guid consumer, CancellationToken cancellationToken = default);
}
