namespace OrleansMq.Grains.Storage;

/// <summary>
/// Carries out requests in batches: those that arrive while others are under way share the next batch. A request that is alone waits for no
/// other. Thread safe.
/// </summary>
/// <typeparam name="TRequest">A request.</typeparam>
/// <typeparam name="TAnswer">Its answer.</typeparam>
/// <param name="run">Carries out a batch, and returns the answers in the order of the requests. If it fails, every request of the batch
/// fails so.</param>
/// <param name="lanes">The most batches at a time.</param>
/// <param name="most">The most requests of a batch.</param>
internal sealed class RequestBatches<TRequest, TAnswer>(Func<IReadOnlyList<TRequest>, Task<IReadOnlyList<TAnswer>>> run, int lanes,
    int most)
{
    private readonly Lock _lock = new();
    private readonly Queue<Waiting> _waiting = new();
    private int _running;

    /// <summary>Carries out a request.</summary>
    public Task<TAnswer> RunAsync(TRequest request)
    {
        var waiting = new Waiting(request);
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
            catch (Exception failure)
            {
                // The callers handle it.
                foreach (var one in batch)
                    one.Answer.TrySetException(failure);
            }
        }
    }

    private Waiting[] Take()
    {
        lock (_lock)
        {
            var batch = new Waiting[Math.Min(_waiting.Count, most)];
            for (var i = 0; i < batch.Length; i++)
                batch[i] = _waiting.Dequeue();
            if (batch.Length == 0)
                _running--;
            return batch;
        }
    }

    private sealed class Waiting(TRequest request)
    {
        public TRequest Request => request;

        public TaskCompletionSource<TAnswer> Answer { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
    }
}
