using OrleansMq.Log;
using OrleansMq.Replication;

namespace OrleansMq.Tests.Simulation;

/// <summary>The partition on a broker's disk. Written is not flushed: a killed process keeps written bytes, a power cut keeps flushed
/// ones.</summary>
internal sealed class SimulatedDisk
{
    /// <summary>The topic of its directory.</summary>
    public required Topic Topic { get; set; }
    public Guid Incarnation { get; set; }
    /// <summary>Whether the incarnation has counted only flushed records, so that it survives a power cut; null for a new incarnation,
    /// which has counted none.</summary>
    public bool? Promise { get; set; }
    public bool CountedOnlyFlushed => Promise is true;
    public int Fence { get; set; }
    /// <summary>A high watermark that was reached. It is written along with the rest, so it may lag far behind.</summary>
    public long HighWatermark { get; set; }
    public long LogStart { get; set; }
    public long LogEnd { get; set; }
    public long FlushedEnd { get; set; }
    /// <summary>The offset below which the log is compacted.</summary>
    public long CompactedEnd { get; set; }
    /// <summary>The offset below which records may be missing without a trace.</summary>
    public long ErasedEnd { get; set; }
    public List<ReplicatedBatch> Batches { get; } = [];
    public List<LeaderEpochEntry> Epochs { get; } = [];

    /// <summary>Loses some of the unflushed records; the others happened to be written back.</summary>
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

    /// <summary>The same directory counts as another member.</summary>
    public void RenewIncarnation(Guid incarnation) => (Incarnation, Promise) = (incarnation, null);

    /// <summary>Replaces the directory by a new, empty one.</summary>
    public void Renew(Topic topic, Guid incarnation)
    {
        Batches.Clear();
        Epochs.Clear();
        RenewIncarnation(incarnation);
        HighWatermark = 0;
        (Topic, Fence, LogStart, LogEnd, FlushedEnd, CompactedEnd, ErasedEnd) = (topic, 0, 0, 0, 0, 0, 0);
    }
}
