using System.Globalization;
using System.Text.Json;
using OrleansMq.Diagnostics;
using OrleansMq.State;

namespace OrleansMq.Transactions;

/// <summary>The producer ids of transactional ids. Each is noted in a document before it is given out, so that whoever meets the id in a
/// log finds its coordinator. Thread safe.</summary>
/// <param name="store">Holds the documents.</param>
/// <param name="take">Takes an id that was never used.</param>
/// <param name="log">The log.</param>
internal sealed class TransactionProducers(IStateStore store, Func<CancellationToken, ValueTask<long>> take, EngineLog log)
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

    /// <summary>Forgets a producer id. A note that cannot be deleted stays, and harms nobody.</summary>
    public async Task ForgetAsync(long producerId, string transactionalId, CancellationToken cancellationToken)
    {
        try
        {
            if (await store.ReadAsync(KeyOf(producerId), cancellationToken).ConfigureAwait(false) is { } stored
                && JsonSerializer.Deserialize(stored.Value.Span, TransactionJson.Default.TransactionProducer)?.TransactionalId
                    == transactionalId)
                await store.DeleteAsync(KeyOf(producerId), stored.ETag, cancellationToken).ConfigureAwait(false);
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException or StateConflictException or JsonException)
        {
            log.Write(EngineLogLevel.Debug, $"The note of producer id {producerId} could not be deleted.", failure);
        }
    }

    private static string KeyOf(long producerId) =>
        string.Create(CultureInfo.InvariantCulture, $"{TransactionProducer.StoreType}/{producerId}");
}
