using OrleansMq.Log;
using OrleansMq.Replication;

namespace OrleansMq.Tests.Simulation;

/// <summary>What a broker's disk holds of the partition. Written is not flushed: a killed process keeps what is written, a power cut what is flushed.</summary>
internal sealed class SimulatedDisk
{
    public List<ReplicatedBatch> Batches { get; } = [];
    public List<LeaderEpochEntry> Epochs { get; } = [];
    public int FlushedCount { get; set; }
    public int Fence { get; set; }
    public Guid Incarnation { get; set; }

    /// <summary>Some of what was not flushed is gone; the rest had been written back by chance.</summary>
    public void CutPower(Random random)
    {
        var kept = FlushedCount + random.Next(Batches.Count - FlushedCount + 1);
        Batches.RemoveRange(kept, Batches.Count - kept);
        Epochs.RemoveAll(e => e.StartOffset > kept);
        FlushedCount = kept;
    }

    public void Wipe()
    {
        Batches.Clear();
        Epochs.Clear();
        (FlushedCount, Fence, Incarnation) = (0, 0, Guid.Empty);
    }
}
