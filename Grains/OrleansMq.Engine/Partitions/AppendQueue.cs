namespace OrleansMq.Partitions;

/// <summary>What <see cref="AppendQueue.TryAdd"/> did.</summary>
internal enum QueueOutcome
{
    /// <summary>Never returned.</summary>
    Unknown = 0,
    /// <summary>It waits with others: the loop is on its way.</summary>
    Added = 1,
    /// <summary>It is the first to wait: schedule the loop.</summary>
    AddedFirst = 2,
    /// <summary>Too many bytes wait already.</summary>
    Full = 3,
    /// <summary>The partition takes nothing more.</summary>
    Closed = 4,
}

/// <summary>
/// Batches that wait to be appended, in the order they came: a linked list through the operations, behind a lock held for an instant.
/// Bounded
/// in bytes: 64 MiB is a second's work of a fast disk; a sender that is further ahead has to hear of it before the memory is full.
/// </summary>
internal sealed class AppendQueue
{
    /// <summary>Bytes that wait at most.</summary>
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
            if (_bytes > 0 && _bytes + operation.Batch.Length > MaxBytes)
                return QueueOutcome.Full;
            _bytes += operation.Batch.Length;
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

    /// <summary>Moves what fits a round into it.</summary>
    public void TakeRound(AppendRound round)
    {
        lock (_lock)
        {
            var bytes = 0L;
            while (_first is { } operation && round.Operations.Count < AppendRound.MaxBatches
                && (bytes == 0 || bytes + operation.Batch.Length <= AppendRound.MaxBytes))
            {
                bytes += operation.Batch.Length;
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
    /// <returns>Whether more waits: schedule the loop again.</returns>
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

    /// <summary>Takes nothing more from now on; completes when what waits has been through the loop.</summary>
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
