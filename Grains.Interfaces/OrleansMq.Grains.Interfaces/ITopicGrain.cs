using Orleans.Concurrency;
using OrleansMq.Api;

namespace OrleansMq.Grains;

/// <summary>
/// One topic, under its name: <c>grains.GetGrain&lt;ITopicGrain&gt;("orders")</c>. Topics are created and deleted through
/// <see cref="IClusterGrain"/>.
/// <para>Methods throw <see cref="BrokerException"/>; its <see cref="BrokerException.Action"/> says whether to retry, abort or give up. A
/// <see cref="TimeoutException"/> or an Orleans exception means that the outcome is unknown; every method may be sent again.</para>
/// </summary>
[Alias("omq.ITopicGrain")]
public interface ITopicGrain : IGrainWithStringKey
{
    /// <summary>What a producer or reader needs to know of the topic: its id and how many partitions it has.</summary>
    /// <returns>Null where there is no topic of that name (or none yet, or it is being deleted).</returns>
    [Alias("Find")]
    [AlwaysInterleave]
    Task<TopicListing?> FindAsync();

    /// <summary>The topic with its configuration and the offsets of each partition.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.UnknownTopicOrPartition"/>: abort.</exception>
    [Alias("Describe")]
    [ResponseTimeout(GrainTimes.Administration)]
    [AlwaysInterleave]
    Task<TopicDescription> DescribeAsync();

    /// <summary>Changes configuration keys; all or nothing. In force for every partition when it returns.</summary>
    /// <param name="configs">Kafka's names and values; a value of null returns the key to its default.</param>
    /// <exception cref="BrokerException"><see cref="ErrorCode.UnknownTopicOrPartition"/>, <see cref="ErrorCode.InvalidConfig"/>: abort.
    /// <see cref="ErrorCode.KafkaStorageError"/>: retry once there is room.</exception>
    [Alias("Alter")]
    [ResponseTimeout(GrainTimes.Administration)]
    Task<TopicDescription> AlterAsync(Dictionary<string, string?> configs);

    /// <summary>Raises the number of partitions; existing records stay where they are, so keys map to other partitions from then
    /// on.</summary>
    /// <param name="totalCount">How many there are to be, 10,000 at most.</param>
    /// <exception cref="BrokerException"><see cref="ErrorCode.UnknownTopicOrPartition"/>, <see cref="ErrorCode.InvalidPartitions"/> (not
    /// more than there are, or too many): abort. <see cref="ErrorCode.KafkaStorageError"/>: retry once there is room.</exception>
    [Alias("AddPartitions")]
    [ResponseTimeout(GrainTimes.Administration)]
    Task<TopicDescription> AddPartitionsAsync(int totalCount);
}
