using OrleansMq.Api;

namespace OrleansMq.Grains.Brokers;

/// <summary>
/// The way of one partition's batches to its grain, in the order in which they come. A call costs about as much whether it carries one
/// batch or several: so no more than <see cref="MaxCalls"/> are under way at once, and what comes meanwhile goes together into the next.
/// Thread safe.
/// <para>A batch is in one of three states. <i>Waiting</i>: its memory is its sender's, nobody else knows it. <i>Under way</i>: it is lent
/// to a call. <i>Done</i>: the call has ended, however it ended, what was lent is revoked, and the sender gets his batch's own result;
/// where the call was not answered, its exception.</para>
/// </summary>
/// <param name="grain">The partition's.</param>
/// <param name="acks">When a batch counts as appended: those that wait for all replicas have a lane of their own, so that the others do not
/// wait for these.</param>
/// <param name="deaths">Ends the waiting for a broker that died; null where Orleans does.</param>
internal sealed class AppendLane(IPartitionAppendGrain grain, Acks acks, BrokerDeaths? deaths) : IThreadPoolWorkItem
{
    /// <summary>Calls under way at once: one that is being worked on, and one on its way, so that the grain need not wait for the
    /// next.</summary>
    public const int MaxCalls = 2;

    /// <summary>The most that one call carries, unless a batch alone is larger: beside so many bytes a call is nothing. What fills a call
    /// does not wait for another one's end.</summary>
    public const int MaxBytes = 256 << 10;

    /// <summary>As many small batches as the broker writes together.</summary>
    public const int MaxBatches = 64;

    private readonly Lock _lock = new();
    private readonly Queue<Append> _waiting = new();
    private long _waitingBytes;
    private int _calls;
    // A call has ended; what waits goes on its way after those who waited for it have had their turn, since most have the next batch.
    private bool _isScheduled;

    /// <summary>Appends a batch.</summary>
    /// <param name="batch">Left alone by its sender until the task has completed.</param>
    public Task<ProduceResult> AppendAsync(Memory<byte> batch)
    {
        var append = new Append(batch);
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

    // Under the lock, so that the calls go out in the order of their batches: a call's first part only hands it over.
    private void BeginCalls()
    {
        while (_waiting.Count > 0 && (_waitingBytes >= MaxBytes || (!_isScheduled && _calls < MaxCalls)))
        {
            _calls++;
            _ = CallAsync(Take());
        }
    }

    private Append[] Take()
    {
        var (count, bytes) = (0, 0L);
        foreach (var append in _waiting)
        {
            if (count == MaxBatches || (count > 0 && bytes + append.Batch.Length > MaxBytes))
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

    private async Task CallAsync(Append[] appends)
    {
        var lent = Array.ConvertAll(appends, static append => BatchInCall.Lend(append.Batch));
        ProduceResult[]? results = null;
        Exception? fault = null;
        try
        {
            results = lent.Length == 1
                ? [await Answer(grain.AppendAsync(lent[0], acks)).ConfigureAwait(false)]
                : await Answer(grain.AppendManyAsync(lent, acks)).ConfigureAwait(false);
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
            _calls--;
            if (!_isScheduled)
            {
                // First onto this thread's stack of work, and so behind those who are told now; a thread that has nothing to do may take it
                // before.
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

    private Task<T> Answer<T>(Task<T> call) => deaths?.AnswerAsync(call) ?? call;

    private sealed class Append(Memory<byte> batch)
        : TaskCompletionSource<ProduceResult>(TaskCreationOptions.RunContinuationsAsynchronously)
    {
        public Memory<byte> Batch => batch;
    }
}
