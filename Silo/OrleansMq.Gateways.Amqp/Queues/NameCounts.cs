namespace OrleansMq.Gateways.Amqp.Queues;

/// <summary>How many of something each name has, with limits: connections of virtual hosts, consumers of users. Thread safe.</summary>
internal sealed class NameCounts
{
    private readonly Lock _lock = new();
    // Names that have none are not in it.
    private readonly Dictionary<string, int> _counts = new(StringComparer.Ordinal);

    /// <summary>Adds one, unless the name has as many as it may have.</summary>
    /// <param name="name">The name.</param>
    /// <param name="most">How many it may have; null for no limit.</param>
    /// <returns>Whether it was added.</returns>
    public bool TryAdd(string name, int? most)
    {
        lock (_lock)
        {
            var count = _counts.GetValueOrDefault(name);
            if (count >= most)
                return false;
            _counts[name] = count + 1;
            return true;
        }
    }

    /// <summary>Removes some that were added.</summary>
    public void Remove(string name, int count = 1)
    {
        lock (_lock)
        {
            if (_counts.GetValueOrDefault(name) - count is > 0 and var left)
                _counts[name] = left;
            else
                _counts.Remove(name);
        }
    }
}
