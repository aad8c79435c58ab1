namespace OrleansMq.Streams;

/// <summary>The newest reading of each subscription that activations of a silo are replayed for. One begins when the one before it has
/// ended: it then knows what has failed in that one, whose activation has ended. Thread-safe.</summary>
internal sealed class ReplayReadings
{
    // Held for a moment.
    private readonly Lock _gate = new();
    private readonly Dictionary<Guid, (StreamReading Reading, Action Leave)> _newest = [];

    /// <summary>Begins the reading of a replay, and has the replay before it leave: an activation that hangs would keep its own for ever.
    /// </summary>
    /// <param name="subscription">The subscription.</param>
    /// <param name="reading">The reading.</param>
    /// <param name="observer">Receives the events.</param>
    /// <param name="from">Where it begins.</param>
    /// <param name="leave">Ends the reading, and the calls that it waits for.</param>
    public void Begin(Guid subscription, StreamReading reading, IStreamObserver observer, StreamBegin from, Action leave)
    {
        Action? leaveBefore;
        lock (_gate)
        {
            var (before, leaveIt) = _newest.GetValueOrDefault(subscription);
            leaveBefore = leaveIt;
            reading.Begin(observer, from, before?.Running);
            _newest[subscription] = (reading, leave);
        }
        leaveBefore?.Invoke();
        _ = ForgetAsync(subscription, reading);
    }

    private async Task ForgetAsync(Guid subscription, StreamReading reading)
    {
        await reading.Running.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        lock (_gate)
        {
            if (_newest.GetValueOrDefault(subscription).Reading == reading)
                _newest.Remove(subscription);
        }
    }
}
