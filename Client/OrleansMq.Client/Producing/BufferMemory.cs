namespace OrleansMq.Client;

/// <summary>
/// The bytes of records that are accepted and not reported yet: bounded. Who finds no room waits in one line, first come, first served, so
/// that records of one sender never overtake each other here.
/// </summary>
internal sealed class BufferMemory(long limit)
{
    private readonly Lock _gate = new();
    private readonly Queue<PendingRecord> _line = new();
    private long _used;
    private int _waiting;

    public long Used => Volatile.Read(ref _used);

    /// <summary>Takes room at once, or not at all: also where others wait for it.</summary>
    public bool TryTake(int size) => Volatile.Read(ref _waiting) == 0 && TryAdd(size);

    /// <summary>Takes room at once, or puts the record into the line.</summary>
    public bool TakeOrQueue(PendingRecord record)
    {
        lock (_gate)
        {
            // First say that somebody waits, then look: whoever gives room back does it the other way round, so one of the two sees it.
            Interlocked.Increment(ref _waiting);
            if (_line.Count == 0 && TryAdd(record.Size))
            {
                Interlocked.Decrement(ref _waiting);
                return true;
            }
            _line.Enqueue(record);
            return false;
        }
    }

    /// <summary>Gives room back, and lets in who waits for it.</summary>
    public void Release(long size)
    {
        Interlocked.Add(ref _used, -size);
        if (Volatile.Read(ref _waiting) > 0)
            LetIn();
    }

    /// <summary>Takes a record out of the line; false where it is not in it any more.</summary>
    public bool Withdraw(PendingRecord record)
    {
        lock (_gate)
        {
            if (record.IsGone)
                return false;
            record.IsGone = true; // Its place in the line is skipped later.
        }
        LetIn();
        return true;
    }

    /// <summary>Takes out of the line who came at or before a time.</summary>
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

    /// <summary>When the first in the line came; null where there is none.</summary>
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
            while (_line.TryPeek(out var first) && (first.IsGone || TryAdd(first.Size)))
            {
                _line.Dequeue();
                if (!first.IsGone)
                {
                    first.IsGone = true;
                    first.Topic.Append(first);
                }
                // Only now may others take room without standing in the line: the record is where they would go.
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
