namespace OrleansMq.Gateways.Amqp.Queues;

/// <summary>Questions about keys: callers that ask about one share a question, and its answer for a time. Answers that are older are
/// forgotten. Thread safe.</summary>
/// <param name="ask">Asks about a key. It does not fail.</param>
/// <param name="pause">How long an answer holds from its question on.</param>
/// <param name="time">The clock.</param>
internal sealed class SpacedQuestions<T>(Func<string, Task<T>> ask, TimeSpan pause, TimeProvider time)
{
    private readonly Dictionary<string, (Task<T> Answer, long Since)> _asked = new(StringComparer.Ordinal);

    /// <summary>The number of answers that are kept.</summary>
    public int Count
    {
        get
        {
            lock (_asked)
                return _asked.Count;
        }
    }

    /// <summary>Asks about a key.</summary>
    public Task<T> AskAsync(string key)
    {
        lock (_asked)
        {
            if (_asked.TryGetValue(key, out var last) && !IsOver(last))
                return last.Answer;
            foreach (var (other, asked) in _asked)
            {
                if (IsOver(asked))
                    _asked.Remove(other);
            }
            var answer = ask(key);
            _asked[key] = (answer, time.GetTimestamp());
            return answer;
        }
    }

    private bool IsOver((Task<T> Answer, long Since) asked) => asked.Answer.IsCompleted && time.GetElapsedTime(asked.Since) >= pause;
}
