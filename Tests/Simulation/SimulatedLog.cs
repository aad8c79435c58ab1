using OrleansMq.Dedupe;
using OrleansMq.Log;
using OrleansMq.Producers;
using OrleansMq.Records;
using OrleansMq.Replication;

namespace OrleansMq.Tests.Simulation;

/// <summary>A broker's open log.</summary>
internal sealed class SimulatedLog : IReplicaLog
{
    private readonly int _broker;
    private readonly SimulatedDisk _disk;
    private readonly ReplicationRules _rules;
    private const long None = -1;
    private readonly Dictionary<int, (int First, int Last, long BaseOffset, long NextOffset)> _producers = [];
    private LogDedupe _ids = new();
    private long _idsRebuiltAt;
    private long _highWatermark;
    // The log end when the policy became sync, until all below it is flushed.
    private long _awaited = None;

    public SimulatedLog(int broker, SimulatedDisk disk, ReplicationRules rules)
    {
        (_broker, _disk, _rules) = (broker, disk, rules);
        _highWatermark = Math.Min(_disk.HighWatermark, _disk.LogEnd);
        RebuildProducers();
        RebuildIds();
    }

    public Topic Topic => _disk.Topic;
    /// <summary>Whether only flushed records count: the flush policy in force.</summary>
    public bool Sync { get; private set; }
    public IReadOnlyList<ReplicatedBatch> Batches => _disk.Batches;
    public long LogStartOffset => _disk.LogStart;
    public long LogEndOffset => _disk.LogEnd;
    public long CountedEndOffset => _rules.CountedEnd(Sync, _disk.LogEnd, _disk.FlushedEnd);
    public long CompactedEndOffset => _disk.CompactedEnd;
    public long ErasedEndOffset => _disk.ErasedEnd;
    /// <summary>How often the log was cut or emptied.</summary>
    public int Cuts { get; private set; }
    public long HighWatermark => Math.Max(_highWatermark, _disk.LogStart);
    public int HighWatermarkEpoch { get; private set; } = -1;
    public int Fence => _disk.Fence;
    public IReadOnlyList<LeaderEpochEntry> Epochs => _disk.Epochs;
    public int LatestEpoch => EpochHistory.Latest(_disk.Epochs).Epoch;

    /// <summary>Opens with the configuration as it is known then. Until it is, a replica that has promised to count only flushed records
    /// keeps the promise, as does a new one.</summary>
    public void Settle(SimulatedConfig? config)
    {
        _disk.Promise ??= config is not { Sync: false };
        Sync = _disk.CountedOnlyFlushed || config is { Sync: true };
    }

    /// <summary>Puts a flush policy in force. A weaker one ends the promise first; sync gives it once all is flushed that counts.</summary>
    public void FollowPolicy(bool sync)
    {
        if (!sync)
            _disk.Promise = false;
        else if (!_disk.CountedOnlyFlushed && _awaited == None)
            _awaited = LogEndOffset;
        if (!sync)
            _awaited = None;
        Sync = sync;
        PromiseIfFlushed();
    }

    public void Flush()
    {
        _disk.FlushedEnd = _disk.LogEnd;
        PromiseIfFlushed();
    }

    private void PromiseIfFlushed()
    {
        if (_awaited == None || !_rules.HasFlushedCounted(_disk.FlushedEnd, _awaited, LogEndOffset))
            return;
        (_disk.Promise, _awaited) = (true, None);
    }

    /// <summary>Returns the record at an offset; none in a hole.</summary>
    public bool TryGet(long offset, out SimulatedRecord record, out int epoch)
    {
        (record, epoch) = (default, -1);
        var index = FirstEndingAbove(offset);
        if (index == _disk.Batches.Count || _disk.Batches[index].BaseOffset > offset)
            return false;
        var batch = _disk.Batches[index];
        epoch = batch.Epoch;
        foreach (var candidate in SimulatedRecord.In(batch.Bytes))
        {
            if (batch.BaseOffset + candidate.Delta != offset)
                continue;
            record = candidate;
            return true;
        }
        return false;
    }

    public void SetHighWatermark(long offset, int epoch)
    {
        Verdict.Require(offset <= LogEndOffset, "a high watermark lies at or below the log's end");
        (_highWatermark, HighWatermarkEpoch) = (offset, epoch);
    }

    public void RaiseFence(int epoch)
    {
        _disk.Fence = epoch;
        WriteHighWatermark();
    }

