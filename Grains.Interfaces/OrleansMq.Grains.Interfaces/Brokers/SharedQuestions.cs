namespace OrleansMq.Grains.Brokers;

/// <summary>One question at a time about each key. Those who ask while one is on its way share the next one, which begins behind all of
/// them: its answer is none from before. Thread safe.</summary>
/// <param name="ask">Asks about a key.</param>
internal sealed class SharedQuestions<T>(Func<string, Task<T>> ask)
{
    // Keys with a question on its way, each with the next one; null: nobody waits for one.
    private readonly Dictionary<string, TaskCompletionSource<T>?> _asked = new(StringComparer.Ordinal);

    /// <summary>Asks about a key.</summary>
    public Task<T> AskAsync(string key)
    {
        var answer = new TaskCompletionSource<T>(TaskCreationOptions.RunContinuationsAsynchronously);
        lock (_asked)
        {
            if (_asked.TryGetValue(key, out var next))
            {
                _asked[key] = next ?? answer;
                return (next ?? answer).Task;
            }
            _asked.Add(key, null);
        }
        // Not in the context of who asks first: it has what belongs to that caller's request, and others share the answers.
        using (ExecutionContext.SuppressFlow())
            _ = Task.Run(() => RunAsync(key, answer));
        return answer.Task;
    }

    private async Task RunAsync(string key, TaskCompletionSource<T> answer)
    {
        for (TaskCompletionSource<T>? next = answer; next is not null;)
        {
            try
            {
                next.SetResult(await ask(key).ConfigureAwait(false));
            }
            catch (Exception fault)
            {
                // Theirs who ask.
                next.SetException(fault);
            }
            lock (_asked)
            {
                if ((next = _asked[key]) is null)
                    _asked.Remove(key);
                else
                    _asked[key] = null;
            }
        }
    }
}
