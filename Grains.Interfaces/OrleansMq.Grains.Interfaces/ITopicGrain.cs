using Orleans.Concurrency;
using OrleansMq.Access;
using OrleansMq.Api;
using OrleansMq.Grains.Access;

namespace OrleansMq.Grains;

/// <summary>
/// One topic, under its name: <c>grains.GetTopic("orders")</c>. Topics are created and deleted through
/// <see cref="IClusterGrain"/>.
/// <para>Methods throw <see cref="BrokerException"/>; its <see cref="OrleansMqException.Action"/> says whether to retry, abort or
/// give up. A <see cref="TimeoutException"/> or an Orleans exception means that the outcome is unknown; every method may be sent
/// again.</para>
/// <para>A call that is cancelled before it has begun does nothing. One that has begun goes on, and only the wait for it ends.</para>
/// </summary>
[Alias("omq.ITopicGrain")]
public interface ITopicGrain : IGrainWithStringKey
{
    /// <summary>Finds what a producer or reader needs: the topic's id and its number of partitions.</summary>
    /// <returns>Null if no topic has that name, or if it is still being created or deleted.</returns>
    [Alias("Find")]
    [AlwaysInterleave]
    [GrainRule(AccessOperation.Describe, ResourceType.Topic)]
    Task<TopicListing?> FindAsync(CancellationToken cancellationToken = default);

    /// <summary>Describes the topic, with its configuration and the offsets of each partition.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.UnknownTopicOrPartition"/>: abort.</exception>
    [Alias("Describe")]
    [ResponseTimeout(GrainTimes.Administration)]
    [AlwaysInterleave]
    [GrainRule(AccessOperation.Describe, ResourceType.Topic)]
    Task<TopicDescription> DescribeAsync(CancellationToken cancellationToken = default);

    /// <summary>Changes configuration keys, all or none. The change is in force for every partition when this returns.</summary>
    /// <param name="configs">Kafka's names and values; a null value resets the key to its default.</param>
    /// <param name="topicId">The id that the topic must have: a call that is carried out late does not change the next topic of the name.
    /// Null for any.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <exception cref="BrokerException"><see cref="ErrorCode.UnknownTopicOrPartition"/>, <see cref="ErrorCode.InvalidConfig"/>: abort.
    /// <see cref="ErrorCode.KafkaStorageError"/>: retry once there is room.</exception>
    [Alias("Alter")]
    [ResponseTimeout(GrainTimes.Administration)]
    [GrainRule(AccessOperation.AlterConfigs, ResourceType.Topic)]
    Task<TopicDescription> AlterAsync(Dictionary<string, string?> configs, Guid? topicId = null,
        CancellationToken cancellationToken = default);

    /// <summary>Raises the number of partitions. Existing records stay where they are, so keys map to other partitions from then
    /// on.</summary>
    /// <param name="totalCount">The new total, 10,000 at most.</param>
    /// <param name="topicId">The id that the topic must have: a call that is carried out late does not change the next topic of the name.
    /// Null for any.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <exception cref="BrokerException"><see cref="ErrorCode.UnknownTopicOrPartition"/>, <see cref="ErrorCode.InvalidPartitions"/> (not
    /// more than before, or too many): abort. <see cref="ErrorCode.KafkaStorageError"/>: retry once there is room.</exception>
    [Alias("AddPartitions")]
    [ResponseTimeout(GrainTimes.Administration)]
    [GrainRule(AccessOperation.Alter, ResourceType.Topic)]
    Task<TopicDescription> AddPartitionsAsync(int totalCount, Guid? topicId = null, CancellationToken cancellationToken = default);
}
