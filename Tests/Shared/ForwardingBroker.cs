using OrleansMq.Api;

namespace OrleansMq.Tests.Shared;

/// <summary>A broker that forwards every call to another; a test overrides what it changes.</summary>
public abstract class ForwardingBroker(IBroker inner) : IBroker, ITopicAppends, ITopicDeletion
{
    public virtual IClusterAdministration Administration => inner.Administration;

    public virtual IGroupCoordinator Groups => inner.Groups;

    public virtual IQueues Queues => inner.Queues;

    public virtual ISchedules Schedules => inner.Schedules;

    public virtual ITransactionCoordinator Transactions => inner.Transactions;

    public virtual ValueTask<TopicDescription> CreateTopicAsync(NewTopic topic, CancellationToken cancellationToken = default) =>
        inner.CreateTopicAsync(topic, cancellationToken);

    public virtual ValueTask DeleteTopicAsync(string topic, CancellationToken cancellationToken = default) =>
        inner.DeleteTopicAsync(topic, cancellationToken);

    public virtual ValueTask<IReadOnlyList<TopicListing>> ListTopicsAsync(CancellationToken cancellationToken = default) =>
        inner.ListTopicsAsync(cancellationToken);

    public virtual ValueTask<TopicDescription> DescribeTopicAsync(string topic, CancellationToken cancellationToken = default) =>
        inner.DescribeTopicAsync(topic, cancellationToken);

    public virtual ValueTask<TopicListing> GetTopicAsync(string topic, CancellationToken cancellationToken = default) =>
        inner.GetTopicAsync(topic, cancellationToken);

    public virtual ValueTask<TopicDescription> AlterTopicAsync(string topic, IReadOnlyDictionary<string, string?> configs,
        CancellationToken cancellationToken = default) =>
        inner.AlterTopicAsync(topic, configs, cancellationToken);

    public virtual ValueTask<TopicDescription> AddPartitionsAsync(string topic, int totalCount,
        CancellationToken cancellationToken = default) =>
        inner.AddPartitionsAsync(topic, totalCount, cancellationToken);

    public virtual ValueTask<ProduceResult> ProduceAsync(TopicPartition partition, Memory<byte> batch, Acks acks,
        CancellationToken cancellationToken = default) =>
        inner.ProduceAsync(partition, batch, acks, cancellationToken);

    public virtual ValueTask<ProduceResult> ProduceInTransactionAsync(TopicPartition partition, Memory<byte> batch,
        BatchTransaction transaction, CancellationToken cancellationToken = default) =>
        inner.ProduceInTransactionAsync(partition, batch, transaction, cancellationToken);

    ValueTask ITopicDeletion.DeleteTopicAsync(string topic, Guid topicId, CancellationToken cancellationToken) =>
        inner.DeleteTopicAsync(topic, topicId, cancellationToken);

    async ValueTask<ProduceResult> ITopicAppends.ProduceToAsync(Guid topicId, TopicPartition partition, Memory<byte> batch, Acks acks,
        CancellationToken cancellationToken)
    {
        // By what the inner broker knows; the batch goes the way that the test overrides.
        try
        {
            var listing = await inner.GetTopicAsync(partition.Topic, cancellationToken);
            return listing.TopicId == topicId ? await ProduceAsync(partition, batch, acks, cancellationToken)
                : ProduceResult.Failed(ErrorCode.UnknownTopicId, $"'{partition.Topic}' is another topic.");
        }
        catch (BrokerException refusal)
        {
            return ProduceResult.Failed(refusal.Code, refusal.Message);
        }
    }

    public virtual ValueTask<FetchResult> FetchAsync(FetchRequest request, CancellationToken cancellationToken = default) =>
        inner.FetchAsync(request, cancellationToken);

    public virtual ValueTask<OffsetResult> FindOffsetAsync(TopicPartition partition, OffsetSpec spec,
        CancellationToken cancellationToken = default) =>
        inner.FindOffsetAsync(partition, spec, cancellationToken);

    public virtual ValueTask<long> DeleteRecordsAsync(TopicPartition partition, long beforeOffset,
        CancellationToken cancellationToken = default) =>
        inner.DeleteRecordsAsync(partition, beforeOffset, cancellationToken);

    public virtual ValueTask<ProducerIdentity> InitProducerIdAsync(CancellationToken cancellationToken = default) =>
        inner.InitProducerIdAsync(cancellationToken);

    public virtual ValueTask<ClusterDescription> DescribeClusterAsync(CancellationToken cancellationToken = default) =>
        inner.DescribeClusterAsync(cancellationToken);
}
