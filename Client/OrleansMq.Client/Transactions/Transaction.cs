namespace OrleansMq.Client;

/// <summary>See <see cref="ITransaction{TKey, TValue}"/>.</summary>
/// <typeparam name="TKey">The type of keys.</typeparam>
/// <typeparam name="TValue">The type of values.</typeparam>
internal sealed class Transaction<TKey, TValue>(TransactionRun run, Producer<TKey, TValue> producer, OrleansMqClient client)
    : TransactionProducer<TKey, TValue>(run, producer), ITransaction<TKey, TValue>
{
    private readonly TransactionRun _run = run;

    /// <inheritdoc/>
    public IProducer<TOtherKey, TOtherValue> ProducerOf<TOtherKey, TOtherValue>(ISerializer<TOtherKey>? keys = null,
        ISerializer<TOtherValue>? values = null) =>
        new TransactionProducer<TOtherKey, TOtherValue>(_run, new Producer<TOtherKey, TOtherValue>(_run.Core,
            keys ?? client.Format<TOtherKey>(), values ?? client.Format<TOtherValue>()));

    /// <inheritdoc/>
    public Task SendOffsetsAsync(IConsumer consumer, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(consumer);
        var positions = consumer as IConsumedPositions ?? throw new InvalidOperationException(
            "The consumer is not one of this client library: commit its offsets by SendOffsetsAsync(group, offsets).");
        return _run.SendOffsetsAsync(() => consumer.GroupMetadata,
            () => [.. positions.ToCommit().Select(static position => new TransactionOffset(position.Offset, position.Claim))],
            cancellationToken);
    }

    /// <inheritdoc/>
    public Task SendOffsetsAsync(ConsumerGroupMetadata group, IEnumerable<TopicPartitionOffset> offsets,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(group);
        ArgumentNullException.ThrowIfNull(offsets);
        return _run.SendOffsetsAsync(() => group, () => [.. offsets.Select(static offset => new TransactionOffset(offset, null))],
            cancellationToken);
    }

    /// <inheritdoc/>
    public Task CommitAsync(CancellationToken cancellationToken = default) => _run.CommitAsync(cancellationToken);

    /// <inheritdoc/>
    public Task AbortAsync(CancellationToken cancellationToken = default) => _run.AbortAsync(cancellationToken);

    /// <summary>Aborts the transaction, unless it is committed.</summary>
    public override ValueTask DisposeAsync() => _run.DisposeAsync();
}
