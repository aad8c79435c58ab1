namespace OrleansMq.Client;

/// <summary>A producer whose records belong to a transaction. Disposing it ends nothing.</summary>
/// <typeparam name="TKey">The type of keys.</typeparam>
/// <typeparam name="TValue">The type of values.</typeparam>
internal class TransactionProducer<TKey, TValue>(TransactionRun run, Producer<TKey, TValue> producer) : IProducer<TKey, TValue>
{
    /// <inheritdoc/>
    public event Action<ProduceException>? DeliveryFailed
    {
        add => producer.DeliveryFailed += value;
        remove => producer.DeliveryFailed -= value;
    }

    /// <inheritdoc/>
    public ProducerStatistics Statistics => producer.Statistics;

    /// <inheritdoc/>
    public ValueTask<DeliveryReport> SendAsync(ProducerRecord<TKey, TValue> record, CancellationToken cancellationToken = default)
    {
        run.RequireOpen();
        return producer.SendAsync(record, cancellationToken);
    }

    /// <inheritdoc/>
    public Task<IReadOnlyList<DeliveryReport>> SendTogetherAsync(IReadOnlyList<ProducerRecord<TKey, TValue>> records,
        CancellationToken cancellationToken = default)
    {
        run.RequireOpen();
        return producer.SendTogetherAsync(records, cancellationToken);
    }

    /// <inheritdoc/>
    public ValueTask EnqueueAsync(ProducerRecord<TKey, TValue> record, Action<DeliveryReport>? callback = null,
        CancellationToken cancellationToken = default)
    {
        run.RequireOpen();
        return producer.EnqueueAsync(record, callback, cancellationToken);
    }

    /// <inheritdoc/>
    public void Send(in ProducerRecord<TKey, TValue> record, CancellationToken cancellationToken = default)
    {
        run.RequireOpen();
        producer.Send(record, cancellationToken);
    }

    /// <inheritdoc/>
    public void Send(in ProducerRecord<TKey, TValue> record, Action<DeliveryReport> callback, CancellationToken cancellationToken = default)
    {
        run.RequireOpen();
        producer.Send(record, callback, cancellationToken);
    }

    /// <inheritdoc/>
    public Task FlushAsync(CancellationToken cancellationToken = default) => producer.FlushAsync(cancellationToken);

    /// <inheritdoc/>
    public virtual ValueTask DisposeAsync() => default;
}
