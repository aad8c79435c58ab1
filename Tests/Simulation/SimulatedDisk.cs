using OrleansMq.Log;
using OrleansMq.Replication;

namespace OrleansMq.Tests.Simulation;

/// <summary>What a broker's disk holds of the partition. Written is not flushed: a killed process keeps what is written, a power cut what
/// is flushed.</summary>
internal sealed class SimulatedDisk
{
    /// <summary>The topic its directory belongs to.</summary>
    public required Topic Topic { get; set; }
    public Guid Incarnation { get; set; }
    public int Fence { get; set; }
    public long LogStart { get; set; }
    public long LogEnd { get; set; }
    public long FlushedEnd { get; set; }
    /// <summary>Compaction has cleaned what lies below.</summary>
    public long CompactedEnd { get; set; }
    public List<ReplicatedBatch> Batches { get; } = [];
    public List<LeaderEpochEntry> Epochs { get; } = [];

    /// <summary>Some of what was not flushed is gone; the rest had been written back by chance.</summary>
    public void LoseUnflushed(Random random)
    {
        var flushed = Batches.FindIndex(b => b.NextOffset > FlushedEnd);
        if (flushed < 0)
            return;
        var kept = random.Next(flushed, Batches.Count + 1);
        if (kept < Batches.Count)
        {
            var end = kept == flushed ? FlushedEnd : Batches[kept - 1].NextOffset;
            Batches.RemoveRange(kept, Batches.Count - kept);
            LogEnd = end;
        }
        Epochs.RemoveAll(e => e.StartOffset > LogEnd);
        FlushedEnd = LogEnd;
        CompactedEnd = Math.Min(CompactedEnd, LogEnd);
    }

    /// <summary>A new, empty directory.</summary>
    public void Renew(Topic topic, Guid incarnation)
    {
        Batches.Clear();
        Epochs.Clear();
        (Topic, Incarnation, Fence, LogStart, LogEnd, FlushedEnd, CompactedEnd) = (topic, incarnation, 0, 0, 0, 0, 0);
    }
}
