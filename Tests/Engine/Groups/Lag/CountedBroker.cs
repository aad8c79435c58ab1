using OrleansMq.Brokers;
using OrleansMq.Groups;

namespace OrleansMq.Tests.Engine.Groups.Lag;

/// <summary>A broker whose look-ups are counted, and may be answered by the test.</summary>
internal sealed class CountedBroker(IBroker inner) : IBroker
{
    public int Found;
    public int Fetched;

    /// <summary>Answers look-ups, where it returns a result.</summary>
    public Func<TopicPartition, OffsetResult?>? OnFind { get; set; }

    public IGroupCoordinator Groups => inner.Groups;

    public ValueTask<OffsetResult> FindOffsetAsync(TopicPartition partition, OffsetSpec spec, CancellationToken cancellationToken = default)
    {
        Interlocked.Increment(ref Found);
        return OnFind?.Invoke(partition) is { } answer ? new(answer) : inner.FindOffsetAsync(partition, spec, cancellationToken);
    }

    public ValueTask<FetchResult> FetchAsync(FetchRequest request, CancellationToken cancellationToken = default)
    {
        Interlocked.Increment(ref Fetched);
        return inner.FetchAsync(request, cancellationToken);
    }

    public ValueTask<ProduceResult> ProduceAsync(TopicPartition partition, Memory<byte> batch, Acks acks, CancellationToken cancellationToken = default) =>
        inner.ProduceAsync(partition, batch, acks, cancellationToken);

    public ValueTask<TopicDescription> CreateTopicAsync(NewTopic topic, CancellationToken cancellationToken = default) => inner.CreateTopicAsync(topic, cancellationToken);

    public ValueTask DeleteTopicAsync(string topic, CancellationToken cancellationToken = default) => inner.DeleteTopicAsync(topic, cancellationToken);

    public ValueTask<IReadOnlyList<TopicListing>> ListTopicsAsync(CancellationToken cancellationToken = default) => inner.ListTopicsAsync(cancellationToken);

    public ValueTask<TopicDescription> DescribeTopicAsync(string topic, CancellationToken cancellationToken = default) => inner.DescribeTopicAsync(topic, cancellationToken);

    public ValueTask<TopicListing> GetTopicAsync(string topic, CancellationToken cancellationToken = default) => inner.GetTopicAsync(topic, cancellationToken);

    public ValueTask<TopicDescription> AlterTopicAsync(string topic, IReadOnlyDictionary<string, string?> configs, CancellationToken cancellationToken = default) =>
        inner.AlterTopicAsync(topic, configs, cancellationToken);

    public ValueTask<TopicDescription> AddPartitionsAsync(string topic, int totalCount, CancellationToken cancellationToken = default) =>
        inner.AddPartitionsAsync(topic, totalCount, cancellationToken);

    public ValueTask<long> DeleteRecordsAsync(TopicPartition partition, long beforeOffset, CancellationToken cancellationToken = default) =>
        inner.DeleteRecordsAsync(partition, beforeOffset, cancellationToken);

    public ValueTask<ProducerIdentity> InitProducerIdAsync(CancellationToken cancellationToken = default) => inner.InitProducerIdAsync(cancellationToken);

    public ValueTask<ClusterDescription> DescribeClusterAsync(CancellationToken cancellationToken = default) => inner.DescribeClusterAsync(cancellationToken);
}
