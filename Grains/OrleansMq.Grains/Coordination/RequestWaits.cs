namespace OrleansMq.Grains.Coordination;

/// <summary>Requests that may wait for minutes, in calls that take seconds. For the turns of one grain.</summary>
/// <param name="time">The clock.</param>
/// <param name="slice">How long one call waits; null: <see cref="Slice"/>.</param>
/// <param name="keptFor">How long an answer is kept that no call fetches; null: 20 seconds.</param>
internal sealed class RequestWaits(TimeProvider time, TimeSpan? slice = null, TimeSpan? keptFor = null)
{
    /// <summary>How long one call waits: half of what a call may take.</summary>
    public static readonly TimeSpan Slice = TimeSpan.FromSeconds(5);

    // A caller that has not asked for so long after the answer came is gone.
    private static readonly TimeSpan KeptFor = TimeSpan.FromSeconds(20);

    private readonly Dictionary<Guid, Task> _waiting = [];

    /// <summary>How many requests are under way, or answered and not fetched.</summary>
    public int Count => _waiting.Count;

    /// <summary>Waits for a request for a while; begins it where that id is new.</summary>
    /// <param name="wait">The request's id.</param>
    /// <param name="begin">Begins it.</param>
    /// <param name="cancellationToken">Ends the wait; the request goes on.</param>
    /// <returns>Its answer; null: none yet.</returns>
    public async Task<T?> WaitAsync<T>(Guid wait, Func<Task<T>> begin, CancellationToken cancellationToken = default) where T : class
    {
        var request = _waiting.TryGetValue(wait, out var known) ? known as Task<T> : null;
        if (request is null)
        {
            request = begin();
            if (!request.IsCompleted)
            {
                _waiting[wait] = request;
                _ = ForgetAsync(wait, request);
            }
        }
        using var answered = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        await Task.WhenAny(request, Task.Delay(slice ?? Slice, time, answered.Token));
        await answered.CancelAsync();
        cancellationToken.ThrowIfCancellationRequested();
        if (!request.IsCompleted)
            return null;
        _waiting.Remove(wait);
        return await request;
    }

    private async Task ForgetAsync(Guid wait, Task request)
    {
        await Task.WhenAny(request);
        await Task.Delay(keptFor ?? KeptFor, time);
        if (_waiting.TryGetValue(wait, out var known) && known == request)
            _waiting.Remove(wait);
    }
}
