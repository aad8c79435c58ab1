using System.Collections.Concurrent;

namespace OrleansMq.Streams;

/// <summary>How often the last event that failed in the replay of an activation has failed, by subscription: an activation that ends with
/// the failure, and gives the same token again, begins behind those attempts. In the memory of a silo. Thread-safe.</summary>
internal sealed class ReplayFailures
{
    // More than replays that fail at once. Beyond them all begin anew.
    private const int Most = 10_000;

    private readonly ConcurrentDictionary<Guid, (long Offset, int Failures)> _failures = new();

    /// <summary>Returns how often an event has failed.</summary>
    public int Of(Guid subscription, long offset) =>
        _failures.TryGetValue(subscription, out var known) && known.Offset == offset ? known.Failures : 0;

    /// <summary>Notes how often an event has failed.</summary>
    public void Note(Guid subscription, long offset, int failures)
    {
        if (_failures.Count >= Most && !_failures.ContainsKey(subscription))
            _failures.Clear();
        _failures[subscription] = (offset, failures);
    }

    /// <summary>Forgets the failures of an event that is handled or passed over, and of those before it.</summary>
    public void Forget(Guid subscription, long offset)
    {
        if (_failures.TryGetValue(subscription, out var known) && known.Offset <= offset)
            _failures.TryRemove(KeyValuePair.Create(subscription, known));
    }
}