    /// <summary>Stores the high watermark along with something else.</summary>
    public void WriteHighWatermark() => _disk.HighWatermark = HighWatermark;

    public void NoteErased(long endOffset) => _disk.ErasedEnd = Math.Max(endOffset, _disk.ErasedEnd);

    public LeaderEpochEntry EndOffsetFor(int epoch)
    {
        var epochs = _disk.Epochs;
        if (epochs.Count == 0 || epoch > epochs[^1].Epoch)
            return LeaderEpochCache.None;
        if (epoch == epochs[^1].Epoch)
            return new LeaderEpochEntry(epoch, LogEndOffset);
        var next = epochs.FindIndex(e => e.Epoch > epoch);
        return next == 0 ? new LeaderEpochEntry(epoch, epochs[0].StartOffset)
            : new LeaderEpochEntry(epochs[next - 1].Epoch, epochs[next].StartOffset);
    }

    public void AssignEpoch(int epoch, long startOffset)
    {
        if (epoch <= LatestEpoch)
            return;
        _disk.Epochs.RemoveAll(e => e.StartOffset >= startOffset);
        _disk.Epochs.Add(new LeaderEpochEntry(epoch, startOffset));
    }

    public ProducerDecision CheckProducer(ReadOnlyMemory<byte> batch)
    {
        var header = SimulatedRecord.Header(batch);
        if (header.Producer < SimulatedRecord.Control)
            return CheckIds(batch);
        if (header.Producer == SimulatedRecord.NoProducer || !_producers.TryGetValue(header.Producer, out var last)
            || header.Sequence == last.Last + 1)
            return ProducerDecision.Accepted;
        if (header.Sequence == last.First && header.Key == last.Last)
            return new ProducerDecision(ProducerOutcome.Duplicate, last.BaseOffset, last.NextOffset - 1);
        return new ProducerDecision(ProducerOutcome.OutOfOrderSequence);
    }

    public ReplicatedBatch Append(ReadOnlyMemory<byte> batch, int epoch)
    {
        if (SimulatedRecord.Header(batch).Producer < SimulatedRecord.Control)
            AppendChange(new DedupeClaims(ForgetBelow: 0, Time: 0, CrcOf(batch), [.. IdsOf(batch).Select((id, delta) => (delta, id))]),
                epoch);
        var stamped = new ReplicatedBatch(LogEndOffset, LogEndOffset + SimulatedRecord.Header(batch).Delta, epoch, batch);
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
        Verdict.Require(batch.BaseOffset >= LogEndOffset, "appends are sequential");
        Verdict.Require(batch.Epoch == LatestEpoch, "epochs are assigned before their batches");
        _disk.Batches.Add(batch);
        _disk.LogEnd = batch.NextOffset;
        NoteProducer(batch);
        if (_rules is not FollowersNoteNoMessageIds || Topic.Leader?.Log == this)
            NoteIds(batch);
        Topic.Replicas.OnAppended(_broker, batch);
    }

    public void AdvanceTo(long endOffset)
    {
        Verdict.Require(endOffset >= LogEndOffset, "the log's end advances");
        _disk.LogEnd = endOffset;
    }

    /// <summary>Returns whole batches that end above an offset, like a read from files.</summary>
    public List<ReplicatedBatch> Read(long from, long limit, int maxBatches)
    {
        var batches = new List<ReplicatedBatch>();
        for (var i = FirstEndingAbove(from); i < _disk.Batches.Count && batches.Count < maxBatches && _disk.Batches[i].BaseOffset < limit;
            i++)
            batches.Add(_disk.Batches[i]);
        return batches;
    }

    public void TruncateTo(long endOffset)
    {
        Verdict.Require(endOffset <= LogEndOffset && endOffset >= LogStartOffset && endOffset >= CompactedEndOffset,
            "a cut lies in the log, above what was compacted");
        var first = FirstEndingAbove(endOffset);
        _disk.LogEnd = first < _disk.Batches.Count ? Math.Min(endOffset, _disk.Batches[first].BaseOffset) : endOffset;
        Verdict.Require(_disk.LogEnd >= _disk.LogStart, "a log ends at or above its start");
        _disk.Batches.RemoveRange(first, _disk.Batches.Count - first);
        _disk.Epochs.RemoveAll(e => e.StartOffset >= _disk.LogEnd);
        _disk.FlushedEnd = Math.Min(_disk.FlushedEnd, _disk.LogEnd);
        _disk.ErasedEnd = Math.Min(_disk.ErasedEnd, _disk.LogEnd);
        Cuts++;
        _highWatermark = Math.Min(_highWatermark, _disk.LogEnd);
        WriteHighWatermark();
        RebuildProducers();
        if (_rules is not MessageIdsOfCutBatchesStay)
            RebuildIds();
    }

