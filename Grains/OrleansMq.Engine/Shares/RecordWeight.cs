namespace OrleansMq.Shares;

/// <summary>The bytes that a record of a partition takes with its batch, as the last reads tell. Pure.</summary>
/// <remarks>A guess alone: records that it lets through and that are too many are given back, and none counts as delivered.</remarks>
internal sealed class RecordWeight
{
    /// <summary>The bytes of a record before any was read.</summary>
    public const int Unread = 100_000;

    // The end of a read is no batch's end: so much more spares most reads a second one.
    private const int Slack = 16 << 10;

    private long _bytes = Unread;
    private bool _isKnown;

    /// <summary>Takes a read into account: a larger weight at once, a smaller one by and by.</summary>
    /// <param name="bytes">The bytes of its batches.</param>
    /// <param name="records">The records of its batches.</param>
    public void Learn(long bytes, long records)
    {
        if (records <= 0)
            return;
        var weight = Math.Max(bytes / records, 1);
        _bytes = _isKnown && weight < _bytes ? (_bytes + weight) / 2 : weight;
        _isKnown = true;
    }

    /// <summary>Returns how many records fit into bytes, at least one.</summary>
    public int Fitting(int bytes, int most) => (int)Math.Clamp(bytes / _bytes, 1, Math.Max(most, 1));

    /// <summary>Returns the bytes to read for so many records that follow each other.</summary>
    public long BytesOf(long records) => (records * _bytes) + Slack;
}
