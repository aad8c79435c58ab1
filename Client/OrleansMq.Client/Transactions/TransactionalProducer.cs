namespace OrleansMq.Client;

/// <summary>See <see cref="ITransactionalProducer{TKey, TValue}"/>.</summary>
/// <typeparam name="TKey">The type of keys.</typeparam>
/// <typeparam name="TValue">The type of values.</typeparam>
internal sealed class TransactionalProducer<TKey, TValue>(TransactionSequence sequence, ISerializer<TKey> keys, ISerializer<TValue> values,
    OrleansMqClient client) : ITransactionalProducer<TKey, TValue>
{
    /// <inheritdoc/>
    public string TransactionalId => sequence.TransactionalId;

    /// <inheritdoc/>
    public async ValueTask<ITransaction<TKey, TValue>> BeginTransactionAsync(CancellationToken cancellationToken = default)
    {
        var run = await sequence.BeginAsync(cancellationToken).ConfigureAwait(false);
        return new Transaction<TKey, TValue>(run, new Producer<TKey, TValue>(run.Core, keys, values), client);
    }

    /// <summary>Aborts the open transaction, if any.</summary>
    public ValueTask DisposeAsync() => sequence.DisposeAsync();
}
