namespace OrleansMq.Streams;

/// <summary>The newest reading of each subscription that activations of a silo are replayed for. One begins when the one before it has
/// ended: it then knows what has failed in that one, whose activation has ended. Thread-safe.</summary>
internal sealed class ReplayReadings
{
    // Held for a moment.
    private readonly Lock _gate = new();
    private readonly Dictionary<Guid, StreamReading> _newest = [];

    /// <summary>Begins the reading of a replay. The replay before has left, or leaves with its activation.</summary>
    /// <param name="subscription">The subscription.</param>
    /// <param name="reading">The reading.</param>
    /// <param name="observer">Receives the events.</param>
    /// <param name="from">Where it begins.</param>
    public void Begin(Guid subscription, StreamReading reading, IStreamObserver observer, StreamBegin from)
    {
        lock (_gate)
        {
            reading.Begin(observer, from, _newest.GetValueOrDefault(subscription)?.Running);
            _newest[subscription] = reading;
        }
        _ = ForgetAsync(subscription, reading);
    }

    private async Task ForgetAsync(Guid subscription, StreamReading reading)
    {
        await reading.Running.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        lock (_gate)
        {
            if (_newest.GetValueOrDefault(subscription) == reading)
                _newest.Remove(subscription);
        }
    }
}
