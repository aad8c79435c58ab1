using OrleansMq.Api;
using OrleansMq.Records;

namespace OrleansMq.Grains;

/// <summary>
/// One partition, active where it is led. The key is <see cref="GrainKeys.Partition"/> of the topic's id (from
/// <see cref="ITopicGrain.FindAsync"/>) and the partition's number.
/// <para>Reads and lookups proceed while appends wait. Outcomes of the data path are returned as <see cref="ErrorCode"/>, not thrown;
/// <see cref="ErrorCodes.Action"/> says whether to retry, abort or give up.</para>
/// <list type="bullet">
/// <item><see cref="ErrorCode.UnknownTopicId"/>: the topic was deleted (and perhaps created again); ask its <see cref="ITopicGrain"/> for
/// the id.</item>
/// <item><see cref="ErrorCode.LeaderNotAvailable"/>, <see cref="ErrorCode.NotLeaderOrFollower"/>: the partition has no leader, or another
/// one. Nothing was done; retry.</item>
/// <item><see cref="TimeoutException"/> or an Orleans exception: the outcome is unknown. An append with a producer id may be sent again
/// without being duplicated.</item>
/// </list>
/// </summary>
[Alias("omq.IPartitionGrain")]
public interface IPartitionGrain : IGrainWithStringKey
{
    /// <summary>Appends one record batch.</summary>
    /// <param name="batch">Exactly one batch in Kafka's format v2, as <see cref="RecordBatchBuilder"/> makes it, of at most the topic's
    /// <c>max.message.bytes</c>. It is copied before the call returns, so the memory stays the caller's.</param>
    /// <param name="acks">When to answer; <see cref="Acks.None"/> answers after the write.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <returns>The offset of the first record, or the error. After <see cref="ErrorCode.RequestTimedOut"/> and
    /// <see cref="ErrorCode.NotEnoughReplicasAfterAppend"/> the batch may have been appended.</returns>
    [Alias("Append")]
    [ResponseTimeout(GrainTimes.Data)]
    Task<ProduceResult> AppendAsync(ReadOnlyMemory<byte> batch, Acks acks, CancellationToken cancellationToken = default);

    /// <summary>Reads whole batches, from the one that holds the offset up to the high watermark; waits if there is nothing to
    /// read.</summary>
    /// <param name="read">Start, size and wait. Wait 5 seconds at most: the call times out after 10.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <returns>The batches in one array on the managed heap: <see cref="FetchResult.Dispose"/> is optional.</returns>
    [Alias("Read")]
    [ResponseTimeout(GrainTimes.Data)]
    Task<FetchResult> ReadAsync(PartitionRead read, CancellationToken cancellationToken = default);

    /// <summary>Finds an offset: earliest, latest, the first at or after a time, or that of the largest timestamp.</summary>
    [Alias("FindOffset")]
    [ResponseTimeout(GrainTimes.Data)]
    Task<OffsetResult> FindOffsetAsync(OffsetSpec spec, CancellationToken cancellationToken = default);

    /// <summary>Raises the log start offset, durably. Idempotent.</summary>
    /// <param name="beforeOffset">The first offset to keep; -1 for the high watermark.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <returns>The new log start offset.</returns>
    /// <exception cref="BrokerException"><see cref="ErrorCode.UnknownTopicId"/>: look the topic up again;
    /// <see cref="ErrorCode.OffsetOutOfRange"/>, <see cref="ErrorCode.PolicyViolation"/> (a topic that is only compacted):
    /// abort.</exception>
    [Alias("DeleteRecords")]
    [ResponseTimeout(GrainTimes.Data)]
    Task<long> DeleteRecordsAsync(long beforeOffset, CancellationToken cancellationToken = default);

    /// <summary>Describes the partition as its leader sees it.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.UnknownTopicId"/>: look the topic up again.</exception>
    [Alias("Describe")]
    [ResponseTimeout(GrainTimes.Data)]
    Task<PartitionDescription> DescribeAsync(CancellationToken cancellationToken = default);
}

/// <summary>A read request to a partition's grain.</summary>
[GenerateSerializer, Immutable]
[Alias("omq.PartitionRead")]
public readonly record struct PartitionRead
{
    /// <summary>Creates a read from <paramref name="offset"/> that does not wait.</summary>
    public PartitionRead(long offset) => Offset = offset;

    /// <summary>The first offset to read. The first returned batch may begin below it.</summary>
    [Id(0)]
    public long Offset { get; init; }

    /// <summary>The most bytes to return, although always at least one batch. Default 1 MiB.</summary>
    [Id(1)]
    public int MaxBytes { get; init; } = 1 << 20;

    /// <summary>How many bytes must be readable before the grain answers. Default 1.</summary>
    [Id(2)]
    public int MinBytes { get; init; } = 1;

    /// <summary>How long to wait for <see cref="MinBytes"/>; zero answers at once.</summary>
    [Id(3)]
    public TimeSpan MaxWait { get; init; }

    /// <summary>Which records are visible.</summary>
    [Id(4)]
    public IsolationLevel Isolation { get; init; }
}
