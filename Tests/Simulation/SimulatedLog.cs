using System.Buffers.Binary;
using OrleansMq.Log;
using OrleansMq.Producers;
using OrleansMq.Replication;

namespace OrleansMq.Tests.Simulation;

/// <summary>A broker's open log: one record a batch, so that offsets are indexes.</summary>
internal sealed class SimulatedLog : IReplicaLog
{
    /// <summary>Producers below this are idempotent.</summary>
    public const int IdempotentProducers = 3;
    private readonly SimulatedDisk _disk;
    private readonly bool _sync;
    private readonly ReplicaChecker _checker;
    private readonly (int Sequence, long Offset)[] _producers = new (int, long)[IdempotentProducers];

    public SimulatedLog(SimulatedDisk disk, bool sync, ReplicaChecker checker)
    {
        (_disk, _sync, _checker) = (disk, sync, checker);
        RebuildProducers();
    }

    public static byte[] Record(int producer, int sequence)
    {
        var bytes = new byte[8];
        BinaryPrimitives.WriteInt32BigEndian(bytes, producer);
        BinaryPrimitives.WriteInt32BigEndian(bytes.AsSpan(4), sequence);
        return bytes;
    }

    public static (int Producer, int Sequence) Parse(ReadOnlyMemory<byte> bytes) =>
        (BinaryPrimitives.ReadInt32BigEndian(bytes.Span), BinaryPrimitives.ReadInt32BigEndian(bytes.Span[4..]));

    public long LogEndOffset => _disk.Batches.Count;
    public long CountedEndOffset => _sync ? _disk.FlushedCount : _disk.Batches.Count;
    public long LogStartOffset => 0;
    public long HighWatermark { get; private set; }
    public int HighWatermarkEpoch { get; private set; } = -1;
    public int Fence => _disk.Fence;
    public IReadOnlyList<LeaderEpochEntry> Epochs => _disk.Epochs;
    private LeaderEpochEntry LatestEpoch => _disk.Epochs is [.., var last] ? last : LeaderEpochCache.None;
    public ReplicatedBatch this[long offset] => _disk.Batches[(int)offset];

    public void RaiseFence(int epoch) => _disk.Fence = epoch;

    public void SetHighWatermark(long offset, int epoch) => (HighWatermark, HighWatermarkEpoch) = (offset, epoch);

    public void AssignEpoch(int epoch, long startOffset) => Assign(epoch, startOffset);

    public LeaderEpochEntry EndOffsetFor(int epoch)
    {
        var epochs = _disk.Epochs;
        if (epochs.Count == 0 || epoch > epochs[^1].Epoch)
            return LeaderEpochCache.None;
        if (epoch == epochs[^1].Epoch)
            return new LeaderEpochEntry(epoch, LogEndOffset);
        var next = epochs.FindIndex(e => e.Epoch > epoch);
        return next == 0 ? new LeaderEpochEntry(epoch, epochs[0].StartOffset) : new LeaderEpochEntry(epochs[next - 1].Epoch, epochs[next].StartOffset);
    }

    public ProducerDecision CheckProducer(ReadOnlyMemory<byte> batch)
    {
        var (producer, sequence) = Parse(batch);
        if (producer >= IdempotentProducers || sequence == _producers[producer].Sequence + 1)
            return ProducerDecision.Accepted;
        if (sequence == _producers[producer].Sequence)
            return new ProducerDecision(ProducerOutcome.Duplicate, _producers[producer].Offset, _producers[producer].Offset);
        return new ProducerDecision(ProducerOutcome.OutOfOrderSequence);
    }

    public ReplicatedBatch Append(ReadOnlyMemory<byte> batch, int epoch)
    {
        var stamped = new ReplicatedBatch(LogEndOffset, LogEndOffset + 1, epoch, batch);
        AppendReplicated(stamped);
        return stamped;
    }

    public void AppendReplicated(in ReplicatedBatch batch)
    {
        Verdict.Require(batch.BaseOffset == LogEndOffset, "appends are sequential");
        Verdict.Require(batch.Epoch == LatestEpoch.Epoch, "epochs are assigned before their batches");
        _disk.Batches.Add(batch);
        NoteProducer(batch);
        _checker.OnAppended(batch);
    }

    public void Read(long offset, int maxBatches, List<ReplicatedBatch> into)
    {
        for (var i = (int)offset; i < _disk.Batches.Count && into.Count < maxBatches; i++)
            into.Add(_disk.Batches[i]);
    }

    public void AdvanceTo(long endOffset) => throw new NotSupportedException();

    public void MoveLogStart(long offset) => throw new NotSupportedException();

    public void ResetTo(long logStart) => throw new NotSupportedException();

    public void TruncateTo(long endOffset)
    {
        _disk.Batches.RemoveRange((int)endOffset, _disk.Batches.Count - (int)endOffset);
        _disk.Epochs.RemoveAll(e => e.StartOffset >= endOffset);
        _disk.FlushedCount = Math.Min(_disk.FlushedCount, (int)endOffset);
        RebuildProducers();
    }

    private void Assign(int epoch, long start)
    {
        if (epoch <= LatestEpoch.Epoch)
            return;
        _disk.Epochs.RemoveAll(e => e.StartOffset >= start);
        _disk.Epochs.Add(new LeaderEpochEntry(epoch, start));
    }

    private void RebuildProducers()
    {
        Array.Fill(_producers, (-1, -1));
        foreach (var batch in _disk.Batches)
            NoteProducer(batch);
    }

    private void NoteProducer(in ReplicatedBatch batch)
    {
        var (producer, sequence) = Parse(batch.Bytes);
        if (producer < IdempotentProducers)
            _producers[producer] = (sequence, batch.BaseOffset);
    }
}
