using OrleansMq.Api;
using OrleansMq.Records;

namespace OrleansMq.Grains;

/// <summary>
/// One partition, active where it is led. The key is <see cref="GrainKeys.Partition"/> of the topic's id (from
/// <see cref="ITopicGrain.FindAsync"/>) and the partition's number.
/// <para>Reads and lookups go on while appends wait. Outcomes of the data path are returned as <see cref="ErrorCode"/>, not thrown.
/// Whichever error: <see cref="ErrorCodes.Action"/> says whether to retry, abort or give up; <see cref="ErrorCode.UnknownTopicId"/> means
/// that the topic was deleted (and perhaps created again): ask its <see cref="ITopicGrain"/> for the id;
/// <see cref="ErrorCode.LeaderNotAvailable"/> and <see cref="ErrorCode.NotLeaderOrFollower"/> that nobody leads it at the moment, or
/// somebody else: nothing was done, retry. A <see cref="TimeoutException"/>
/// or an Orleans exception means that the outcome is unknown; an append with a producer id may be sent again without being doubled.</para>
/// </summary>
[Alias("omq.IPartitionGrain")]
public interface IPartitionGrain : IGrainWithStringKey
{
    /// <summary>Appends one record batch.</summary>
    /// <param name="batch">Exactly one batch in Kafka's format v2, as <see cref="RecordBatchBuilder"/> makes it; at most the topic's
    /// <c>max.message.bytes</c>. It is copied before the call returns to the caller's code, so that the memory stays the caller's.</param>
    /// <param name="acks">When to answer; <see cref="Acks.None"/> answers after the write.</param>
    /// <returns>The offset of the first record, or why not. <see cref="ErrorCode.RequestTimedOut"/> and
    /// <see cref="ErrorCode.NotEnoughReplicasAfterAppend"/> mean that it may have been appended.</returns>
    [Alias("Append")]
    [ResponseTimeout(GrainTimes.Data)]
    Task<ProduceResult> AppendAsync(ReadOnlyMemory<byte> batch, Acks acks);

    /// <summary>Reads whole batches from the one that holds the offset on, up to the high watermark; with nothing to read it
    /// waits.</summary>
    /// <param name="read">Where from and how much. Wait 5 seconds at most: the call ends after 10.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <returns>The batches as one piece of memory, which the garbage collector owns: <see cref="FetchResult.Dispose"/> may be left
    /// out.</returns>
    [Alias("Read")]
    [ResponseTimeout(GrainTimes.Data)]
    Task<FetchResult> ReadAsync(PartitionRead read, CancellationToken cancellationToken = default);

    /// <summary>Finds an offset: earliest, latest, the first at or after a time, or that of the largest timestamp.</summary>
    [Alias("FindOffset")]
    [ResponseTimeout(GrainTimes.Data)]
    Task<OffsetResult> FindOffsetAsync(OffsetSpec spec);

    /// <summary>Moves the log start offset up; durable when it returns. Sent again it changes nothing.</summary>
    /// <param name="beforeOffset">The first offset to keep; -1 for the high watermark.</param>
    /// <returns>The new log start offset.</returns>
    /// <exception cref="BrokerException"><see cref="ErrorCode.UnknownTopicId"/>: look the topic up again;
    /// <see cref="ErrorCode.OffsetOutOfRange"/>, <see cref="ErrorCode.PolicyViolation"/> (a topic that is only compacted):
    /// abort.</exception>
    [Alias("DeleteRecords")]
    [ResponseTimeout(GrainTimes.Data)]
    Task<long> DeleteRecordsAsync(long beforeOffset);

    /// <summary>The partition as its leader sees it.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.UnknownTopicId"/>: look the topic up again.</exception>
    [Alias("Describe")]
    [ResponseTimeout(GrainTimes.Data)]
    Task<PartitionDescription> DescribeAsync();
}

/// <summary>A read from a partition's grain.</summary>
[GenerateSerializer, Immutable]
[Alias("omq.PartitionRead")]
public readonly record struct PartitionRead
{
    /// <summary>A read from <paramref name="offset"/> on that does not wait.</summary>
    public PartitionRead(long offset) => Offset = offset;

    /// <summary>The first offset wanted. The first batch returned may begin below it.</summary>
    [Id(0)]
    public long Offset { get; init; }

    /// <summary>At most so many bytes, but always at least one batch: 1 MiB.</summary>
    [Id(1)]
    public int MaxBytes { get; init; } = 1 << 20;

    /// <summary>Answer when so many bytes can be read: 1.</summary>
    [Id(2)]
    public int MinBytes { get; init; } = 1;

    /// <summary>How long to wait for <see cref="MinBytes"/>; zero answers at once.</summary>
    [Id(3)]
    public TimeSpan MaxWait { get; init; }

    /// <summary>Which records to see.</summary>
    [Id(4)]
    public IsolationLevel Isolation { get; init; }
}
