using System.Collections.Concurrent;

namespace OrleansMq.Access;

/// <summary>
/// The receives from queues that a quota paces on this broker, by consumer. A receive ends an earlier one of its consumer: also one that is
/// held back, of which the partition's leader does not know yet. Thread safe.
/// </summary>
internal sealed class PacedReceives
{
    private readonly ConcurrentDictionary<Guid, CancellationTokenSource> _receives = new();

    /// <summary>Begins a receive, and ends an earlier one of the consumer.</summary>
    /// <returns>What a later one cancels; for <see cref="Leave"/>.</returns>
    public CancellationTokenSource Begin(Guid consumer)
    {
        // It has neither a timer nor a handle, and needs no disposal.
        var begun = new CancellationTokenSource();
        CancellationTokenSource? earlier = null;
        _receives.AddOrUpdate(consumer, begun, (_, before) =>
        {
            earlier = before;
            return begun;
        });
        earlier?.Cancel();
        return begun;
    }

    /// <summary>Ends the consumer's receive in progress.</summary>
    public void End(Guid consumer)
    {
        if (_receives.TryRemove(consumer, out var receive))
            receive.Cancel();
    }

    /// <summary>Forgets a receive that is over.</summary>
    public void Leave(Guid consumer, CancellationTokenSource begun) => _receives.TryRemove(KeyValuePair.Create(consumer, begun));
}
