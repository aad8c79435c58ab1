using System.Collections.Concurrent;

namespace OrleansMq.Outboxes;

/// <summary>The records that activations of a silo have left for the next activation of their grain. Thread-safe. It has a bound: a record
/// that is not kept is settled when it comes, and the next activation stores another one.</summary>
internal sealed class LeftRecords(int capacity = LeftRecords.DefaultCapacity)
{
    private const int DefaultCapacity = 10_000;

    private readonly ConcurrentDictionary<(GrainId Grain, string State), Left> _left = [];

    /// <summary>Keeps the record of an outbox.</summary>
    /// <param name="grain">The grain.</param>
    /// <param name="state">The name of its state.</param>
    /// <param name="record">The record, and when it is due.</param>
    /// <param name="stamp">The stamp of the document that the activation knew to be in the store.</param>
    /// <param name="now">The time.</param>
    public void Leave(GrainId grain, string state, (Guid Id, TimeSpan Due) record, Guid stamp, TimeSpan now)
    {
        if (_left.Count >= capacity)
        {
            foreach (var (key, left) in _left)
            {
                if (left.Due < now)
                    _left.TryRemove(key, out _);
            }
        }
        if (_left.Count < capacity)
            _left[(grain, state)] = new Left(record.Id, record.Due, stamp);
    }

    /// <summary>Takes the record of an outbox, if the store has the document of that time; null: there is none that can be relied on. A
    /// store without a document has no stamp, whether it never had one or it was cleared. There only a record that is not due yet is
    /// taken: it has not come since, so no other activation has settled it.</summary>
    public (Guid Id, TimeSpan Due)? Take(GrainId grain, string state, Guid stamp, TimeSpan now) =>
        _left.TryRemove((grain, state), out var left) && left.Stamp == stamp && (stamp != Guid.Empty || now < left.Due)
            ? (left.Id, left.Due) : null;

    private readonly record struct Left(Guid Id, TimeSpan Due, Guid Stamp);
}