    public void MoveLogStart(long offset)
    {
        Verdict.Require(offset <= LogEndOffset, "the log's start lies at or below its end");
        if (offset <= LogStartOffset)
            return;
        _disk.LogStart = offset;
        WriteHighWatermark();
        _disk.FlushedEnd = Math.Max(_disk.FlushedEnd, offset);
        _disk.Batches.RemoveRange(0, FirstEndingAbove(offset));
        var current = _disk.Epochs.FindLastIndex(e => e.StartOffset <= offset);
        if (current < 0)
            return;
        _disk.Epochs[current] = _disk.Epochs[current] with { StartOffset = offset };
        _disk.Epochs.RemoveRange(0, current);
    }

    public void ResetTo(long logStart)
    {
        _disk.Batches.Clear();
        _disk.Epochs.Clear();
        (_disk.LogStart, _disk.LogEnd, _disk.FlushedEnd, _disk.CompactedEnd, _highWatermark) = (logStart, logStart, logStart, 0, logStart);
        _disk.ErasedEnd = Math.Min(_disk.ErasedEnd, logStart);
        WriteHighWatermark();
        Cuts++;
        RebuildProducers();
        RebuildIds();
    }

    /// <summary>Returns the end of the last tombstone that a compaction would erase; 0 for none. One that was compacted before has shown
    /// itself long enough.</summary>
    public long ErasableEnd(long horizon, long limit)
    {
        var end = 0L;
        var latest = LatestBelow(horizon);
        limit = Math.Min(limit, CompactedEndOffset);
        foreach (var batch in _disk.Batches)
        {
            foreach (var record in SimulatedRecord.In(batch.Bytes))
            {
                var offset = batch.BaseOffset + record.Delta;
                if (record.IsTombstone && offset < limit && batch.NextOffset <= horizon && latest[record.CompactionKey] == offset)
                    end = offset + 1;
            }
        }
        return end;
    }

    private Dictionary<int, long> LatestBelow(long horizon)
    {
        var latest = new Dictionary<int, long>();
        foreach (var batch in _disk.Batches)
        {
            foreach (var record in SimulatedRecord.In(batch.Bytes))
            {
                if (batch.BaseOffset + record.Delta < horizon)
                    latest[record.CompactionKey] = batch.BaseOffset + record.Delta;
            }
        }
        return latest;
    }

    /// <summary>Removes records replaced by a later one of the same key below the horizon, and tombstones below an offset that were
    /// compacted before. The last batch of a producer stays, if necessary empty.</summary>
    public void Compact(long horizon, long erasedEnd)
    {
        var latest = LatestBelow(horizon);
        erasedEnd = Math.Min(erasedEnd, CompactedEndOffset);
        for (var i = _disk.Batches.Count - 1; i >= 0; i--)
        {
            var batch = _disk.Batches[i];
            if (batch.NextOffset > horizon)
                continue;
            var kept = new List<SimulatedRecord>();
            foreach (var record in SimulatedRecord.In(batch.Bytes))
            {
                var offset = batch.BaseOffset + record.Delta;
                if (latest[record.CompactionKey] == offset && !(record.IsTombstone && offset < erasedEnd))
                    kept.Add(record);
                else
                    Topic.Clients.OnCompacted(offset, batch.Epoch);
            }
            if (kept.Count == 0 && !IsLastOfProducer(batch))
                _disk.Batches.RemoveAt(i);
            else
                _disk.Batches[i] = batch with { Bytes = SimulatedRecord.Retain(batch, kept) };
        }
        _disk.CompactedEnd = Math.Max(_disk.CompactedEnd, horizon);
    }

    /// <summary>Returns the highest offset at which the log may start: retention keeps the oldest last batch of a producer, so that all
    /// producers stay known, and what tells of message ids.</summary>
    public long StartBound() => Math.Min(_producers.Count == 0 ? LogEndOffset : _producers.Values.Min(p => p.BaseOffset),
        !_ids.IsUsed || _rules is LogStartPassesMessageIds ? LogEndOffset
        : HighWatermark < _idsRebuiltAt ? LogStartOffset : _ids.StartBound(HighWatermark));

