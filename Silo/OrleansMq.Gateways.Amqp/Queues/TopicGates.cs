namespace OrleansMq.Gateways.Amqp.Queues;

/// <summary>Gates of queues' topics: the creation and deletion of one name's topic do not overlap. Those of another name do not wait for
/// them, since they take as long as a partition has no leader. A gate exists while it is used. Thread safe.</summary>
internal sealed class TopicGates
{
    private readonly Lock _lock = new();
    private readonly Dictionary<(string VirtualHost, string Queue), (SemaphoreSlim Free, int Users)> _gates = [];

    /// <summary>Enters a queue's gate as soon as it is free. Disposing the result leaves it.</summary>
    /// <param name="virtualHost">The virtual host.</param>
    /// <param name="queue">The queue's name.</param>
    public async Task<IDisposable> EnterAsync(string virtualHost, string queue)
    {
        var key = (virtualHost, queue);
        SemaphoreSlim free;
        lock (_lock)
        {
            var (known, users) = _gates.GetValueOrDefault(key);
            free = known ?? new SemaphoreSlim(1);
            _gates[key] = (free, users + 1);
        }
        await free.WaitAsync().ConfigureAwait(false);
        return new Stay(this, key);
    }

    private void Leave((string VirtualHost, string Queue) key)
    {
        lock (_lock)
        {
            var (free, users) = _gates[key];
            if (users == 1)
                _gates.Remove(key);
            else
                _gates[key] = (free, users - 1);
            free.Release();
        }
    }

    private sealed class Stay(TopicGates gates, (string VirtualHost, string Queue) key) : IDisposable
    {
        public void Dispose() => gates.Leave(key);
    }
}
