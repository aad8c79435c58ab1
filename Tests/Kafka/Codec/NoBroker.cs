using OrleansMq.Api;
using OrleansMq.Brokers;
using OrleansMq.Groups;

namespace OrleansMq.Tests.Kafka.Codec;

/// <summary>A broker that must not be called: every call throws.</summary>
internal sealed class NoBroker : IBroker
{
    public ValueTask<TopicDescription> CreateTopicAsync(NewTopic topic, CancellationToken cancellationToken = default) =>
        throw new NotSupportedException();

    public ValueTask DeleteTopicAsync(string topic, CancellationToken cancellationToken = default) => throw new NotSupportedException();

    public ValueTask<IReadOnlyList<TopicListing>> ListTopicsAsync(CancellationToken cancellationToken = default) =>
        throw new NotSupportedException();

    public ValueTask<TopicDescription> DescribeTopicAsync(string topic, CancellationToken cancellationToken = default) =>
        throw new NotSupportedException();

    public ValueTask<TopicListing> GetTopicAsync(string topic, CancellationToken cancellationToken = default) =>
        throw new NotSupportedException();

    public ValueTask<TopicDescription> AlterTopicAsync(string topic, IReadOnlyDictionary<string, string?> configs,
        CancellationToken cancellationToken = default) => throw new NotSupportedException();

    public ValueTask<TopicDescription> AddPartitionsAsync(string topic, int totalCount, CancellationToken cancellationToken = default) =>
        throw new NotSupportedException();

    public ValueTask<ProduceResult> ProduceAsync(TopicPartition partition, Memory<byte> batch, Acks acks,
        CancellationToken cancellationToken = default) => throw new NotSupportedException();

    public ValueTask<FetchResult> FetchAsync(FetchRequest request, CancellationToken cancellationToken = default) =>
        throw new NotSupportedException();

    public ValueTask<OffsetResult> FindOffsetAsync(TopicPartition partition, OffsetSpec spec,
        CancellationToken cancellationToken = default) => throw new NotSupportedException();

    public ValueTask<long> DeleteRecordsAsync(TopicPartition partition, long beforeOffset, CancellationToken cancellationToken = default) =>
        throw new NotSupportedException();

    public ValueTask<ProducerIdentity> InitProducerIdAsync(CancellationToken cancellationToken = default) =>
        throw new NotSupportedException();

    public IClusterAdministration Administration => SoleBrokerAdministration.Instance;

    public IGroupCoordinator Groups => NoGroupCoordinator.Instance;

    public ValueTask<ClusterDescription> DescribeClusterAsync(CancellationToken cancellationToken = default) =>
        throw new NotSupportedException();
}
