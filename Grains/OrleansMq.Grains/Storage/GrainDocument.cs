using System.Data.Common;
using Orleans.Storage;
using OrleansMq.State;

namespace OrleansMq.Grains.Storage;

/// <summary>
/// A grain's stored document, over any grain storage. <see cref="Known"/> is always a stored version: a write in progress is not visible
/// before it is durable. After a write that failed, or whose outcome is unknown, the next use reads the document again. For the
/// interleaving turns of one grain.
/// </summary>
/// <typeparam name="T">An immutable document of the engine.</typeparam>
/// <param name="storage">Holds the document.</param>
/// <param name="type">The state's name: the first half of the document's key.</param>
/// <param name="grain">The owner: the second half.</param>
/// <remarks>Orleans' persistent state does not fit: it shows a write in progress as if it were stored, fails the activation of a grain with
/// an unreadable document, and its errors omit the file's name.</remarks>
internal sealed class GrainDocument<T>(IGrainStorage storage, string type, GrainId grain) : IDocument<T> where T : class
{
    private readonly SemaphoreSlim _gate = new(1, 1);
    private readonly GrainState<T> _state = new();
    private bool _isKnown;

    /// <summary>The last version known to be stored; null if there was none.</summary>
    public T? Known { get; private set; }

    /// <summary>Reads the document; null if there is none.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.KafkaStorageError"/>.</exception>
    public async ValueTask<T?> ReadAsync()
    {
        if (!_isKnown)
            await OneAtATimeAsync("could not be read", ReadUnknownAsync);
        return Known;
    }

    /// <summary>Stores the next version durably.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.KafkaStorageError"/>: it may or may not be stored.</exception>
    public Task WriteAsync(T next) => OneAtATimeAsync("could not be written", async () =>
    {
        await ReadUnknownAsync();
        _isKnown = false;
        _state.State = next;
        await storage.WriteStateAsync(type, grain, _state);
        (Known, _isKnown) = (next, true);
    });

    /// <summary>Removes the document durably.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.KafkaStorageError"/>: it may or may not be removed.</exception>
    public Task DeleteAsync() => OneAtATimeAsync("could not be removed", async () =>
    {
        await ReadUnknownAsync();
        _isKnown = false;
        await storage.ClearStateAsync(type, grain, _state);
        (Known, _isKnown) = (null, true);
    });

    private async Task ReadUnknownAsync()
    {
        if (_isKnown)
            return;
        await storage.ReadStateAsync(type, grain, _state);
        (Known, _isKnown) = (_state.RecordExists ? _state.State : null, true);
    }

    private async Task OneAtATimeAsync(string failure, Func<Task> use)
    {
        await _gate.WaitAsync();
        try
        {
            await use();
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException or OrleansException or DbException)
        {
            // Of a conflict it is certain that nothing was stored.
            throw new BrokerException(ErrorCode.KafkaStorageError, $"The state '{type}/{grain.Key}' {failure}. {exception.Message}",
                exception is InconsistentStateException conflict
                    ? new StateConflictException($"{type}/{grain.Key}", conflict.CurrentEtag, conflict.StoredEtag) : exception);
        }
        finally
        {
            _gate.Release();
        }
    }
}
