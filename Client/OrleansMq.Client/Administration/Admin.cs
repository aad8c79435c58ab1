using OrleansMq.Api;

namespace OrleansMq.Client;

/// <summary>Administration over a broker. See <see cref="IAdmin"/>.</summary>
/// <param name="broker">The broker.</param>
internal sealed class Admin(IBroker broker) : IAdmin
{
    /// <inheritdoc/>
    public Task<TopicDescription> CreateTopicAsync(string name, int? partitions = null, IReadOnlyDictionary<string, string>? configs = null,
        short? replicationFactor = null, CancellationToken cancellationToken = default) =>
        broker.CreateTopicAsync(new NewTopic(name, partitions ?? -1, replicationFactor ?? -1, configs), cancellationToken).AsTask();

    /// <inheritdoc/>
    public async Task<TopicDescription> EnsureTopicAsync(string name, int? partitions = null,
        IReadOnlyDictionary<string, string>? configs = null,
        short? replicationFactor = null, CancellationToken cancellationToken = default)
    {
        try
        {
            // A client that may not create topics finds those that exist.
            return await FindAsync(name, partitions, cancellationToken).ConfigureAwait(false);
        }
        catch (BrokerException e) when (e.Code is ErrorCode.UnknownTopicOrPartition or ErrorCode.TopicAuthorizationFailed)
        {
            // Missing, or perhaps: a client may be permitted to create topics and not to describe them.
        }
        try
        {
            // The default factor is reached in this way anyway, and brokers of earlier versions do not know the property.
            var topic = new NewTopic(name, partitions ?? -1, replicationFactor ?? -1, configs)
            {
                AllowFewerReplicas = replicationFactor is > 0,
            };
            return await broker.CreateTopicAsync(topic, cancellationToken).ConfigureAwait(false);
        }
        catch (BrokerException e) when (e.Code == ErrorCode.TopicAlreadyExists)
        {
            // Another client created it first.
            return await FindAsync(name, partitions, cancellationToken).ConfigureAwait(false);
        }
    }

    /// <inheritdoc/>
    public Task DeleteTopicAsync(string name, CancellationToken cancellationToken = default) =>
        broker.DeleteTopicAsync(name, cancellationToken).AsTask();

    /// <inheritdoc/>
    public Task<IReadOnlyList<TopicListing>> ListTopicsAsync(CancellationToken cancellationToken = default) =>
        broker.ListTopicsAsync(cancellationToken).AsTask();

    /// <inheritdoc/>
    public Task<TopicDescription> DescribeTopicAsync(string name, CancellationToken cancellationToken = default) =>
        broker.DescribeTopicAsync(name, cancellationToken).AsTask();

    /// <inheritdoc/>
    public Task<TopicDescription> AlterTopicAsync(string name, IReadOnlyDictionary<string, string?> configs,
        CancellationToken cancellationToken = default) =>
        broker.AlterTopicAsync(name, configs, cancellationToken).AsTask();

    /// <inheritdoc/>
    public Task<TopicDescription> AddPartitionsAsync(string name, int totalCount, CancellationToken cancellationToken = default) =>
        broker.AddPartitionsAsync(name, totalCount, cancellationToken).AsTask();

    /// <inheritdoc/>
    public async Task<IReadOnlyList<TopicPartition>> ListPartitionsAsync(string name, CancellationToken cancellationToken = default)
    {
        var topic = await broker.GetTopicAsync(name, cancellationToken).ConfigureAwait(false);
        return [.. Enumerable.Range(0, topic.Partitions).Select(partition => new TopicPartition(topic.Name, partition))];
    }

    /// <inheritdoc/>
    public async Task<long> FindOffsetAsync(TopicPartition partition, ReadFrom start, CancellationToken cancellationToken = default)
    {
        if (start.Chosen.ExactOffset is { } exact)
            return exact;
        var found = await FindAsync(partition, start.Spec, cancellationToken).ConfigureAwait(false);
        return found >= 0 ? found : await FindAsync(partition, OffsetSpec.Latest, cancellationToken).ConfigureAwait(false);
    }

    /// <inheritdoc/>
    public Task<long> DeleteRecordsAsync(TopicPartition partition, long beforeOffset, CancellationToken cancellationToken = default) =>
        broker.DeleteRecordsAsync(partition, beforeOffset, cancellationToken).AsTask();

    /// <inheritdoc/>
    public Task<RedriveResult> RedriveAsync(string deadLetterTopic, RedriveOptions? options = null,
        CancellationToken cancellationToken = default) =>
        new Redrive(broker, deadLetterTopic, options ?? new RedriveOptions()).RunAsync(cancellationToken);

    /// <inheritdoc/>
    public IDeadLetterAdmin DeadLetters => field ??= new DeadLetterAdmin(broker);

    /// <inheritdoc/>
    public IGroupAdmin Groups => field ??= new GroupAdmin(broker);

    /// <inheritdoc/>
    public IClusterAdministration Cluster => broker.Administration;

    /// <inheritdoc/>
    public Task<ClusterDescription> DescribeClusterAsync(CancellationToken cancellationToken = default) =>
        broker.DescribeClusterAsync(cancellationToken).AsTask();

    private async Task<TopicDescription> FindAsync(string name, int? partitions, CancellationToken cancellationToken)
    {
        var existing = await DescribeTopicAsync(name, cancellationToken).ConfigureAwait(false);
        return existing.Partitions.Count >= (partitions ?? 0) ? existing
            : throw new BrokerException(ErrorCode.InvalidPartitions, $"Topic '{name}' has {existing.Partitions.Count} partitions, fewer "
                + $"than the {partitions} asked for. AddPartitionsAsync adds some, after which keys may go to other partitions; or ask "
                + "for no more than there are.");
    }

    private async Task<long> FindAsync(TopicPartition partition, OffsetSpec spec, CancellationToken cancellationToken)
    {
        var found = await broker.FindOffsetAsync(partition, spec, cancellationToken).ConfigureAwait(false);
        return found.Error == ErrorCode.None
            ? found.Offset : throw new BrokerException(found.Error, found.Message ?? $"{partition}: {found.Error}");
    }
}
