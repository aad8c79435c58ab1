namespace OrleansMq.Partitions;

/// <summary>What <see cref="AppendQueue.TryAdd"/> did.</summary>
internal enum QueueOutcome
{
    /// <summary>Never returned.</summary>
    Unknown = 0,
    /// <summary>It waits with others: the loop is scheduled.</summary>
    Added = 1,
    /// <summary>It is the first to wait: schedule the loop.</summary>
    AddedFirst = 2,
    /// <summary>Refused: too many bytes wait.</summary>
    Full = 3,
    /// <summary>Refused: the queue is closed.</summary>
    Closed = 4,
}

/// <summary>
/// The appends that wait for a round, in order of arrival: a linked list of operations under a lock held for an instant. Bounded in bytes:
/// 64 MiB is a second's work of a fast disk. Beyond that a sender must be refused before memory runs out. What waits decides that, not the
/// size of the next batch: otherwise small batches would take all the room that becomes free, and a large one would never have enough.
/// Control batches are added beyond the bound: a cursor has one append at a time, and its consumers would wait for producers.
/// </summary>
internal sealed class AppendQueue
{
    /// <summary>With so many bytes that wait no more are added. The last batch added may exceed it.</summary>
    public const long MaxBytes = 64L << 20;

    private readonly Lock _lock = new();
    private AppendOperation? _first;
    private AppendOperation? _last;
    private long _bytes;
    private bool _scheduled;
    private bool _closed;
    private TaskCompletionSource? _idle;

    /// <summary>Adds an operation at the end.</summary>
    public QueueOutcome TryAdd(AppendOperation operation)
    {
        lock (_lock)
        {
            if (_closed)
                return QueueOutcome.Closed;
            if (_bytes >= MaxBytes && !operation.Header.IsControl)
                return QueueOutcome.Full;
            _bytes += operation.Bytes;
            operation.Next = null;
            if (_last is null)
                _first = operation;
            else
                _last.Next = operation;
            _last = operation;
            if (_scheduled)
                return QueueOutcome.Added;
            _scheduled = true;
            return QueueOutcome.AddedFirst;
        }
    }

    /// <summary>Moves as many operations as fit into the round.</summary>
    public void TakeRound(AppendRound round)
    {
        lock (_lock)
        {
            var bytes = 0L;
            while (_first is { } operation && round.Operations.Count < AppendRound.MaxBatches
                && (bytes == 0 || bytes + operation.Bytes <= AppendRound.MaxBytes))
            {
                bytes += operation.Bytes;
                round.Operations.Add(operation);
                _first = operation.Next;
                operation.Next = null;
            }
            if (_first is null)
                _last = null;
            _bytes -= bytes;
        }
    }

    /// <summary>Ends a turn of the loop.</summary>
    /// <returns>Whether more operations wait: schedule the loop again.</returns>
    public bool EndTurn()
    {
        lock (_lock)
        {
            if (_first is not null)
                return true;
            _scheduled = false;
            _idle?.TrySetResult();
            return false;
        }
    }

    /// <summary>Refuses further operations; completes when the waiting ones have been through the loop.</summary>
    public Task CloseAsync()
    {
        lock (_lock)
        {
            _closed = true;
            if (!_scheduled)
                return Task.CompletedTask;
            _idle ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            return _idle.Task;
        }
    }
}
