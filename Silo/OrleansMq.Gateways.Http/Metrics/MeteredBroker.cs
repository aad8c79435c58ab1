using System.Runtime.CompilerServices;
using OrleansMq.Api;
using OrleansMq.Records;

namespace OrleansMq.Gateways.Http.Metrics;

/// <summary>Counts what goes through a broker, whichever gateway it comes from.</summary>
internal sealed class MeteredBroker(IBroker inner, TopicTraffic traffic, GroupTraffic commits, GroupMetrics groups) : IBroker
{
    /// <inheritdoc/>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    public async ValueTask<ProduceResult> ProduceAsync(TopicPartition partition, Memory<byte> batch, Acks acks,
        CancellationToken cancellationToken = default)
    {
        // Read before the memory is the broker's.
        var records = batch.Length >= RecordBatchHeader.Size ? RecordBatchHeader.Read(batch.Span).RecordCount : 0;
        var result = await inner.ProduceAsync(partition, batch, acks, cancellationToken);
        if (result.Error == ErrorCode.None)
            traffic.Of(partition.Topic).Produced(records, batch.Length);
        else if (result.Error != ErrorCode.UnknownTopicOrPartition)
            traffic.Of(partition.Topic).Refuse();
        return result;
    }

    /// <inheritdoc/>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    public async ValueTask<FetchResult> FetchAsync(FetchRequest request, CancellationToken cancellationToken = default)
    {
        var result = await inner.FetchAsync(request, cancellationToken);
        if (!result.Records.IsEmpty)
            traffic.Of(request.Partition.Topic).Fetched(CountRecords(result.Records.Span), result.Records.Length);
        return result;
    }

    /// <inheritdoc/>
    public async ValueTask DeleteTopicAsync(string topic, CancellationToken cancellationToken = default)
    {
        await inner.DeleteTopicAsync(topic, cancellationToken);
        traffic.Forget(topic);
    }

    /// <inheritdoc/>
    public ValueTask<TopicDescription> CreateTopicAsync(NewTopic topic, CancellationToken cancellationToken = default) =>
        inner.CreateTopicAsync(topic, cancellationToken);

    /// <inheritdoc/>
    public ValueTask<IReadOnlyList<TopicListing>> ListTopicsAsync(CancellationToken cancellationToken = default) =>
        inner.ListTopicsAsync(cancellationToken);

    /// <inheritdoc/>
    public ValueTask<TopicDescription> DescribeTopicAsync(string topic, CancellationToken cancellationToken = default) =>
        inner.DescribeTopicAsync(topic, cancellationToken);

    /// <inheritdoc/>
    public ValueTask<TopicListing> GetTopicAsync(string topic, CancellationToken cancellationToken = default) =>
        inner.GetTopicAsync(topic, cancellationToken);

    /// <inheritdoc/>
    public ValueTask<TopicDescription> AlterTopicAsync(string topic, IReadOnlyDictionary<string, string?> configs,
        CancellationToken cancellationToken = default) =>
        inner.AlterTopicAsync(topic, configs, cancellationToken);

    /// <inheritdoc/>
    public ValueTask<TopicDescription> AddPartitionsAsync(string topic, int totalCount, CancellationToken cancellationToken = default) =>
        inner.AddPartitionsAsync(topic, totalCount, cancellationToken);

    /// <inheritdoc/>
    public ValueTask<OffsetResult> FindOffsetAsync(TopicPartition partition, OffsetSpec spec,
        CancellationToken cancellationToken = default) =>
        inner.FindOffsetAsync(partition, spec, cancellationToken);

    /// <inheritdoc/>
    public ValueTask<long> DeleteRecordsAsync(TopicPartition partition, long beforeOffset, CancellationToken cancellationToken = default) =>
        inner.DeleteRecordsAsync(partition, beforeOffset, cancellationToken);

    /// <inheritdoc/>
    public ValueTask<ProducerIdentity> InitProducerIdAsync(CancellationToken cancellationToken = default) =>
        inner.InitProducerIdAsync(cancellationToken);

    /// <inheritdoc/>
    public ValueTask<ClusterDescription> DescribeClusterAsync(CancellationToken cancellationToken = default) =>
        inner.DescribeClusterAsync(cancellationToken);

    /// <inheritdoc/>
    public IClusterAdministration Administration => inner.Administration;

    /// <inheritdoc/>
    public IGroupCoordinator Groups { get; } = new MeteredGroups(inner, commits, groups);

    private static int CountRecords(ReadOnlySpan<byte> batches)
    {
        var count = 0;
        while (batches.Length >= RecordBatchHeader.Size)
        {
            var header = RecordBatchHeader.Read(batches);
            count += header.RecordCount;
            batches = batches[Math.Min(header.SizeInBytes, batches.Length)..];
        }
        return count;
    }
}
