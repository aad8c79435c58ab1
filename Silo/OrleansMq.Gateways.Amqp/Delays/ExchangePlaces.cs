namespace OrleansMq.Gateways.Amqp.Delays;

/// <summary>The places in which the messages of each exchange are published: 64 at a time. A message waits a second for one: the others are
/// published meanwhile, unless a queue does not answer. So messages for such a queue leave room for other exchanges. Thread
/// safe.</summary>
internal sealed class ExchangePlaces
{
    /// <summary>The places of one exchange.</summary>
    internal const int Most = 64;

    private static readonly TimeSpan LongestWait = TimeSpan.FromSeconds(1);

    private readonly Lock _lock = new();
    private readonly Dictionary<string, (SemaphoreSlim Places, int Users)> _exchanges = new(StringComparer.Ordinal);

    /// <summary>Takes a place.</summary>
    /// <param name="exchange">The exchange.</param>
    /// <returns>False: none was free in time.</returns>
    public async ValueTask<bool> TryTakeAsync(string exchange)
    {
        SemaphoreSlim places;
        lock (_lock)
        {
            var (known, users) = _exchanges.GetValueOrDefault(exchange);
            places = known ?? new SemaphoreSlim(Most);
            _exchanges[exchange] = (places, users + 1);
        }
        if (await places.WaitAsync(LongestWait).ConfigureAwait(false))
            return true;
        Leave(exchange);
        return false;
    }

    /// <summary>Gives a place back.</summary>
    public void Give(string exchange)
    {
        lock (_lock)
            _exchanges[exchange].Places.Release();
        Leave(exchange);
    }

    private void Leave(string exchange)
    {
        lock (_lock)
        {
            var (places, users) = _exchanges[exchange];
            if (users > 1)
                _exchanges[exchange] = (places, users - 1);
            else
                _exchanges.Remove(exchange);
        }
    }
}
