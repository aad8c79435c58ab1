namespace OrleansMq.Gateways.Kafka.Shares;

/// <summary>The member of a share group that a session belongs to.</summary>
internal readonly record struct ShareSessionKey(string GroupId, string MemberId);

/// <summary>A partition by its topic's id.</summary>
internal readonly record struct SharePartitionId(Guid TopicId, int Partition);

/// <summary>
/// A share session: the partitions that a member fetches from this broker, so that its requests name changes only. Used by one request at a
/// time; it may end meanwhile. A partition that leaves keeps its reader for what the member still holds. See
/// <see cref="ShareSessions{TReader}"/> for its epochs.
/// </summary>
/// <typeparam name="TReader">What reads a partition for the member.</typeparam>
internal sealed class ShareSession<TReader>(ShareSessionKey key, object connection)
    where TReader : class
{
    /// <summary>The most partitions of a session.</summary>
    public const int MostPartitions = 20_000;

    /// <summary>The most partitions that stay although they were refused: a client names a partition once, and a topic may not be known
    /// here yet. Also those of a connection that are not known.</summary>
    public const int MostRefused = 1_000;

    // A session that was just opened expects epoch 1.
    private int _nextEpoch = 1;

    private readonly Lock _lock = new();
    // In the order in which they are served.
    private readonly LinkedList<SharePartitionId> _order = [];
    private readonly Dictionary<SharePartitionId, LinkedListNode<SharePartitionId>> _fetched = [];
    private readonly Dictionary<SharePartitionId, TReader> _readers = [];
    private readonly HashSet<SharePartitionId> _opening = [];
    private bool _hasEnded;

    /// <summary>The most partitions that are opened at the same time.</summary>
    public const int MostOpenings = 100;

    /// <summary>The member.</summary>
    public ShareSessionKey Key { get; } = key;

    /// <summary>The connection, with which the session ends.</summary>
    public object Connection { get; } = connection;

    /// <summary>When it was last used.</summary>
    public long UsedAt { get; set; }

    /// <summary>The partitions, the next one to be served first.</summary>
    public IReadOnlyCollection<SharePartitionId> Partitions => _order;

    /// <summary>Takes the epoch of the next request; false: it is another one's.</summary>
    public bool TryAdvance(int epoch)
    {
        if (epoch != _nextEpoch)
            return false;
        _nextEpoch = epoch == int.MaxValue ? 1 : epoch + 1;
        return true;
    }

    /// <summary>The number of partitions.</summary>
    public int Count => _fetched.Count;

    /// <summary>Whether a partition is there.</summary>
    public bool Contains(SharePartitionId partition) => _fetched.ContainsKey(partition);

    /// <summary>Adds a partition, if it is not there.</summary>
    /// <returns>False: there are too many.</returns>
    public bool TryAdd(SharePartitionId partition)
    {
        if (_fetched.ContainsKey(partition))
            return true;
        if (_fetched.Count == MostPartitions)
            return false;
        _fetched.Add(partition, _order.AddLast(partition));
        return true;
    }

    /// <summary>Returns a partition's reader; null if it has none.</summary>
    public TReader? Find(SharePartitionId partition)
    {
        lock (_lock)
            return _readers.GetValueOrDefault(partition);
    }

    /// <summary>Returns one of the readers; null if there is none.</summary>
    public TReader? FindAny()
    {
        lock (_lock)
            return _readers.Values.FirstOrDefault();
    }

    /// <summary>Begins to open a reader. It may take longer than the request.</summary>
    /// <returns>False: it is being opened already, or too many are.</returns>
    public bool TryBeginOpening(SharePartitionId partition)
    {
        lock (_lock)
            return _opening.Count < MostOpenings && _opening.Add(partition);
    }

    /// <summary>An opening has ended, with a reader or without.</summary>
    public void EndOpening(SharePartitionId partition)
    {
        lock (_lock)
            _opening.Remove(partition);
    }

    /// <summary>Gives a partition a reader.</summary>
    /// <returns>False: the session has ended, and the reader is the caller's to end.</returns>
    public bool TrySet(SharePartitionId partition, TReader reader)
    {
        lock (_lock)
        {
            if (!_hasEnded)
                _readers[partition] = reader;
            return !_hasEnded;
        }
    }

    /// <summary>Takes a partition's reader away.</summary>
    /// <returns>The reader, which is the caller's to end; null if it has none.</returns>
    public TReader? Take(SharePartitionId partition)
    {
        lock (_lock)
            return _readers.Remove(partition, out var reader) ? reader : null;
    }

    /// <summary>Removes a partition. Its reader stays until it is taken.</summary>
    public void Forget(SharePartitionId partition)
    {
        if (_fetched.Remove(partition, out var node))
            _order.Remove(node);
    }

    /// <summary>Takes the readers of partitions that have left, if the member is done with them.</summary>
    /// <param name="isDone">Whether the member holds nothing any more.</param>
    /// <returns>The readers, which are the caller's to end.</returns>
    public IReadOnlyList<TReader> TakeLeft(Func<TReader, bool> isDone)
    {
        lock (_lock)
        {
            if (_readers.Count == 0)
                return [];
            var left = _readers.Where(one => !_fetched.ContainsKey(one.Key) && isDone(one.Value)).ToArray();
            foreach (var (partition, _) in left)
                _readers.Remove(partition);
            return [.. left.Select(static one => one.Value)];
        }
    }

    /// <summary>Ends the session.</summary>
    /// <returns>Its readers, which are the caller's to end.</returns>
    public IReadOnlyList<TReader> End()
    {
        lock (_lock)
        {
            _hasEnded = true;
            TReader[] readers = [.. _readers.Values];
            _readers.Clear();
            return readers;
        }
    }

    /// <summary>Serves a partition last, so that one that does not open is not in the way of others.</summary>
    public void Defer(SharePartitionId partition)
    {
        if (!_fetched.TryGetValue(partition, out var node))
            return;
        _order.Remove(node);
        _order.AddLast(node);
    }

    /// <summary>Serves another partition first next time, so that none starves behind busy ones.</summary>
    public void Rotate()
    {
        if (_order.First is not { } first)
            return;
        _order.RemoveFirst();
        _order.AddLast(first);
    }
}
