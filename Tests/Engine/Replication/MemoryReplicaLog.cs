using OrleansMq.Log;
using OrleansMq.Replication;

namespace OrleansMq.Tests.Engine.Replication;

/// <summary>An in-memory replica log that is flushed as soon as it is written. A batch is its bytes, one record a byte.</summary>
internal sealed class MemoryReplicaLog : IReplicaLog
{
    private readonly List<LeaderEpochEntry> _epochs = [];

    public List<ReplicatedBatch> Batches { get; } = [];
    public long LogStartOffset { get; private set; }
    public long LogEndOffset { get; private set; }
    public long CountedEndOffset => LogEndOffset;
    public long CompactedEndOffset { get; set; }
    public long ErasedEndOffset { get; private set; }
    public long HighWatermark { get; private set; }
    public int HighWatermarkEpoch { get; private set; } = -1;
    public int Fence { get; private set; }
    public IReadOnlyList<LeaderEpochEntry> Epochs => _epochs;

    public void SetHighWatermark(long offset, int epoch) => (HighWatermark, HighWatermarkEpoch) = (offset, epoch);

    public void RaiseFence(int epoch) => Fence = epoch;

    public void NoteErased(long endOffset) => ErasedEndOffset = Math.Max(endOffset, ErasedEndOffset);

    public LeaderEpochEntry EndOffsetFor(int epoch)
    {
        if (_epochs.Count == 0 || epoch > _epochs[^1].Epoch)
            return LeaderEpochCache.None;
        var next = _epochs.FindIndex(e => e.Epoch > epoch);
        return next < 0 ? new(epoch, LogEndOffset) : next == 0 ? new(epoch, _epochs[0].StartOffset)
            : new(_epochs[next - 1].Epoch, _epochs[next].StartOffset);
    }

    public void AssignEpoch(int epoch, long startOffset)
    {
        _epochs.RemoveAll(e => e.StartOffset >= startOffset);
        _epochs.Add(new LeaderEpochEntry(epoch, startOffset));
    }

    public ReplicatedBatch Append(ReadOnlyMemory<byte> batch, int epoch)
    {
        var stamped = new ReplicatedBatch(LogEndOffset, LogEndOffset + batch.Length, epoch, batch);
        AppendReplicated(stamped);
        return stamped;
    }

    public void AppendReplicated(IReadOnlyList<ReplicatedBatch> batches, int first, int count)
    {
        for (var index = first; index < first + count; index++)
            AppendReplicated(batches[index]);
    }

    private void AppendReplicated(in ReplicatedBatch batch)
    {
        Batches.Add(batch);
        LogEndOffset = batch.NextOffset;
    }

    public void AdvanceTo(long endOffset) => LogEndOffset = endOffset;

    public void TruncateTo(long endOffset)
    {
        Batches.RemoveAll(b => b.NextOffset > endOffset);
        _epochs.RemoveAll(e => e.StartOffset >= endOffset);
        LogEndOffset = endOffset;
        ErasedEndOffset = Math.Min(ErasedEndOffset, endOffset);
        HighWatermark = Math.Min(HighWatermark, endOffset);
    }

    public void MoveLogStart(long offset) => LogStartOffset = offset;

    public void ResetTo(long logStart)
    {
        Batches.Clear();
        _epochs.Clear();
        (LogStartOffset, LogEndOffset, HighWatermark) = (logStart, logStart, logStart);
        ErasedEndOffset = Math.Min(ErasedEndOffset, logStart);
    }

    /// <summary>Creates a log with batches of other leaders' epochs.</summary>
    public static MemoryReplicaLog Of(params (int Epoch, int Records)[] history)
    {
        var log = new MemoryReplicaLog();
        foreach (var (epoch, records) in history)
        {
            log.AssignEpoch(epoch, log.LogEndOffset);
            log.Append(new byte[records], epoch);
            log.RaiseFence(epoch);
        }
        return log;
    }
}
