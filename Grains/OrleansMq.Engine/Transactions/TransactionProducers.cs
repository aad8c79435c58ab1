using System.Globalization;
using System.Text.Json;
using OrleansMq.State;

namespace OrleansMq.Transactions;

/// <summary>The producer ids of transactional ids. Each is noted in a document before it is given out, so that whoever meets the id in a
/// log finds its coordinator. Thread safe.</summary>
/// <param name="store">Holds the documents.</param>
/// <param name="take">Takes an id that was never used.</param>
internal sealed class TransactionProducers(IStateStore store, Func<CancellationToken, ValueTask<long>> take)
{
    /// <summary>Takes an id for a transactional id.</summary>
    /// <exception cref="IOException">It may not be noted.</exception>
    public async Task<long> TakeAsync(string transactionalId, CancellationToken cancellationToken)
    {
        var id = await take(cancellationToken).ConfigureAwait(false);
        var document = JsonSerializer.SerializeToUtf8Bytes(new TransactionProducer(transactionalId),
            TransactionJson.Default.TransactionProducer);
        await store.WriteAsync(KeyOf(id), document, etag: null, cancellationToken).ConfigureAwait(false);
        return id;
    }

    /// <summary>Finds the transactional id of a producer id; null: it has none.</summary>
    /// <exception cref="IOException">It cannot be read.</exception>
    public async Task<string?> FindAsync(long producerId, CancellationToken cancellationToken)
    {
        var stored = await store.ReadAsync(KeyOf(producerId), cancellationToken).ConfigureAwait(false);
        try
        {
            return stored is null ? null
                : JsonSerializer.Deserialize(stored.Value.Span, TransactionJson.Default.TransactionProducer)?.TransactionalId;
        }
        catch (JsonException damaged)
        {
            throw new CorruptStateException(KeyOf(producerId), damaged);
        }
    }

    private static string KeyOf(long producerId) =>
        string.Create(CultureInfo.InvariantCulture, $"{TransactionProducer.StoreType}/{producerId}");
}
