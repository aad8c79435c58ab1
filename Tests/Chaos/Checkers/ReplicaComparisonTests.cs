using OrleansMq.Records;
using OrleansMq.Tests.Chaos.Running;
using OrleansMq.Tests.Chaos.Verification;

namespace OrleansMq.Tests.Chaos.Checkers;

/// <summary>The comparison of replicas on disk detects differences.</summary>
public sealed class ReplicaComparisonTests : IDisposable
{
    private const int Records = 30;

    private readonly TemporaryDirectory _directory = new();
    private readonly Ledger _ledger = new();
    private readonly Violations _violations = new();
    private readonly List<byte[]> _batches = [];

    public ReplicaComparisonTests()
    {
        var producer = _ledger.NewProducer(isOrdered: true);
        for (var offset = 0; offset < Records; offset++)
        {
            var id = _ledger.Send(0, producer);
            _ledger.Acknowledge(0, id, offset);
            _batches.Add(BatchOf(id, offset, leaderEpoch: offset / 10));
        }
    }

    [Fact]
    public void Replicas_with_different_segment_boundaries_are_equal()
    {
        var same = Compare(_batches, _batches, Records);
        Assert.True(_violations.IsEmpty, _violations.ToString());
        Assert.Equal(_batches.Sum(batch => batch.Length), same);
    }

    [Fact]
    public void Records_above_the_high_watermark_may_differ()
    {
        var longer = new List<byte[]>(_batches) { BatchOf(_ledger.Send(0, 0), Records, leaderEpoch: 7) };
        Compare(_batches, longer, Records);
        Assert.True(_violations.IsEmpty, _violations.ToString());
    }

    [Fact]
    public void Different_leader_epoch_is_a_difference()
    {
        var other = _batches.Select(batch => (byte[])batch.Clone()).ToList();
        RecordBatchHeader.StampLeaderEpoch(other[12], 9);
        Compare(_batches, other, Records);
        Assert.Equal(1, _violations.Count(ViolationKind.ReplicasDiffer));
    }

    [Fact]
    public void Replica_shorter_than_the_high_watermark_lacks_acknowledged_records()
    {
        Compare(_batches, _batches[..^3], Records);
        Assert.Equal(1, _violations.Count(ViolationKind.ReplicasDiffer));
        Assert.Equal(3, _violations.Count(ViolationKind.Lost));
    }

    [Fact]
    public void Damaged_batch_is_detected()
    {
        var other = _batches.Select(batch => (byte[])batch.Clone()).ToList();
        other[5][^1] ^= 1;
        Compare(_batches, other, Records);
        Assert.Equal(1, _violations.Count(ViolationKind.Damaged));
        Assert.Equal(1, _violations.Count(ViolationKind.ReplicasDiffer));
    }

    [Fact]
    public void Bytes_that_are_not_a_batch_are_detected()
    {
        var other = _batches.Select(batch => (byte[])batch.Clone()).ToList();
        other[5].AsSpan(8, 4).Clear();
        Compare(_batches, other, Records);
        Assert.Equal(1, _violations.Count(ViolationKind.Damaged));
    }

    public void Dispose() => _directory.Dispose();

    private long Compare(List<byte[]> first, List<byte[]> second, long highWatermark) => ReplicaComparison.Compare(0,
        [(1, Write("first", first, segmentBatches: 10)), (2, Write("second", second, segmentBatches: 7))], highWatermark, _ledger,
        new PartitionHistory(0, _violations), _violations);

    private string Write(string name, List<byte[]> batches, int segmentBatches)
    {
        var directory = Directory.CreateDirectory(_directory[name]).FullName;
        var offset = 0;
        foreach (var segment in batches.Chunk(segmentBatches))
        {
            File.WriteAllBytes(Path.Combine(directory, $"{offset:D20}.log"), [.. segment.SelectMany(batch => batch)]);
            offset += segment.Length;
        }
        return directory;
    }

    private static byte[] BatchOf(RecordId id, long offset, int leaderEpoch)
    {
        using var builder = new RecordBatchBuilder();
        builder.Add(1_767_225_600_000, default, false, RecordValue.Of(id, 50), true);
        var batch = builder.Build().ToArray();
        RecordBatchHeader.StampBaseOffset(batch, offset);
        RecordBatchHeader.StampLeaderEpoch(batch, leaderEpoch);
        return batch;
    }
}
