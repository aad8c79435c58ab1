namespace OrleansMq.Gateways.Amqp.Queues;

/// <summary>Counts the open connections of each virtual host. Thread safe.</summary>
internal sealed class HostConnections
{
    private readonly Lock _lock = new();
    private readonly Dictionary<string, int> _counts = new(StringComparer.Ordinal);

    /// <summary>Adds one, unless the virtual host has as many as it may have.</summary>
    /// <param name="virtualHost">The virtual host.</param>
    /// <param name="most">The most connections; null for no limit.</param>
    /// <returns>Whether it was added.</returns>
    public bool TryAdd(string virtualHost, int? most)
    {
        lock (_lock)
        {
            var count = _counts.GetValueOrDefault(virtualHost);
            if (count >= most)
                return false;
            _counts[virtualHost] = count + 1;
            return true;
        }
    }

    /// <summary>Removes one that was added.</summary>
    public void Remove(string virtualHost)
    {
        lock (_lock)
        {
            if (_counts[virtualHost] == 1)
                _counts.Remove(virtualHost);
            else
                _counts[virtualHost]--;
        }
    }
}
