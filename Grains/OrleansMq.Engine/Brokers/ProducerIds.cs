using OrleansMq.Api;
using OrleansMq.Diagnostics;
using OrleansMq.State;
using OrleansMq.Topics;

namespace OrleansMq.Brokers;

/// <summary>Gives out producer ids, each once: takes a block of them with one durable write, then counts in memory. Thread safe.</summary>
internal sealed class ProducerIds(IStateStore store)
{
    private readonly StoredDocument<ProducerIdState> _document = DocumentOf(store);
    private readonly SemaphoreSlim _gate = new(1, 1);
    private long _next;
    private long _end;

    /// <summary>Makes sure, when a broker starts, that no id is given out again that its partitions remember, although the document is
    /// lost, damaged, or of an earlier time.</summary>
    /// <param name="store">Holds the document.</param>
    /// <param name="highestSeen">The highest id that a partition remembers; -1 for none.</param>
    /// <param name="log">Receives what was wrong.</param>
    public static async Task MendAsync(JournaledStateStore store, long highestSeen, EngineLog log)
    {
        var document = DocumentOf(store);
        ProducerIdState? stored = null;
        try
        {
            stored = await document.ReadAsync().ConfigureAwait(false);
        }
        catch (CorruptStateException damaged)
        {
            log.Write(EngineLogLevel.Error, $"{damaged.Message} It is set aside as '{store.SetAside(ProducerIdState.Key)}'.", damaged);
            highestSeen = Math.Max(highestSeen, 0);
        }
        var next = ProducerIdState.Above(stored, highestSeen);
        if (next == (stored ?? ProducerIdState.Initial))
            return;
        log.Write(EngineLogLevel.Error, $"The document '{ProducerIdState.Key}' {(stored is null ? "is missing" : "is too old")}: a "
            + $"partition knows the producer id {highestSeen}. New ids begin at {next.NextProducerId}.");
        await document.WriteAsync(next).ConfigureAwait(false);
    }

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

    private static StoredDocument<ProducerIdState> DocumentOf(IStateStore store) =>
        new(store, ProducerIdState.Key, TopicJson.Default.ProducerIdState);
}
