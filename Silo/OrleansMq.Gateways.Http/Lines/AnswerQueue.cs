namespace OrleansMq.Gateways.Http.Lines;

/// <summary>
/// Maps records to their batches in input order, as runs of 16 bytes, so that they can be answered in that order. Without keys a run is a
/// batch; with keys over many partitions it may be a single record.
/// </summary>
internal sealed class AnswerQueue
{
    /// <summary>
    /// The most runs: 16 MiB of them. In the worst case a client that sends everything before it reads needs one run for each record. A
    /// client that reads while it sends never comes near the limit.
    /// </summary>
    public const int Capacity = 1 << 20;

    private readonly Queue<(LineBatch Batch, int Count)> _runs = new();
    private (LineBatch? Batch, int Count) _tail;

    /// <summary>The total number of waiting runs.</summary>
    public int Count => _runs.Count + (_tail.Batch is null ? 0 : 1);

    /// <summary>Whether a record may be added.</summary>
    public bool HasRoom => _runs.Count < Capacity;

    /// <summary>Adds the next record, which is in <paramref name="batch"/>.</summary>
    public void Add(LineBatch batch)
    {
        if (_tail.Batch == batch)
        {
            _tail.Count++;
            return;
        }
        CloseTail();
        _tail = (batch, 1);
    }

    /// <summary>Returns the oldest waiting run, whether its batch is done or not.</summary>
    public bool TryPeek(out LineBatch batch, out int count)
    {
        if (_runs.Count == 0)
            CloseTail();
        var any = _runs.TryPeek(out var run);
        (batch, count) = run;
        return any;
    }

    /// <summary>Removes the oldest run.</summary>
    public void Dequeue() => _runs.Dequeue();

    /// <summary>Returns the batches of all waiting runs.</summary>
    public IEnumerable<LineBatch> Batches() =>
        _tail.Batch is null ? _runs.Select(r => r.Batch) : _runs.Select(r => r.Batch).Append(_tail.Batch);

    private void CloseTail()
    {
        if (_tail.Batch is { } batch)
            _runs.Enqueue((batch, _tail.Count));
        _tail = default;
    }
}
