namespace OrleansMq.Silo.Http.Lines;

/// <summary>
/// Which batch each record went into, in input order, as runs: what is needed to answer in that order, in 16 bytes a run. Without keys a
/// run is a batch; with keys spread over partitions it may be a single record.
/// </summary>
internal sealed class AnswerQueue
{
    /// <summary>
    /// Runs at most, 16 MiB of them. A client that sends everything before it reads an answer needs one run a record in the worst case;
    /// one that reads as it sends never comes near.
    /// </summary>
    public const int Capacity = 1 << 20;

    private readonly Queue<(ProduceBatch Batch, int Count)> _runs = new();
    private (ProduceBatch? Batch, int Count) _tail;

    /// <summary>Runs that wait, all told.</summary>
    public int Count => _runs.Count + (_tail.Batch is null ? 0 : 1);

    /// <summary>Whether a record may be added.</summary>
    public bool HasRoom => _runs.Count < Capacity;

    /// <summary>The next record went into <paramref name="batch"/>.</summary>
    public void Add(ProduceBatch batch)
    {
        if (_tail.Batch == batch)
        {
            _tail.Count++;
            return;
        }
        CloseTail();
        _tail = (batch, 1);
    }

    /// <summary>The oldest run that was not taken, whether its batch is done or not.</summary>
    public bool TryPeek(out ProduceBatch batch, out int count)
    {
        if (_runs.Count == 0)
            CloseTail();
        var any = _runs.TryPeek(out var run);
        (batch, count) = run;
        return any;
    }

    /// <summary>Takes the oldest run off.</summary>
    public void Dequeue() => _runs.Dequeue();

    /// <summary>The batches of all runs that wait.</summary>
    public IEnumerable<ProduceBatch> Batches() =>
        _tail.Batch is null ? _runs.Select(r => r.Batch) : _runs.Select(r => r.Batch).Append(_tail.Batch);

    private void CloseTail()
    {
        if (_tail.Batch is { } batch)
            _runs.Enqueue((batch, _tail.Count));
        _tail = default;
    }
}
