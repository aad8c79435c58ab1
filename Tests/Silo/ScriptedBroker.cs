using OrleansMq.Brokers;
using OrleansMq.Groups;

namespace OrleansMq.Tests.Silo;

/// <summary>A broker whose data path a test can answer itself, to see what becomes of outcomes that a healthy disk never has.</summary>
public sealed class ScriptedBroker(IBroker inner) : IBroker
{
    /// <summary>Answers produce requests, where it returns a result.</summary>
    public Func<TopicPartition, Memory<byte>, ValueTask<ProduceResult>?>? OnProduce { get; set; }

    /// <summary>Answers reads, where it returns a result.</summary>
    public Func<FetchRequest, CancellationToken, ValueTask<FetchResult>?>? OnFetch { get; set; }

    /// <summary>Stands in for the administration, where it is set.</summary>
    public IClusterAdministration? OnAdministration { get; set; }

    /// <summary>Stands in for the coordinator of groups, where it is set.</summary>
    public IGroupCoordinator? OnGroups { get; set; }

    public IGroupCoordinator Groups => OnGroups ?? inner.Groups;

    public IClusterAdministration Administration => OnAdministration ?? inner.Administration;

    /// <summary>The batches sent so far.</summary>
    public int Produced;

    public ValueTask<ProduceResult> ProduceAsync(TopicPartition partition, Memory<byte> batch, Acks acks, CancellationToken cancellationToken = default)
    {
        Interlocked.Increment(ref Produced);
        return OnProduce?.Invoke(partition, batch) ?? inner.ProduceAsync(partition, batch, acks, cancellationToken);
    }

    public ValueTask<FetchResult> FetchAsync(FetchRequest request, CancellationToken cancellationToken = default) =>
        OnFetch?.Invoke(request, cancellationToken) ?? inner.FetchAsync(request, cancellationToken);

    public ValueTask<TopicDescription> CreateTopicAsync(NewTopic topic, CancellationToken cancellationToken = default) => inner.CreateTopicAsync(topic, cancellationToken);

    public ValueTask DeleteTopicAsync(string topic, CancellationToken cancellationToken = default) => inner.DeleteTopicAsync(topic, cancellationToken);

    public ValueTask<IReadOnlyList<TopicListing>> ListTopicsAsync(CancellationToken cancellationToken = default) => inner.ListTopicsAsync(cancellationToken);

    public ValueTask<TopicDescription> DescribeTopicAsync(string topic, CancellationToken cancellationToken = default) => inner.DescribeTopicAsync(topic, cancellationToken);

    public ValueTask<TopicListing> GetTopicAsync(string topic, CancellationToken cancellationToken = default) => inner.GetTopicAsync(topic, cancellationToken);

    public ValueTask<TopicDescription> AlterTopicAsync(string topic, IReadOnlyDictionary<string, string?> configs, CancellationToken cancellationToken = default) =>
        inner.AlterTopicAsync(topic, configs, cancellationToken);

    public ValueTask<TopicDescription> AddPartitionsAsync(string topic, int totalCount, CancellationToken cancellationToken = default) =>
        inner.AddPartitionsAsync(topic, totalCount, cancellationToken);

    public ValueTask<OffsetResult> FindOffsetAsync(TopicPartition partition, OffsetSpec spec, CancellationToken cancellationToken = default) =>
        inner.FindOffsetAsync(partition, spec, cancellationToken);

    public ValueTask<long> DeleteRecordsAsync(TopicPartition partition, long beforeOffset, CancellationToken cancellationToken = default) =>
        inner.DeleteRecordsAsync(partition, beforeOffset, cancellationToken);

    public ValueTask<ProducerIdentity> InitProducerIdAsync(CancellationToken cancellationToken = default) => inner.InitProducerIdAsync(cancellationToken);

    public ValueTask<ClusterDescription> DescribeClusterAsync(CancellationToken cancellationToken = default) => inner.DescribeClusterAsync(cancellationToken);
}
