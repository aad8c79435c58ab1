namespace OrleansMq.VirtualHosts;

/// <summary>
/// When queues were last used, as far as their owner has learned: a queue expires only if no broker has used it. In memory: where the owner
/// is new, every queue counts as used just now, so that it expires later, not earlier. Thread safe.
/// </summary>
/// <param name="time">The clock.</param>
internal sealed class QueueUses(TimeProvider time)
{
    private readonly Dictionary<long, long> _usedAt = [];
    private readonly Lock _lock = new();
    private readonly long _since = time.GetTimestamp();

    /// <summary>Takes note of a use. Returns whether the command is to end a queue that was used too lately.</summary>
    public bool Keeps(VirtualHostCommand command, VirtualHostTopology topology)
    {
        lock (_lock)
        {
            switch (command)
            {
                case UseQueue use when topology.FindQueue(use.Name)?.Id == use.Id:
                    _usedAt[use.Id] = time.GetTimestamp();
                    return false;
                case EndQueue { Idle: var idle, Id: var id } when idle > TimeSpan.Zero:
                    return time.GetElapsedTime(_usedAt.GetValueOrDefault(id, _since)) < idle;
                default:
                    return false;
            }
        }
    }

    /// <summary>Takes note of changes: queues are used until their last consumer goes.</summary>
    public void Note(IEnumerable<TopologyEdit> edits)
    {
        lock (_lock)
        {
            foreach (var edit in edits)
            {
                if (edit is PutQueue put)
                    _usedAt[put.Queue.Id] = time.GetTimestamp();
                else if (edit is DropConsumer drop)
                    _usedAt[drop.Consumer.QueueId] = time.GetTimestamp();
                else if (edit is RemoveQueue remove)
                    _usedAt.Remove(remove.Queue.Id);
            }
        }
    }
}
