using System.Data.Common;
using Orleans.Storage;

namespace OrleansMq.Grains.Storage;

/// <summary>
/// A grain's stored document, over any grain storage. <see cref="Known"/> is only ever what is stored: what is being written is not seen
/// before it is durable. After a change that failed, or whose outcome is unclear, the next use reads what is stored. For the turns of one
/// grain, which may interleave.
/// </summary>
/// <typeparam name="T">An immutable document of the engine.</typeparam>
/// <param name="storage">Where it is stored.</param>
/// <param name="type">The state's name: the first half of the document's key.</param>
/// <param name="grain">Whose it is: the second half.</param>
/// <remarks>Not Orleans' persistent state, because that shows what is being written as if it were stored, fails the activation of a grain
/// whose document cannot be read, and loses which file it was.</remarks>
internal sealed class GrainDocument<T>(IGrainStorage storage, string type, GrainId grain) where T : class
{
    private readonly SemaphoreSlim _gate = new(1, 1);
    private readonly GrainState<T> _state = new();
    private bool _isKnown;

    /// <summary>What was last known to be stored; null where nothing was.</summary>
    public T? Known { get; private set; }

    /// <summary>What is stored; null where nothing is.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.KafkaStorageError"/>.</exception>
    public async ValueTask<T?> ReadAsync()
    {
        if (!_isKnown)
            await OneAtATimeAsync("could not be read", ReadUnknownAsync);
        return Known;
    }

    /// <summary>Stores the next document; durable when it returns.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.KafkaStorageError"/>: it is perhaps stored, perhaps not.</exception>
    public Task WriteAsync(T next) => OneAtATimeAsync("could not be written", async () =>
    {
        await ReadUnknownAsync();
        _isKnown = false;
        _state.State = next;
        await storage.WriteStateAsync(type, grain, _state);
        (Known, _isKnown) = (next, true);
    });

    /// <summary>Removes the document; durable when it returns.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.KafkaStorageError"/>: it is perhaps there, perhaps not.</exception>
    public Task ClearAsync() => OneAtATimeAsync("could not be removed", async () =>
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
            throw new BrokerException(ErrorCode.KafkaStorageError,
                $"The state '{type}/{grain.Key}' {failure}. {exception.Message}", exception);
        }
        finally
        {
            _gate.Release();
        }
    }
}
