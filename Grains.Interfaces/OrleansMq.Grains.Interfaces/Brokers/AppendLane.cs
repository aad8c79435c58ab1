using OrleansMq.Api;

namespace OrleansMq.Grains.Brokers;

/// <summary>
/// Sends one partition's batches to its grain in the order of their arrival. A call costs about the same with one batch or several. So at
/// most <see cref="MaxCalls"/> are in flight, and batches that arrive meanwhile share the next call. Thread safe.
/// <para>A batch is in one of three states. <i>Waiting</i>: its memory belongs to the sender and is not shared. <i>In flight</i>: it is
/// lent to a call. <i>Done</i>: the call has ended, successfully or not, and the lent memory is revoked. The sender gets the result of its
/// own batch, or the call's exception.</para>
/// <para>Batches that wait for no flush have calls of their own, as many again, so that they do not wait for those that do. The order
/// stays: what arrives behind a batch that waits for its call shares that call, and its answer.</para>
/// </summary>
/// <param name="grain">The partition's grain.</param>
/// <param name="acks">When a batch counts as appended, unless it waits for no flush. acks=1 has a lane of its own, so that it does not wait
/// behind acks=all.</param>
/// <param name="deaths">Ends waits for a dead broker; null where Orleans does so.</param>
internal sealed class AppendLane(PartitionCalls grain, Acks acks, BrokerDeaths? deaths) : IThreadPoolWorkItem
{
    /// <summary>The most calls in flight: one in progress and one on its way, so that the grain does not wait for the next.</summary>
    public const int MaxCalls = 2;

    /// <summary>The most bytes that one call carries, unless a single batch is larger. At this size the cost of a call is negligible. A
    /// full call is sent even while <see cref="MaxCalls"/> are in flight.</summary>
    public const int MaxBytes = 256 << 10;

    /// <summary>The most batches that one call carries: as many small ones as the broker writes together.</summary>
    public const int MaxBatches = 64;

    private readonly Lock _lock = new();
    private readonly Queue<Append> _waiting = new();
    private long _waitingBytes;
    private int _calls;
    private int _unflushedCalls;
    // A call has ended. The next one starts after its senders were resumed, since most of them have another batch ready.
    private bool _isScheduled;

    /// <summary>Appends a batch.</summary>
    /// <param name="batch">The sender leaves it unchanged until the task has completed.</param>
    /// <param name="isUnflushed">Whether it is appended with <see cref="Acks.Replicated"/>, in the lane of <see cref="Acks.All"/>.</param>
    public Task<ProduceResult> AppendAsync(Memory<byte> batch, bool isUnflushed = false)
    {
        var append = new Append(batch, isUnflushed);
        lock (_lock)
        {
            _waiting.Enqueue(append);
            _waitingBytes += batch.Length;
            BeginCalls();
        }
        return append.Task;
    }

    void IThreadPoolWorkItem.Execute()
    {
        lock (_lock)
        {
            _isScheduled = false;
            BeginCalls();
        }
    }

    // Called under the lock, so that calls start in the order of their batches. The synchronous part of a call only hands it over.
    private void BeginCalls()
    {
        while (_waiting.TryPeek(out var first)
            && (_waitingBytes >= MaxBytes || (!_isScheduled && CallsOf(first.IsUnflushed) < MaxCalls)))
        {
            CallsOf(first.IsUnflushed)++;
            _ = CallAsync(Take(first.IsUnflushed), first.IsUnflushed);
        }
    }

    private ref int CallsOf(bool isUnflushed) => ref isUnflushed ? ref _unflushedCalls : ref _calls;

    private Append[] Take(bool isUnflushed)
    {
        var (count, bytes) = (0, 0L);
        foreach (var append in _waiting)
        {
            if (count == MaxBatches || (count > 0 && bytes + append.Batch.Length > MaxBytes) || (isUnflushed && !append.IsUnflushed))
                break;
            count++;
            bytes += append.Batch.Length;
        }
        _waitingBytes -= bytes;
        var taken = new Append[count];
        for (var i = 0; i < count; i++)
            taken[i] = _waiting.Dequeue();
        return taken;
    }

    private async Task CallAsync(Append[] appends, bool isUnflushed)
    {
        var lent = Array.ConvertAll(appends, static append => BatchInCall.Lend(append.Batch));
        ProduceResult[]? results = null;
        Exception? fault = null;
        try
        {
            results = await SendAsync(lent, isUnflushed ? Acks.Replicated : acks).ConfigureAwait(false);
            // A broker of an earlier version does not know the level, and appended nothing.
            if (isUnflushed && Array.TrueForAll(results, static result => result.Error == ErrorCode.InvalidRequiredAcks))
                results = await SendAsync(lent, acks).ConfigureAwait(false);
            if (results.Length != appends.Length)
                throw new InvalidOperationException($"{appends.Length} batches were answered with {results.Length} results.");
        }
        catch (Exception exception)
        {
            fault = exception;
        }
        foreach (var batch in lent)
            batch.Dispose();
        lock (_lock)
        {
            CallsOf(isUnflushed)--;
            if (!_isScheduled)
            {
                // Queued first on this thread's local stack, so it runs after the continuations below. An idle thread may take it earlier.
                _isScheduled = true;
                ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: true);
            }
        }
        for (var i = appends.Length - 1; i >= 0; i--)
        {
            if (fault is null)
                appends[i].SetResult(results![i]);
            else
                appends[i].SetException(fault);
        }
    }

    private async Task<ProduceResult[]> SendAsync(BatchInCall[] lent, Acks level) => lent.Length == 1
        ? [await Answer(grain.AppendAsync(lent[0], level)).ConfigureAwait(false)]
        : await Answer(grain.AppendManyAsync(lent, level)).ConfigureAwait(false);

    private Task<T> Answer<T>(Task<T> call) => deaths?.AnswerAsync(call) ?? call;

    private sealed class Append(Memory<byte> batch, bool isUnflushed)
        : TaskCompletionSource<ProduceResult>(TaskCreationOptions.RunContinuationsAsynchronously)
    {
        public Memory<byte> Batch => batch;
        public bool IsUnflushed => isUnflushed;
    }
}
