using System.Diagnostics.CodeAnalysis;

namespace OrleansMq.Client;

/// <summary>
/// Decides which waiting record runs next: at most <paramref name="maxRunning"/> at a time, records of one key in order and one at a time.
/// The parallelisms differ only in the key: one for all records, the record's own, or a unique one. Pure; not thread-safe.
/// </summary>
internal sealed class RecordSchedule<T>(int maxRunning)
{
    // The keys with a running or ready record, each with the records waiting behind it.
    private readonly Dictionary<ulong, Queue<T>?> _keys = [];
    private readonly Queue<(ulong Key, T Item)> _ready = new();

    /// <summary>The number of records started and not finished.</summary>
    public int Running { get; private set; }

    /// <summary>The number of records added and not started.</summary>
    public int Waiting { get; private set; }

    public void Add(ulong key, T item)
    {
        Waiting++;
        if (!_keys.TryGetValue(key, out var behind))
        {
            _keys.Add(key, null);
            _ready.Enqueue((key, item));
            return;
        }
        if (behind is null)
            _keys[key] = behind = new Queue<T>();
        behind.Enqueue(item);
    }

    public bool TryStart(out ulong key, [MaybeNullWhen(false)] out T item)
    {
        (key, item) = (0, default);
        if (Running >= maxRunning || !_ready.TryDequeue(out var next))
            return false;
        (key, item) = next;
        Running++;
        Waiting--;
        return true;
    }

    /// <summary>Marks the running record of a key as finished.</summary>
    public void Finish(ulong key)
    {
        Running--;
        if (_keys[key] is { Count: > 0 } behind)
            _ready.Enqueue((key, behind.Dequeue()));
        else
            _keys.Remove(key);
    }

    /// <summary>Removes and returns all waiting records.</summary>
    public IReadOnlyList<T> Drop()
    {
        List<T> dropped = [.. _ready.Select(static next => next.Item)];
        foreach (var (key, _) in _ready)
        {
            dropped.AddRange(_keys[key] ?? []);
            _keys.Remove(key);
        }
        foreach (var behind in _keys.Values.OfType<Queue<T>>())
        {
            dropped.AddRange(behind);
            behind.Clear();
        }
        _ready.Clear();
        Waiting = 0;
        return dropped;
    }
}
