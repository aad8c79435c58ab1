using System.Text.Json.Serialization;
using Orleans.Storage;
using OrleansMq.State;

namespace OrleansMq.Grains.Coordination;

/// <summary>
/// The engine's state store over grain storage: the document <c>type/name</c> is the state <c>type</c> of the grain <c>name</c>. Usable
/// from any thread; every call stands alone.
/// <para>A storage that fails or does not answer is an <see cref="IOException"/>: whether a change was stored is not known then.</para>
/// </summary>
/// <param name="storage">Compares and swaps.</param>
/// <param name="grainType">The type of the grains that own the states.</param>
/// <param name="time">For the limit of each call.</param>
internal sealed class GrainStateStore(IGrainStorage storage, GrainType grainType, TimeProvider time) : IStateStore
{
    /// <summary>How long the storage may take: it answers in milliseconds, or not at all. Well below the 10 seconds of a call that waits
    /// for it.</summary>
    public static readonly TimeSpan Timeout = TimeSpan.FromSeconds(4);

    /// <inheritdoc/>
    public async ValueTask<StateDocument?> ReadAsync(string key, CancellationToken cancellationToken = default)
    {
        var (type, grain) = Split(key);
        var stored = new GrainState<StoredJson>();
        await UseAsync(key, "read", () => storage.ReadStateAsync(type, grain, stored), cancellationToken).ConfigureAwait(false);
        return stored.RecordExists ? new StateDocument(stored.State!.Utf8, stored.ETag!) : null;
    }

    /// <inheritdoc/>
    public async ValueTask<string> WriteAsync(string key, ReadOnlyMemory<byte> value, string? etag,
        CancellationToken cancellationToken = default)
    {
        var (type, grain) = Split(key);
        var next = new GrainState<StoredJson>(new StoredJson(value), etag!) { RecordExists = etag is not null };
        await UseAsync(key, "written", () => storage.WriteStateAsync(type, grain, next), cancellationToken).ConfigureAwait(false);
        return next.ETag!;
    }

    /// <inheritdoc/>
    public async ValueTask DeleteAsync(string key, string? etag, CancellationToken cancellationToken = default)
    {
        var (type, grain) = Split(key);
        var stored = new GrainState<StoredJson>(new StoredJson(default), etag!) { RecordExists = etag is not null };
        await UseAsync(key, "removed", () => storage.ClearStateAsync(type, grain, stored), cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Grain storage cannot list.</summary>
    /// <exception cref="NotSupportedException">Always.</exception>
    public ValueTask<IReadOnlyList<string>> ListAsync(string type, CancellationToken cancellationToken = default) =>
        throw new NotSupportedException("Grain storage lists nothing: what is to be found again stands in an index.");

    private async Task UseAsync(string key, string done, Func<Task> use, CancellationToken cancellationToken)
    {
        try
        {
            // Providers may do much before their first await: not on the thread of a grain that serves others meanwhile.
            await Task.Run(use, CancellationToken.None).WaitAsync(Timeout, time, cancellationToken).ConfigureAwait(false);
        }
        catch (InconsistentStateException conflict)
        {
            throw new StateConflictException(key, conflict.CurrentEtag, conflict.StoredEtag);
        }
        catch (Exception failure) when (failure is not (OperationCanceledException or IOException))
        {
            throw new IOException($"The state '{key}' could not be {done}: {failure.Message}", failure);
        }
    }

    private (string Type, GrainId Grain) Split(string key)
    {
        var slash = key.IndexOf('/', StringComparison.Ordinal);
        return slash > 0 && slash < key.Length - 1
            ? (key[..slash], GrainId.Create(grainType, IdSpan.Create(key[(slash + 1)..])))
            : throw new ArgumentException($"A state key is 'type/name', not '{key}'.", nameof(key));
    }
}

/// <summary>A document as the bytes that it is stored as.</summary>
/// <param name="Utf8">JSON.</param>
[JsonConverter(typeof(StoredJsonConverter))]
internal sealed record StoredJson(ReadOnlyMemory<byte> Utf8)
{
    /// <summary>The document of a grain that has stored nothing.</summary>
    public StoredJson() : this(default(ReadOnlyMemory<byte>))
    {
    }
}
