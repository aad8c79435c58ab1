namespace OrleansMq.Queues;

/// <summary>What a log must keep until a control batch is in force: the batch replaces state that earlier ones tell, and a truncation may
/// take it away again.</summary>
internal sealed class ReplacedPlaces
{
    // Beyond that the last two entries are joined, which holds the log's start back for longer.
    private const int Most = 1_000;

    // Both offsets rise.
    private readonly List<(long At, long KeptFrom)> _places = [];

    /// <summary>Notes that a batch at an offset replaces state that needs the log from another offset on.</summary>
    public void Add(long at, long keptFrom)
    {
        // An entry that is passed earlier and keeps no more says nothing beside this one.
        while (_places.Count > 0 && (_places[^1].KeptFrom >= keptFrom || _places.Count == Most))
        {
            keptFrom = Math.Min(keptFrom, _places[^1].KeptFrom);
            _places.RemoveAt(_places.Count - 1);
        }
        _places.Add((at, keptFrom));
    }

    /// <summary>Returns the lowest offset that is kept; <see cref="long.MaxValue"/> for none.</summary>
    /// <param name="highWatermark">Batches below it are in force.</param>
    public long KeptFrom(long highWatermark)
    {
        _places.RemoveAll(place => place.At < highWatermark);
        return _places.Count == 0 ? long.MaxValue : _places.Min(place => place.KeptFrom);
    }
}
