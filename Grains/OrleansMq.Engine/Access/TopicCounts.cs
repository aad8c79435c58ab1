namespace OrleansMq.Access;

/// <summary>What sessions appended to one topic and read from it since the broker started. Thread safe.</summary>
public sealed class TopicCounts
{
    private long _recordsIn;
    private long _bytesIn;
    private long _recordsOut;
    private long _bytesOut;
    private long _refused;
    private volatile bool _isRetired;

    /// <summary>Records appended.</summary>
    public long RecordsIn => Interlocked.Read(ref _recordsIn);
    /// <summary>Bytes of batches appended, as they were sent.</summary>
    public long BytesIn => Interlocked.Read(ref _bytesIn);
    /// <summary>Records read.</summary>
    public long RecordsOut => Interlocked.Read(ref _recordsOut);
    /// <summary>Bytes of batches read.</summary>
    public long BytesOut => Interlocked.Read(ref _bytesOut);
    /// <summary>Batches refused.</summary>
    public long Refused => Interlocked.Read(ref _refused);

    /// <summary>Whether the topic was deleted, so that no metric reports these counts any more.</summary>
    internal bool IsRetired => _isRetired;

    /// <summary>Counts a batch that was appended.</summary>
    internal void Produced(int records, int bytes)
    {
        Interlocked.Add(ref _recordsIn, records);
        Interlocked.Add(ref _bytesIn, bytes);
    }

    /// <summary>Counts batches that were read.</summary>
    internal void Fetched(int records, int bytes)
    {
        Interlocked.Add(ref _recordsOut, records);
        Interlocked.Add(ref _bytesOut, bytes);
    }

    /// <summary>Counts a batch that was refused.</summary>
    internal void Refuse() => Interlocked.Increment(ref _refused);

    /// <summary>Marks the counts as those of a deleted topic.</summary>
    internal void Retire() => _isRetired = true;
}