    /// <summary>Appends a statement of some message ids, if one would let the log start later.</summary>
    public void Restate(int epoch)
    {
        if (_ids.Restate(HighWatermark, after: -1, time: 0, most: 5) is { } statement)
        {
            AppendChange(statement, epoch);
            Topic.Restated++;
        }
    }

    private ProducerDecision CheckIds(ReadOnlyMemory<byte> batch)
    {
        var ids = IdsOf(batch);
        var decision = DedupeDecision.Decide(ids, _ids, now: 0, windowMs: long.MaxValue);
        Verdict.Require(decision.LeftOut == 0 || decision.LeftOut == ids.Length, "message ids: a part of a batch is known");
        Topic.Repeated += decision.LeftOut > 0 ? 1 : 0;
        return decision.LeftOut == 0 ? ProducerDecision.Accepted : new ProducerDecision(ProducerOutcome.Duplicate, decision.FirstOriginal,
            _rules is DuplicateMessageIdAcknowledgedEarly ? -1 : decision.OriginalEnd - 1);
    }

    private void AppendChange(DedupeChange change, int epoch)
    {
        Topic.ControlBatches.Add(change is DedupeClaims claims ? DedupeRecord.Build(claims, default) : DedupeRecord.Build(
            (DedupeStatement)change, change.Time));
        AppendReplicated(new ReplicatedBatch(LogEndOffset, LogEndOffset + 1, epoch,
            SimulatedRecord.ControlBatch(Topic.Number, Topic.ControlBatches.Count - 1)));
    }

    private void RebuildIds()
    {
        (_ids, _idsRebuiltAt) = (new LogDedupe(), LogEndOffset);
        foreach (var batch in _disk.Batches)
            NoteIds(batch);
    }

    private void NoteIds(in ReplicatedBatch batch)
    {
        var header = SimulatedRecord.Header(batch.Bytes);
        if (header.Producer == SimulatedRecord.Control)
        {
            var bytes = Topic.ControlBatches[header.Sequence];
            var control = RecordBatchHeader.Read(bytes) with { BaseOffset = batch.BaseOffset };
            _ids.Apply(control, bytes);
            if (_rules is ClaimsCountWithoutTheirBatch && DedupeRecord.TryFind(control, bytes, out var value)
                && DedupeRecord.Decode(value) is DedupeClaims claims)
                _ids.Apply(default(RecordBatchHeader) with { BaseOffset = batch.NextOffset, Crc = claims.Crc }, default);
        }
        else if (_ids.IsUsed)
        {
            _ids.Apply(default(RecordBatchHeader) with { BaseOffset = batch.BaseOffset, Crc = CrcOf(batch.Bytes) }, default);
        }
    }

    private static uint CrcOf(ReadOnlyMemory<byte> batch) => Crc32C.Compute(batch.Span);

    private static UInt128[] IdsOf(ReadOnlyMemory<byte> batch)
    {
        var records = SimulatedRecord.In(batch);
        var ids = new UInt128[records.Length];
        for (var i = 0; i < ids.Length; i++)
            ids[i] = new UInt128((uint)records[i].Producer, (uint)records[i].Sequence);
        return ids;
    }

    private bool IsLastOfProducer(in ReplicatedBatch batch) =>
        _producers.TryGetValue(SimulatedRecord.Header(batch.Bytes).Producer, out var last) && last.BaseOffset == batch.BaseOffset;

    private int FirstEndingAbove(long offset)
    {
        var (low, high) = (0, _disk.Batches.Count);
        while (low < high)
        {
            var middle = (low + high) / 2;
            if (_disk.Batches[middle].NextOffset > offset)
                high = middle;
            else
                low = middle + 1;
        }
        return low;
    }

    private void RebuildProducers()
    {
        _producers.Clear();
        foreach (var batch in _disk.Batches)
            NoteProducer(batch);
    }

    private void NoteProducer(in ReplicatedBatch batch)
    {
        var header = SimulatedRecord.Header(batch.Bytes);
        if (header.Producer >= 0)
            _producers[header.Producer] = (header.Sequence, header.Key, batch.BaseOffset, batch.NextOffset);
    }
}
