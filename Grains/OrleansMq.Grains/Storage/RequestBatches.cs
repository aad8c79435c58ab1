namespace OrleansMq.Grains.Storage;

/// <summary>
/// Carries out requests in batches: those that arrive while others are under way share the next batch. A request that is alone waits for no
/// other. Thread safe.
/// </summary>
/// <typeparam name="TRequest">A request.</typeparam>
/// <typeparam name="TAnswer">Its answer.</typeparam>
/// <param name="run">Carries out a batch, and returns the answers in the order of the requests. If it fails, every request of the batch
/// fails so, unless <paramref name="mayBeOfOne"/>.</param>
/// <param name="lanes">The most batches at a time.</param>
/// <param name="most">The most requests of a batch.</param>
/// <param name="maxWait">How long a request waits for its batch at most. Callers give up and try again: what they have left behind would
/// keep the others waiting for minutes after an outage.</param>
/// <param name="time">The clock.</param>
/// <param name="mayBeOfOne">Whether a failure left nothing done, and may be that of one request: then the others of the batch are carried
/// out, each on its own. Null: never.</param>
internal sealed class RequestBatches<TRequest, TAnswer>(Func<IReadOnlyList<TRequest>, Task<IReadOnlyList<TAnswer>>> run, int lanes,
    int most, TimeSpan maxWait, TimeProvider time, Func<Exception, bool>? mayBeOfOne = null)
{
    // Requests of their own take no longer than this: then those that wait behind them have their turn, before the rest.
    private static readonly TimeSpan Apart = TimeSpan.FromSeconds(3);

    private readonly Lock _lock = new();
    private readonly Queue<Waiting> _waiting = new();
    private int _running;

    /// <summary>Carries out a request.</summary>
    /// <exception cref="TimeoutException">It waited too long, and was not carried out.</exception>
    public Task<TAnswer> RunAsync(TRequest request)
    {
        var waiting = new Waiting(request, time.GetTimestamp());
        lock (_lock)
        {
            _waiting.Enqueue(waiting);
            if (_running == lanes)
                return waiting.Answer.Task;
            _running++;
        }
        // Not on the caller's thread, which may be a grain's.
        _ = Task.Run(WorkAsync);
        return waiting.Answer.Task;
    }

    private async Task WorkAsync()
    {
        while (Take() is { Length: > 0 } batch)
        {
            try
            {
                var answers = await run(Array.ConvertAll(batch, one => one.Request)).ConfigureAwait(false);
                for (var i = 0; i < batch.Length; i++)
                    batch[i].Answer.SetResult(answers[i]);
            }
            catch (Exception failure) when (batch.Length > 1 && mayBeOfOne is not null && mayBeOfOne(failure))
            {
                await RunApartAsync(batch).ConfigureAwait(false);
            }
            catch (Exception failure)
            {
                // The callers handle it.
                foreach (var one in batch)
                    one.Answer.TrySetException(failure);
            }
        }
    }

    private async Task RunApartAsync(Waiting[] batch)
    {
        var began = time.GetTimestamp();
        for (var i = 0; i < batch.Length; i++)
        {
            if (time.GetElapsedTime(began) >= Apart)
            {
                lock (_lock)
                {
                    foreach (var rest in batch.AsSpan(i))
                        _waiting.Enqueue(rest);
                }
                return;
            }
            try
            {
                batch[i].Answer.SetResult((await run([batch[i].Request]).ConfigureAwait(false))[0]);
            }
            catch (Exception own)
            {
                batch[i].Answer.SetException(own);
            }
        }
    }

    private Waiting[] Take()
    {
        lock (_lock)
        {
            var batch = new List<Waiting>(Math.Min(_waiting.Count, most));
            while (batch.Count < most && _waiting.TryDequeue(out var next))
            {
                if (time.GetElapsedTime(next.Since) < maxWait)
                    batch.Add(next);
                else
                    next.Answer.SetException(new TimeoutException($"The request waited for {maxWait} behind others, and was not sent."));
            }
            if (batch.Count == 0)
                _running--;
            return [.. batch];
        }
    }

    private sealed class Waiting(TRequest request, long since)
    {
        public TRequest Request => request;

        public long Since => since;

        public TaskCompletionSource<TAnswer> Answer { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
    }
}
