using OrleansMq.Producers;
using OrleansMq.Records;

namespace OrleansMq.Compaction;

/// <summary>What a cleaning does with a control batch of a producer.</summary>
internal enum MarkerFate
{
    /// <summary>Never returned.</summary>
    Unknown = 0,
    /// <summary>Keep it as it is.</summary>
    Keep = 1,
    /// <summary>Keep it, with a delete horizon: no batch of its transaction is left.</summary>
    SetHorizon = 2,
    /// <summary>Remove it.</summary>
    Drop = 3,
}

/// <summary>
/// Decides which markers of transactions a pass of a cleaning removes. A marker stays as long as the log has a batch of its transaction,
/// also an empty one: without the marker the transaction would be open for ever. The first pass that finds no batch before the marker sets
/// its delete horizon. A pass after that horizon removes it, unless the log needs it to know a live producer's last transaction.
/// </summary>
/// <remarks>
/// One for each pass, which reads the log from its start, segment by segment: what it found is carried from one segment to the next. The
/// key of a marker is never compared with that of a record.
/// <para>The entry of an aborted transaction leaves its segment's index when the horizon is set, so before the marker. A client that gets
/// the entry without the marker would leave out the producer's later records.</para>
/// </remarks>
internal sealed class MarkerJudge
{
    private readonly HashSet<long> _withBatches = [];
    private readonly HashSet<long> _bare = [];

    /// <summary>Begins with neighbouring segments that are merged into one.</summary>
    public void BeginGroup() => _bare.Clear();

    /// <summary>Notes a batch that the pass has read, in the order of the log.</summary>
    public void Note(in RecordBatchHeader header)
    {
        if (header is { IsTransactional: true, IsControl: false })
            _withBatches.Add(header.ProducerId);
    }

    /// <summary>Whether the group has the marker at an offset, and no batch of its transaction was before it.</summary>
    public bool IsBare(long marker) => _bare.Contains(marker);

    /// <summary>Decides on a control batch that has a producer, in the order of the log.</summary>
    /// <param name="header">Its header.</param>
    /// <param name="batch">Its bytes.</param>
    /// <param name="last">The last entries of its producer; null if the producer is not known any more.</param>
    /// <param name="now">Milliseconds since 1970.</param>
    public MarkerFate Decide(in RecordBatchHeader header, ReadOnlySpan<byte> batch, LastEntries? last, long now)
    {
        // Another broker's cleaning has emptied it: no batch of its transaction was left.
        if (header.RecordCount == 0)
            return last is { } known && known.Epoch == header.ProducerEpoch ? MarkerFate.Keep : MarkerFate.Drop;
        // The record of a later version may mean anything.
        if (TransactionMarker.Find(header, batch) is not { } marker)
            return MarkerFate.Keep;
        if (_withBatches.Remove(header.ProducerId))
            return MarkerFate.Keep;
        _bare.Add(header.BaseOffset);
        if (!header.HasDeleteHorizon)
            return MarkerFate.SetHorizon;
        return now <= header.BaseTimestamp || last?.Needs(marker) == true ? MarkerFate.Keep : MarkerFate.Drop;
    }
}
