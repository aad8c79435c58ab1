using OrleansMq.Log;
using OrleansMq.Partitions;
using OrleansMq.Records;

namespace OrleansMq.Replication;

/// <summary>A follower could not append some batches of a push, of which nothing is in the log. Batches before them may be: as if the rest
/// of the push was lost.</summary>
internal sealed class PushNotTakenException(string message, Exception? inner = null) : Exception(message, inner);

/// <summary>A partition's log as the roles use it. Called under the append lock; calls that may truncate, also under the removal
/// lock.</summary>
internal sealed class ReplicaLog(Partition partition) : IReplicaLog
{
    private readonly SegmentedLog _log = partition.Log!;
    private readonly LeaderEpochCache _epochs = partition.Epochs!;
    // The batches of a push that the next call writes.
    private readonly List<RecordBatchHeader> _group = [];
    private readonly List<ReadOnlyMemory<byte>> _groupBatches = [];
    private long _groupBytes;

    /// <inheritdoc/>
    public long LogStartOffset => _log.LogStartOffset;

    /// <inheritdoc/>
    public long LogEndOffset => _log.LogEndOffset;

    /// <inheritdoc/>
    public long CountedEndOffset =>
        HighWatermarkDecision.CountedEnd(FlushDecision.CountsOnlyFlushed(partition.Config), _log.LogEndOffset, _log.SecuredOffset);

    /// <inheritdoc/>
    public long CompactedEndOffset => _log.CompactedEndOffset;

    /// <inheritdoc/>
    public long ErasedEndOffset => _log.ErasedEndOffset;

    /// <inheritdoc/>
    public void NoteErased(long endOffset) => _log.NoteErased(endOffset);

    /// <inheritdoc/>
    public long HighWatermark => partition.HighWatermark;

    /// <inheritdoc/>
    public int HighWatermarkEpoch { get; private set; } = -1;

    /// <inheritdoc/>
    public void SetHighWatermark(long offset, int epoch)
    {
        partition.SetHighWatermark(offset);
        HighWatermarkEpoch = epoch;
    }

    /// <inheritdoc/>
    public int Fence { get; private set; } = partition.Log!.Marks.Fence;

    /// <inheritdoc/>
    public void RaiseFence(int epoch)
    {
        _log.RaiseFence(epoch);
        Fence = epoch;
    }

    /// <inheritdoc/>
    public IReadOnlyList<LeaderEpochEntry> Epochs => _epochs.Entries;

    /// <inheritdoc/>
    public LeaderEpochEntry EndOffsetFor(int epoch) => _epochs.EndOffsetFor(epoch, _log.LogEndOffset);

    /// <inheritdoc/>
    public void AssignEpoch(int epoch, long startOffset) => _epochs.Assign(epoch, startOffset);

    /// <inheritdoc/>
    public void AppendReplicated(IReadOnlyList<ReplicatedBatch> batches, int first, int count)
    {
        var now = partition.Ports.Log.Now;
        try
        {
            for (var index = first; index < first + count; index++)
                Add(batches[index].Bytes, now);
            WriteGroup(now);
        }
        finally
        {
            ForgetGroup();
        }
    }

    private void Add(ReadOnlyMemory<byte> batch, long now)
    {
        var header = RecordBatchHeader.Read(batch.Span);
        if (partition.Ports.Space.Check(batch.Length, header.IsControl ? SpaceUse.Control : SpaceUse.Replicated) is { } full)
            throw new PushNotTakenException(full);
        if (_group.Count == 0 && header.BaseOffset > _log.LogEndOffset)
            _log.NoteGap();
        if (_group.Count == AppendRound.MaxBatches)
            WriteGroup(now);
        if (_log.MustRoll(header, header.LastOffset, _groupBytes) != RollReason.None)
        {
            WriteGroup(now);
            partition.Roll(now);
        }
        if (_group.Count == 0 && !_log.CanIndex(header.LastOffset))
        {
            // The hole before the batch is too large for one segment, also for a new one that begins at the log's end.
            _log.AdvanceTo(header.BaseOffset);
            partition.Flusher.WantCheckpoint();
        }
        _group.Add(header);
        _groupBatches.Add(batch);
        _groupBytes += batch.Length;
    }

    // One call for the group: the page cache takes large writes at a lower cost than small ones.
    private void WriteGroup(long now)
    {
        if (_group.Count == 0)
            return;
        try
        {
            _log.Write(_groupBatches);
        }
        catch (Exception fault) when (StorageFaults.Passes(fault))
        {
            throw new PushNotTakenException(StorageFaults.DescribeRefused(_log.Directory, fault), fault);
        }
        for (var i = 0; i < _group.Count; i++)
            _log.ApplyAppended(_group[i], _groupBatches[i].Span, now);
        ForgetGroup();
    }

    private void ForgetGroup()
    {
        _group.Clear();
        _groupBatches.Clear();
        _groupBytes = 0;
    }

    /// <inheritdoc/>
    public void AdvanceTo(long endOffset) => _log.AdvanceTo(endOffset);

    /// <inheritdoc/>
    public void TruncateTo(long endOffset)
    {
        // The high watermark first: no reader may look up records that are about to be removed.
        if (partition.HighWatermark > endOffset)
            partition.SetHighWatermark(Math.Max(endOffset, _log.LogStartOffset));
        _log.TruncateTo(endOffset);
        // The epochs last: a crash before that leaves an epoch without a record, which the next alignment removes.
        _epochs.TruncateFromEnd(endOffset);
        if (partition.HighWatermark > _log.LogEndOffset)
            partition.SetHighWatermark(_log.LogEndOffset);
    }

    /// <inheritdoc/>
    public void MoveLogStart(long offset)
    {
        _log.MoveLogStart(offset, partition.Ports.Log.Now);
        _epochs.TruncateFromStart(_log.LogStartOffset);
        if (partition.HighWatermark < offset)
            partition.SetHighWatermark(offset);
    }

    /// <inheritdoc/>
    public void ResetTo(long logStart)
    {
        _log.ResetTo(logStart);
        // Before what can fail: a high watermark above the log's end would be a loss that did not happen.
        partition.SetHighWatermark(logStart);
        HighWatermarkEpoch = -1;
        _epochs.Clear();
    }
}
