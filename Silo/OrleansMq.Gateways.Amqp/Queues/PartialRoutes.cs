namespace OrleansMq.Gateways.Amqp.Queues;

/// <summary>Which queues have a message already that is routed again, since other queues could not take it. Only in memory: another broker
/// gives it to all of its queues. Thread safe.</summary>
internal sealed class PartialRoutes
{
    // The queues of those that are forgotten get them twice.
    private const int Most = 10_000;

    private readonly Lock _lock = new();
    private readonly Dictionary<(Guid Queue, long Position), HashSet<long>> _stored = [];

    /// <summary>Returns the ids of the queues that have a message. The caller adds those that take it.</summary>
    /// <param name="hold">The message in the queue that it comes from.</param>
    public HashSet<long> Take(MessageHold hold)
    {
        lock (_lock)
            return _stored.Remove((hold.Queue, hold.Position), out var stored) ? stored : [];
    }

    /// <summary>A message is to be routed again.</summary>
    /// <param name="hold">The message.</param>
    /// <param name="stored">The ids of the queues that have it.</param>
    public void Keep(MessageHold hold, HashSet<long> stored)
    {
        if (stored.Count == 0)
            return;
        lock (_lock)
        {
            if (_stored.Count >= Most)
                _stored.Remove(_stored.Keys.First());
            _stored[(hold.Queue, hold.Position)] = stored;
        }
    }
}
