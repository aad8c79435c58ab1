namespace OrleansMq.Api;

/// <summary>The queues of a broker that has none: every call is refused with <see cref="ErrorCode.UnsupportedVersion"/>.</summary>
internal sealed class NoQueues : IQueues
{
    private NoQueues() { }

    /// <summary>The only instance.</summary>
    public static NoQueues Instance { get; } = new();

    /// <inheritdoc/>
    public ValueTask<QueueDescription> CreateAsync(TopicPartition partition, NewQueue queue,
        CancellationToken cancellationToken = default) => throw Refusal();

    /// <inheritdoc/>
    public ValueTask DeleteAsync(TopicPartition partition, string name, Guid? id = null,
        CancellationToken cancellationToken = default) => throw Refusal();

    /// <inheritdoc/>
    public ValueTask<QueueDescription> DescribeAsync(TopicPartition partition, string name,
        CancellationToken cancellationToken = default) => throw Refusal();

    /// <inheritdoc/>
    public ValueTask<IReadOnlyList<QueueDescription>> ListAsync(TopicPartition partition,
        CancellationToken cancellationToken = default) => throw Refusal();

    /// <inheritdoc/>
    public ValueTask<QueueDescription> ResetAsync(TopicPartition partition, string name, OffsetSpec start, Guid? id = null,
        CancellationToken cancellationToken = default) => throw Refusal();

    /// <inheritdoc/>
    public ValueTask<QueueDescription> AlterAsync(TopicPartition partition, string name, QueueOptions options, Guid? id = null,
        CancellationToken cancellationToken = default) => throw Refusal();

    /// <inheritdoc/>
    public ValueTask PurgeAsync(TopicPartition partition, string name, long? below = null,
        CancellationToken cancellationToken = default) => throw Refusal();

    /// <inheritdoc/>
    public ValueTask<IReadOnlyList<QueueRecord>> PeekAsync(TopicPartition partition, string name, int maxRecords,
        CancellationToken cancellationToken = default) => throw Refusal();

    /// <inheritdoc/>
    public ValueTask<Guid> AttachAsync(TopicPartition partition, string name, QueueAttachOptions options,
        CancellationToken cancellationToken = default) => throw Refusal();

    /// <inheritdoc/>
    public ValueTask<QueueDelivery?> ReceiveAsync(TopicPartition partition, Guid consumer, int maxRecords, TimeSpan maxWait,
        CancellationToken cancellationToken = default) => throw Refusal();

    /// <inheritdoc/>
    public ValueTask<IReadOnlyList<ErrorCode>> SettleAsync(TopicPartition partition, Guid consumer,
        IReadOnlyList<QueueSettlement> settlements, CancellationToken cancellationToken = default) => throw Refusal();

    /// <inheritdoc/>
    public ValueTask DetachAsync(TopicPartition partition, Guid consumer, CancellationToken cancellationToken = default) =>
        throw Refusal();

    private static BrokerException Refusal() => new(ErrorCode.UnsupportedVersion,
        "This broker has no queues: it is of an earlier version, or an implementation of IBroker without them.");
}
