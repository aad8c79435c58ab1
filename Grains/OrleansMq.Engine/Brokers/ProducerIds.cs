using OrleansMq.Api;
using OrleansMq.State;
using OrleansMq.Topics;

namespace OrleansMq.Brokers;

/// <summary>Gives out producer ids, each once: takes a block of them with one durable write, then counts in memory. Thread safe.</summary>
internal sealed class ProducerIds(IStateStore store)
{
    private readonly StoredDocument<ProducerIdState> _document = new(store, ProducerIdState.Key, TopicJson.Default.ProducerIdState);
    private readonly SemaphoreSlim _gate = new(1, 1);
    private long _next;
    private long _end;

    /// <summary>An id that was never given out before.</summary>
    public async ValueTask<ProducerIdentity> NextAsync(CancellationToken cancellationToken)
    {
        await _gate.WaitAsync(cancellationToken).ConfigureAwait(false);
        try
        {
            if (_next == _end)
            {
                var (state, first) = (await _document.ReadAsync().ConfigureAwait(false) ?? ProducerIdState.Initial).TakeBlock();
                await _document.WriteAsync(state).ConfigureAwait(false);
                (_next, _end) = (first, first + ProducerIdState.BlockSize);
            }
            return new ProducerIdentity(_next++, 0);
        }
        finally
        {
            _gate.Release();
        }
    }
}
