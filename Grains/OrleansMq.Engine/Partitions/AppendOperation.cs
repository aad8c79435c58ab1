using System.Threading.Tasks.Sources;
using OrleansMq.Api;
using OrleansMq.Dedupe;
using OrleansMq.Producers;
using OrleansMq.Records;

namespace OrleansMq.Partitions;

/// <summary>
/// One append: its batch, and the promise to its sender. Operations are reused, so an append in steady state allocates nothing. The
/// continuation runs on the thread pool or at the sender's home, never on an append thread, and the operation is its own work item.
/// </summary>
internal sealed class AppendOperation(AppendOperationPool pool) : IAppend, IValueTaskSource<ProduceResult>, IThreadPoolWorkItem
{
    private ManualResetValueTaskSourceCore<ProduceResult> _promise;
    private ProduceResult _result;

    /// <summary>Identifies the thread that may complete it: a burst, or the operation itself.</summary>
    public object? Sender { get; set; }
    /// <summary>Runs the completion; null for the thread pool.</summary>
    public Action<IThreadPoolWorkItem>? Home => (Sender as AppendBurst)?.Home;
    /// <summary>The next operation in the queue; later the next that is completed with it.</summary>
    public AppendOperation? Next { get; set; }
    /// <summary>The batch's bytes: the sender's memory, or <see cref="Owned"/>.</summary>
    public Memory<byte> Batch { get; set; }
    /// <summary>The batch's header. The append loop sets the offset.</summary>
    public RecordBatchHeader Header { get; set; }
    /// <summary>A copy of the batch, if the broker changes more than offset and epoch.</summary>
    public PooledBuffer? Owned { get; set; }
    /// <summary>The sender of a control batch; null for a producer's batch.</summary>
    public IControlAppend? Control { get; set; }
    /// <summary>Why the topic does not take the batch, which is then answered if it is in the log, and refused if not; null: it takes
    /// it.</summary>
    public ProduceResult? Refusal { get; set; }
    /// <summary>What the coordinator said of its transaction.</summary>
    public VerifiedTransaction Verified { get; set; }
    /// <summary>The message id of each record; null: none has one, or the topic keeps no ids.</summary>
    public UInt128[]? Ids { get; set; }
    /// <summary>The most bytes of the control batch that claims the <see cref="Ids"/>; 0 without ids.</summary>
    public int ClaimBytes { get; set; }
    /// <summary>The most bytes that it adds to the log.</summary>
    public long Bytes => (long)Batch.Length + ClaimBytes;
    /// <summary>What becomes of records with <see cref="Ids"/>.</summary>
    public DedupeDecision Dedupe { get; set; }
    /// <summary>The batch without the records that were known when the append began; null if there was no need.</summary>
    public FilteredBatch? Filtered { get; set; }
    /// <summary>Whether the batch is too large to be filtered under the append lock.</summary>
    public bool IsFilteredAhead { get; set; }
    /// <summary>Whether all its records are in the log.</summary>
    public bool IsLeftOut => Ids is not null && Dedupe.LeftOut == Ids.Length;
    /// <summary>The header of the control batch that claims the <see cref="Ids"/>, right before the batch.</summary>
    public RecordBatchHeader Claim { get; set; }
    /// <summary>Whether the batch was in the log before, at <see cref="OriginalOffset"/> if that is known.</summary>
    public bool IsDuplicate { get; set; }
    /// <summary>The base offset of a duplicate's original; -1: it is forgotten.</summary>
    public long OriginalOffset { get; set; }
    /// <summary>The offset after the last record of a duplicate's original; if that is forgotten, one that is not below it.</summary>
    public long OriginalEnd { get; set; }
    /// <inheritdoc/>
    public Acks Acks { get; set; }
    /// <inheritdoc/>
    public bool IsWritten => IsDecided && _result.Error is ErrorCode.None or ErrorCode.DuplicateSequenceNumber;
    /// <summary>Its number while it <see cref="IsWaiting"/>.</summary>
    public long Waiter { get; set; }
    /// <summary>Whether it is in the log and waits for other replicas. The partition's replication then completes it.</summary>
    public bool IsWaiting { get; set; }
    /// <summary>Whether <see cref="Decide"/> was called.</summary>
    public bool IsDecided { get; private set; }

    /// <summary>The promise; given to the sender once.</summary>
    public ValueTask<ProduceResult> Task => new(this, _promise.Version);

    /// <summary>Sets the result. A later call replaces it.</summary>
    public void Decide(in ProduceResult result)
    {
        _result = result;
        IsDecided = true;
    }

    /// <summary>Completes this operation and those linked after it, which have the same home. The caller must not use them any
    /// more.</summary>
    public void Complete()
    {
        for (var operation = this; operation is not null; operation = operation.Next)
            operation.ReleaseBatch();
        if (Home is { } home)
            home(this);
        else
            ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: false);
    }

    /// <summary>Completes this operation on the sender's thread, before the sender waits for it.</summary>
    public void CompleteNow()
    {
        ReleaseBatch();
        _promise.SetResult(_result);
    }

    private void ReleaseBatch()
    {
        Owned?.Dispose();
        Owned = null;
        Filtered?.Dispose();
        Filtered = null;
        Batch = default;
    }

    /// <summary>Returns an operation that was not queued to the pool. Its sender was not given the promise.</summary>
    public void Abandon()
    {
        ReleaseBatch();
        ForgetIds();
        Verified = default;
        pool.Return(this);
    }

    private void ForgetIds()
    {
        if (Ids is not null)
            (Ids, ClaimBytes, Dedupe, Claim, IsFilteredAhead) = (null, 0, default, default, false);
    }

    /// <inheritdoc/>
    void IThreadPoolWorkItem.Execute()
    {
        for (var operation = this; operation is not null;)
        {
            // A completed operation may be reused at once.
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
        ForgetIds();
        Sender = null;
        Control = null;
        Refusal = null;
        Verified = default;
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
/// Operations for reuse: as many as a busy broker has in flight. The garbage collector takes the rest, and those of senders that never read
/// their result.
/// </summary>
internal sealed class AppendOperationPool
{
    /// <summary>A few hundred producers with five batches each.</summary>
    private const int Capacity = 2048;

    private readonly Lock _lock = new();
    private readonly AppendOperation?[] _free = new AppendOperation?[Capacity];
    private int _count;

    /// <summary>Takes an operation out of the pool, or makes one.</summary>
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

    /// <summary>Returns a reset operation.</summary>
    public void Return(AppendOperation operation)
    {
        lock (_lock)
        {
            if (_count < Capacity)
                _free[_count++] = operation;
        }
    }
}
