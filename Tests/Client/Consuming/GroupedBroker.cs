using OrleansMq.Api;
using OrleansMq.Brokers;

namespace OrleansMq.Tests.Client.Consuming;

/// <summary>A broker with the coordinator of another.</summary>
internal sealed class GroupedBroker(IBroker broker, IGroupCoordinator groups) : IBroker
{
    public IGroupCoordinator Groups => groups;

    public Func<FetchRequest, CancellationToken, ValueTask<FetchResult>>? OnFetch { get; set; }
    public Func<TopicPartition, ProduceResult?>? OnProduce { get; set; }
    /// <summary>Awaited before a batch is written.</summary>
    public Func<TopicPartition, Task>? BeforeProduce { get; set; }
    /// <summary>Awaited before the answer to a batch.</summary>
    public Func<TopicPartition, Task>? AfterProduce { get; set; }
    /// <summary>Awaited before an offset is looked up.</summary>
    public Func<TopicPartition, Task>? BeforeFindOffset { get; set; }
    /// <summary>Runs before a topic is looked up.</summary>
    public Action<string>? OnGetTopic { get; set; }
    /// <summary>Runs before a topic is described.</summary>
    public Action<string>? OnDescribeTopic { get; set; }
    /// <summary>Awaited before a topic is created.</summary>
    public Func<string, Task>? OnCreateTopic { get; set; }
    /// <summary>Runs after a topic was created.</summary>
    public Action<string>? OnCreatedTopic { get; set; }
    /// <summary>The topics; null lists those of the broker.</summary>
    public Func<IReadOnlyList<TopicListing>?>? OnListTopics { get; set; }

    public ValueTask<FetchResult> FetchAsync(FetchRequest request, CancellationToken cancellationToken = default) =>
        OnFetch is { } script ? script(request, cancellationToken) : broker.FetchAsync(request, cancellationToken);

    public async ValueTask<ProduceResult> ProduceAsync(TopicPartition partition, Memory<byte> batch, Acks acks,
        CancellationToken cancellationToken = default)
    {
        if (BeforeProduce is { } script)
            await script(partition);
        var answer = OnProduce?.Invoke(partition) ?? await broker.ProduceAsync(partition, batch, acks, cancellationToken);
        if (AfterProduce is { } wait)
            await wait(partition);
        return answer;
    }

    public async ValueTask<TopicDescription> CreateTopicAsync(NewTopic topic, CancellationToken cancellationToken = default)
    {
        if (OnCreateTopic is { } script)
            await script(topic.Name);
        var created = await broker.CreateTopicAsync(topic, cancellationToken);
        OnCreatedTopic?.Invoke(topic.Name);
        return created;
    }

    public ValueTask DeleteTopicAsync(string topic, CancellationToken cancellationToken = default) =>
        broker.DeleteTopicAsync(topic, cancellationToken);
    public ValueTask<IReadOnlyList<TopicListing>> ListTopicsAsync(CancellationToken cancellationToken = default) =>
        OnListTopics?.Invoke() is { } topics ? new(topics) : broker.ListTopicsAsync(cancellationToken);

    public ValueTask<TopicDescription> DescribeTopicAsync(string topic, CancellationToken cancellationToken = default)
    {
        OnDescribeTopic?.Invoke(topic);
        return broker.DescribeTopicAsync(topic, cancellationToken);
    }

    public ValueTask<TopicListing> GetTopicAsync(string topic, CancellationToken cancellationToken = default)
    {
        OnGetTopic?.Invoke(topic);
        return broker.GetTopicAsync(topic, cancellationToken);
    }

    public ValueTask<TopicDescription> AlterTopicAsync(string topic, IReadOnlyDictionary<string, string?> configs,
        CancellationToken cancellationToken = default) => broker.AlterTopicAsync(topic, configs, cancellationToken);
    public ValueTask<TopicDescription> AddPartitionsAsync(string topic, int totalCount, CancellationToken cancellationToken = default) =>
        broker.AddPartitionsAsync(topic, totalCount, cancellationToken);

    public async ValueTask<OffsetResult> FindOffsetAsync(TopicPartition partition, OffsetSpec spec,
        CancellationToken cancellationToken = default)
    {
        if (BeforeFindOffset is { } script)
            await script(partition).WaitAsync(cancellationToken);
        return await broker.FindOffsetAsync(partition, spec, cancellationToken);
    }

    public ValueTask<long> DeleteRecordsAsync(TopicPartition partition, long beforeOffset, CancellationToken cancellationToken = default) =>
        broker.DeleteRecordsAsync(partition, beforeOffset, cancellationToken);
    public ValueTask<ProducerIdentity> InitProducerIdAsync(CancellationToken cancellationToken = default) =>
        broker.InitProducerIdAsync(cancellationToken);
    public IClusterAdministration Administration => SoleBrokerAdministration.Instance;

    public ValueTask<ClusterDescription> DescribeClusterAsync(CancellationToken cancellationToken = default) =>
        broker.DescribeClusterAsync(cancellationToken);
}
