using System.Threading.Tasks.Sources;
using OrleansMq.Api;
using OrleansMq.Records;

namespace OrleansMq.Partitions;

/// <summary>
/// One batch on its way into the log, and the promise to its sender. Reused: an append in steady state allocates nothing. The continuation
/// runs on the thread pool, never on an append thread, and the operation is its own work item there.
/// </summary>
internal sealed class AppendOperation(AppendOperationPool pool) : IAppend, IValueTaskSource<ProduceResult>, IThreadPoolWorkItem
{
    private ManualResetValueTaskSourceCore<ProduceResult> _promise;
    private ProduceResult _result;

    /// <summary>On whose thread it may be completed: the append itself, or a burst.</summary>
    public object? Sender { get; set; }
    /// <summary>Where its sender is answered; null for the thread pool.</summary>
    public Action<IThreadPoolWorkItem>? Home => (Sender as AppendBurst)?.Home;
    /// <summary>The next in the queue it stands in; later the next that is completed with it.</summary>
    public AppendOperation? Next { get; set; }
    /// <summary>The batch's bytes: the sender's memory, or <see cref="Owned"/>.</summary>
    public Memory<byte> Batch { get; set; }
    /// <summary>The batch's header; from the append loop on with the offset it got.</summary>
    public RecordBatchHeader Header { get; set; }
    /// <summary>A copy of the batch, where the broker changes more than offset and epoch.</summary>
    public PooledBuffer? Owned { get; set; }
    /// <summary>Whether the batch was in the log before: <see cref="OriginalOffset"/> holds where.</summary>
    public bool IsDuplicate { get; set; }
    /// <summary>Of a duplicate: the original's base offset.</summary>
    public long OriginalOffset { get; set; }
    /// <summary>Of a duplicate: the offset after the original's last record.</summary>
    public long OriginalEnd { get; set; }
    /// <inheritdoc/>
    public Acks Acks { get; set; }
    /// <inheritdoc/>
    public bool IsWritten => IsDecided && _result.Error == ErrorCode.None;
    /// <summary>By what number it is known while it <see cref="IsWaiting"/>.</summary>
    public long Waiter { get; set; }
    /// <summary>In the log, and waiting for other replicas: whoever replicates the partition completes it.</summary>
    public bool IsWaiting { get; set; }
    /// <summary>Whether <see cref="Decide"/> was called.</summary>
    public bool IsDecided { get; private set; }

    /// <summary>The promise, to hand to the sender once.</summary>
    public ValueTask<ProduceResult> Task => new(this, _promise.Version);

    /// <summary>Says what the sender will hear; the last word counts.</summary>
    public void Decide(in ProduceResult result)
    {
        _result = result;
        IsDecided = true;
    }

    /// <summary>Lets the senders of this one, and of those that follow it, who all have one home, hear it. From here on the operations are
    /// no longer the append loop's.</summary>
    public void Complete()
    {
        for (var operation = this; operation is not null; operation = operation.Next)
            operation.ReleaseBatch();
        if (Home is { } home)
            home(this);
        else
            ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: false);
    }

    /// <summary>The same on the thread of the sender, who has not begun to wait.</summary>
    public void CompleteNow()
    {
        ReleaseBatch();
        _promise.SetResult(_result);
    }

    private void ReleaseBatch()
    {
        Owned?.Dispose();
        Owned = null;
        Batch = default;
    }

    /// <inheritdoc/>
    void IThreadPoolWorkItem.Execute()
    {
        for (var operation = this; operation is not null;)
        {
            // Once completed it may be another's.
            var next = operation.Next;
            operation.Next = null;
            operation._promise.SetResult(operation._result);
            operation = next;
        }
    }

    /// <inheritdoc/>
    ProduceResult IValueTaskSource<ProduceResult>.GetResult(short token)
    {
        var result = _promise.GetResult(token);
        _promise.Reset();
        _result = default;
        IsDecided = false;
        IsDuplicate = false;
        IsWaiting = false;
        Sender = null;
        pool.Return(this);
        return result;
    }

    /// <inheritdoc/>
    ValueTaskSourceStatus IValueTaskSource<ProduceResult>.GetStatus(short token) => _promise.GetStatus(token);

    /// <inheritdoc/>
    void IValueTaskSource<ProduceResult>.OnCompleted(Action<object?> continuation, object? state, short token,
        ValueTaskSourceOnCompletedFlags flags) =>
        _promise.OnCompleted(continuation, state, token, flags);
}

/// <summary>
/// Operations that wait to be used again: as many as are in flight in a busy broker; more than that are left to the garbage collector, as
/// are
/// those whose sender never looked at the result.
/// </summary>
internal sealed class AppendOperationPool
{
    /// <summary>A few hundred producers with five batches each.</summary>
    private const int Capacity = 2048;

    private readonly Lock _lock = new();
    private readonly AppendOperation?[] _free = new AppendOperation?[Capacity];
    private int _count;

    /// <summary>An operation of one's own.</summary>
    public AppendOperation Rent()
    {
        lock (_lock)
        {
            if (_count > 0)
            {
                var operation = _free[--_count]!;
                _free[_count] = null;
                return operation;
            }
        }
        return new AppendOperation(this);
    }

    /// <summary>Gives it back, reset.</summary>
    public void Return(AppendOperation operation)
    {
        lock (_lock)
        {
            if (_count < Capacity)
                _free[_count++] = operation;
        }
    }
}
