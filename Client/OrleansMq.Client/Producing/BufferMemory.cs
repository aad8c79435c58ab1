namespace OrleansMq.Client;

/// <summary>
/// Bounds the bytes of records that are accepted and not reported yet. Records without room wait in one queue, first come, first served, so
/// that records of one sender never overtake each other here.
/// </summary>
internal sealed class BufferMemory(long limit)
{
    private readonly Lock _gate = new();
    private readonly Queue<PendingRecord> _line = new();
    private long _used;
    private int _waiting;

    public long Used => Volatile.Read(ref _used);

    /// <summary>Takes room at once, or fails, also while others wait.</summary>
    public bool TryTake(int size) => Volatile.Read(ref _waiting) == 0 && TryAdd(size);

    /// <summary>Takes room at once, or queues the record.</summary>
    public bool TakeOrQueue(PendingRecord record)
    {
        lock (_gate)
        {
            // Counts the waiter first and then checks for room. Release does it in the opposite order, so one of the two sees the other.
            Interlocked.Increment(ref _waiting);
            if (_line.Count == 0 && TryAdd(record.Room))
            {
                Interlocked.Decrement(ref _waiting);
                return true;
            }
            _line.Enqueue(record);
            return false;
        }
    }

    /// <summary>Releases room and admits waiting records.</summary>
    public void Release(long size)
    {
        Interlocked.Add(ref _used, -size);
        if (Volatile.Read(ref _waiting) > 0)
            LetIn();
    }

    /// <summary>Removes a record from the queue. Returns false if it is no longer queued.</summary>
    public bool Withdraw(PendingRecord record)
    {
        lock (_gate)
        {
            if (record.IsGone)
                return false;
            record.IsGone = true; // Its queue entry is skipped later.
        }
        LetIn();
        return true;
    }

    /// <summary>Removes the records queued at or before a time.</summary>
    public void Expire(long sentBefore, List<PendingRecord> expired)
    {
        lock (_gate)
        {
            while (_line.TryPeek(out var first) && (first.IsGone || first.SentAt <= sentBefore))
            {
                _line.Dequeue();
                Interlocked.Decrement(ref _waiting);
                if (!first.IsGone)
                    expired.Add(first);
                first.IsGone = true;
            }
        }
    }

    /// <summary>When the first queued record was sent; null for none.</summary>
    public long? OldestSentAt
    {
        get
        {
            lock (_gate)
                return _line.TryPeek(out var first) ? first.SentAt : null;
        }
    }

    private void LetIn()
    {
        lock (_gate)
        {
            while (_line.TryPeek(out var first) && (first.IsGone || TryAdd(first.Room)))
            {
                _line.Dequeue();
                if (!first.IsGone)
                {
                    first.IsGone = true;
                    first.Topic.Append(first);
                }
                // Only now may others take room without queueing: the record is in its batch, so they come after it.
                Interlocked.Decrement(ref _waiting);
            }
        }
    }

    private bool TryAdd(int size)
    {
        var used = Volatile.Read(ref _used);
        while (used + size <= limit)
        {
            var seen = Interlocked.CompareExchange(ref _used, used + size, used);
            if (seen == used)
                return true;
            used = seen;
        }
        return false;
    }
}
