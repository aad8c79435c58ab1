namespace OrleansMq.Gateways.Kafka.Shares;

/// <summary>The member of a share group that a session belongs to.</summary>
internal readonly record struct ShareSessionKey(string GroupId, string MemberId);

/// <summary>A partition by its topic's id.</summary>
internal readonly record struct SharePartitionId(Guid TopicId, int Partition);

/// <summary>
/// A share session: the partitions that a member fetches from this broker, so that its requests name changes only. Pure; for one caller
/// at a time. See <see cref="ShareSessions{TReader}"/> for its epochs.
/// </summary>
/// <typeparam name="TReader">What reads a partition for the member.</typeparam>
internal sealed class ShareSession<TReader>(ShareSessionKey key, object connection)
    where TReader : class
{
    // A session that was just opened expects epoch 1.
    private int _nextEpoch = 1;

    // In the order in which they are served.
    private readonly List<SharePartitionId> _order = [];
    private readonly Dictionary<SharePartitionId, TReader?> _readers = [];

    /// <summary>The member.</summary>
    public ShareSessionKey Key { get; } = key;

    /// <summary>The connection, with which the session ends.</summary>
    public object Connection { get; } = connection;

    /// <summary>When it was last used.</summary>
    public long UsedAt { get; set; }

    /// <summary>The partitions, the next one to be served first.</summary>
    public IReadOnlyList<SharePartitionId> Partitions => _order;

    /// <summary>The readers that are open.</summary>
    public IEnumerable<TReader> Readers => _readers.Values.OfType<TReader>();

    /// <summary>Takes the epoch of the next request; false: it is another one's.</summary>
    public bool TryAdvance(int epoch)
    {
        if (epoch != _nextEpoch)
            return false;
        _nextEpoch = epoch == int.MaxValue ? 1 : epoch + 1;
        return true;
    }

    /// <summary>Adds a partition, if it is not there.</summary>
    public void Add(SharePartitionId partition)
    {
        if (_readers.TryAdd(partition, null))
            _order.Add(partition);
    }

    /// <summary>Whether the partition is there.</summary>
    public bool Contains(SharePartitionId partition) => _readers.ContainsKey(partition);

    /// <summary>Returns a partition's reader; null if it has none.</summary>
    public TReader? Find(SharePartitionId partition) => _readers.GetValueOrDefault(partition);

    /// <summary>Gives a partition a reader, or takes it away.</summary>
    public void Set(SharePartitionId partition, TReader? reader)
    {
        if (_readers.ContainsKey(partition))
            _readers[partition] = reader;
    }

    /// <summary>Removes a partition.</summary>
    /// <returns>Its reader; null if it has none.</returns>
    public TReader? Forget(SharePartitionId partition)
    {
        if (_readers.Remove(partition, out var reader))
            _order.Remove(partition);
        return reader;
    }

    /// <summary>Serves another partition first next time, so that none starves behind busy ones.</summary>
    public void Rotate()
    {
        if (_order.Count < 2)
            return;
        var first = _order[0];
        _order.RemoveAt(0);
        _order.Add(first);
    }
}
