using OrleansMq.Log;
using OrleansMq.Queues;
using OrleansMq.Records;

namespace OrleansMq.Compaction;

/// <summary>Decides which records a cleaning keeps. Pure.</summary>
internal abstract class RecordJudge
{
    /// <summary>Whether a batch stays as it is.</summary>
    public abstract bool KeepsAll(in RecordBatchHeader header);

    /// <summary>Whether no record of a batch stays, whatever is in it.</summary>
    public abstract bool DropsAll(in RecordBatchHeader header);

    /// <summary>Decides on a record.</summary>
    /// <param name="record">The record.</param>
    /// <param name="deleteHorizon">Its batch's delete horizon in milliseconds since 1970; null if not set yet.</param>
    /// <param name="now">Milliseconds since 1970.</param>
    public abstract RecordFate Decide(in Record record, long? deleteHorizon, long now);

    /// <summary>Whether a record that is kept needs a delete horizon.</summary>
    public abstract bool IsTombstone(in Record record);
}

/// <summary>Keeps the latest record of each key.</summary>
/// <param name="map">The latest offset of each key in the dirty part.</param>
/// <param name="mapEnd">The end of the range that the map covers. Records at or above it are kept: of the keys of tombstones among them
/// there may be earlier records that stay.</param>
/// <param name="aborted">The records of aborted transactions, which go.</param>
internal sealed class LatestOfKey(KeyOffsetMap map, long mapEnd, AbortedRecords aborted) : RecordJudge
{
    public override bool KeepsAll(in RecordBatchHeader header) => header.BaseOffset >= mapEnd;

    public override bool DropsAll(in RecordBatchHeader header) => aborted.Has(header);

    public override RecordFate Decide(in Record record, long? deleteHorizon, long now)
    {
        var latest = record.Key is { } key ? map.LatestOffsetOf(key.Span) : -1;
        return record.Offset >= mapEnd ? RecordFate.Keep
            : RecordFates.Decide(record.Offset, record.Key is not null, record.Value is not null, latest, deleteHorizon, now);
    }

    public override bool IsTombstone(in Record record) => record.Value is null && record.Offset < mapEnd;
}

/// <summary>Keeps what a queue needs.</summary>
/// <param name="needed">The offsets of the part that is being cleaned that a queue may still need.</param>
internal sealed class NeededByQueues(OffsetSet needed) : RecordJudge
{
    public override bool KeepsAll(in RecordBatchHeader header) => needed.NextNotIn(header.BaseOffset) > header.LastOffset;

    public override bool DropsAll(in RecordBatchHeader header) => needed.NextIn(header.BaseOffset) > header.LastOffset;

    public override RecordFate Decide(in Record record, long? deleteHorizon, long now) =>
        needed.Contains(record.Offset) ? RecordFate.Keep : RecordFate.Settled;

    public override bool IsTombstone(in Record record) => false;
}
