namespace OrleansMq.Gateways.Http.Queueing;

/// <summary>
/// Bounds the consumers of queues that clients attach over this gateway: each takes memory at its partition's leader until it detaches or
/// its session ends. A place is free again when its consumer detaches, or was not heard of for its session timeout. Thread safe.
/// </summary>
/// <param name="clock">The clock.</param>
internal sealed class AttachedConsumers(TimeProvider clock)
{
    /// <summary>The most consumers of all clients.</summary>
    public const int Most = 20_000;

    /// <summary>The most of one address.</summary>
    public const int MostOfOne = 5_000;

    private readonly Lock _lock = new();
    private readonly Dictionary<Guid, Entry> _consumers = [];
    private readonly Dictionary<string, int> _places = []; // those being attached, too
    private int _count;

    /// <summary>The places that are taken.</summary>
    public int Count
    {
        get
        {
            lock (_lock)
                return _count;
        }
    }

    /// <summary>Takes a place for a consumer that is being attached; disposing it gives back a place that is not used.</summary>
    /// <param name="client">The client's address.</param>
    /// <exception cref="RequestException">There is none.</exception>
    public Place Take(string client)
    {
        lock (_lock)
        {
            if (!HasPlace(client))
                ForgetEnded();
            if (!HasPlace(client))
                throw new RequestException(StatusCodes.Status429TooManyRequests, ErrorCode.PolicyViolation, _count >= Most
                    ? $"{Most} consumers of queues are attached over this broker's HTTP API, the most there may be. Use another broker."
                    : $"{MostOfOne} consumers of queues are attached from {client}, the most there may be. Detach some.");
            _places[client] = _places.GetValueOrDefault(client) + 1;
            _count++;
        }
        return new Place(this, client);
    }

    /// <summary>Notes a call of a consumer.</summary>
    /// <param name="consumer">Its id.</param>
    /// <param name="wait">How long the call may take.</param>
    public void Heard(Guid consumer, TimeSpan wait)
    {
        lock (_lock)
        {
            if (_consumers.TryGetValue(consumer, out var entry))
                _consumers[consumer] = entry with { Ends = Now + wait + entry.Timeout };
        }
    }

    /// <summary>Gives the place of a consumer back.</summary>
    /// <param name="consumer">Its id.</param>
    /// <param name="partition">Where it was detached. At another partition than its own it goes on.</param>
    public void Forget(Guid consumer, TopicPartition partition)
    {
        lock (_lock)
        {
            if (_consumers.TryGetValue(consumer, out var entry) && entry.Partition == partition && _consumers.Remove(consumer))
                Return(entry.Client);
        }
    }

    private DateTimeOffset Now => clock.GetUtcNow();

    private bool HasPlace(string client) => _count < Most && _places.GetValueOrDefault(client) < MostOfOne;

    private void ForgetEnded()
    {
        var now = Now;
        foreach (var (consumer, entry) in _consumers)
        {
            if (entry.Ends <= now && _consumers.Remove(consumer))
                Return(entry.Client);
        }
    }

    private void Return(string client)
    {
        _count--;
        if (--_places[client] == 0)
            _places.Remove(client);
    }

    private readonly record struct Entry(string Client, TopicPartition Partition, TimeSpan Timeout, DateTimeOffset Ends);

    /// <summary>A place for a consumer.</summary>
    public sealed class Place(AttachedConsumers consumers, string client) : IDisposable
    {
        private bool _isUsed;

        /// <summary>The consumer is attached.</summary>
        public void Use(Guid consumer, TopicPartition partition, TimeSpan timeout)
        {
            lock (consumers._lock)
                consumers._consumers[consumer] = new Entry(client, partition, timeout, consumers.Now + timeout);
            _isUsed = true;
        }

        /// <inheritdoc/>
        public void Dispose()
        {
            if (_isUsed)
                return;
            lock (consumers._lock)
                consumers.Return(client);
        }
    }
}
