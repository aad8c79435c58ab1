using System.Buffers.Binary;
using OrleansMq.Diagnostics;
using OrleansMq.Log;
using OrleansMq.Producers;
using OrleansMq.Records;
using OrleansMq.Storage;

namespace OrleansMq.Tests.Engine.Producers;

public class ProducerSnapshotTests
{
    private const string Directory = "/data/t-0";
    private readonly MemoryFileSystem _disk = new();
    private readonly ProducerStateManager _producers = new();

    public ProducerSnapshotTests() => _disk.CreateDirectory(Directory);

    [Fact]
    public void State_with_five_batches_survives_a_restart()
    {
        for (var i = 0; i < 8; i++)
            Apply(1, 0, i * 3, 3, now: 900 + i);
        Apply(2, 7, 40, 1, now: 5000);
        Snapshots().Take(_producers, durable: true);

        var loaded = new ProducerStateManager();
        Assert.Equal(25, Snapshots().Load(loaded, 0, long.MaxValue, now: 9999));
        Assert.Equal(25, loaded.EndOffset);
        AssertSame(_producers, loaded);
        Assert.True(loaded.TryGet(1, out var state));
        Assert.True(state.StartedAtZero);
        Assert.Equal(907, state.LastAppendTime);
    }

    [Fact]
    public void Snapshot_equals_Kafkas_byte_for_byte()
    {
        Apply(4711, 3, 0, 5, now: 1);
        Apply(4711, 3, 5, 2, now: 1, attributes: 0x10);
        Snapshots().Take(_producers, durable: true);
        var bytes = AtomicFile.TryRead(_disk, $"{Directory}/00000000000000000007.snapshot")!;
        Assert.Equal(56, bytes.Length);
        Assert.Equal(1, BinaryPrimitives.ReadInt16BigEndian(bytes));
        Assert.Equal(Crc32C.Compute(bytes.AsSpan(6)), BinaryPrimitives.ReadUInt32BigEndian(bytes.AsSpan(2)));
        // count, producer id, epoch, last sequence, last offset, offset delta, timestamp, coordinator epoch, first offset of the
        // transaction
        Assert.Equal("00000001" + "0000000000001267" + "0003" + "00000006" + "0000000000000006" + "00000001" + "00000000000003EA"
            + "FFFFFFFF"
            + "0000000000000005", Convert.ToHexString(bytes.AsSpan(6)));
    }

    [Fact]
    public void Snapshot_without_companion_knows_the_last_batch()
    {
        for (var i = 0; i < 3; i++)
            Apply(1, 0, i, 1);
        Snapshots().Take(_producers, durable: true);
        _disk.DeleteFile($"{Directory}/00000000000000000003.producers");

        var loaded = new ProducerStateManager();
        Snapshots().Load(loaded, 0, long.MaxValue, now: 777);
        Assert.True(loaded.TryGet(1, out var state));
        Assert.Equal([new ProducerBatch(2, 0, 2, 1001)], ProducerStateTests.Batches(state));
        Assert.Equal(777, state.LastAppendTime);
        Assert.Equal(ProducerOutcome.OutOfOrderSequence, loaded.Check(ProducerStateTests.Batch(1, 0, 1, 1)).Outcome);
    }

    [Fact]
    public void Companion_of_another_snapshot_is_not_used()
    {
        Apply(1, 0, 0, 1);
        Apply(1, 0, 1, 1);
        Snapshots().Take(_producers, durable: true);
        var foreign = AtomicFile.TryRead(_disk, $"{Directory}/00000000000000000002.producers")!;
        Apply(1, 0, 2, 1);
        Snapshots().Take(_producers, durable: true);
        AtomicFile.Write(_disk, $"{Directory}/00000000000000000003.producers", foreign);

        // The previous snapshot is whole and holds more batches for deduplication; the caller applies the batches after it.
        var loaded = new ProducerStateManager();
        Assert.Equal(2, Snapshots().Load(loaded, 0, long.MaxValue, 0));
        Assert.True(loaded.TryGet(1, out var state));
        Assert.Equal(2, state.Count);

        // Without another snapshot this one is used.
        Assert.Equal(3, Snapshots().Load(loaded, 3, long.MaxValue, 0));
        Assert.True(loaded.TryGet(1, out state));
        Assert.Equal(1, state.Count);
    }

    [Fact]
    public void Damaged_snapshot_is_deleted_and_an_older_one_used()
    {
        Apply(1, 0, 0, 1);
        Snapshots().Take(_producers, durable: true);
        Apply(1, 0, 1, 1);
        Snapshots().Take(_producers, durable: true);
        var path = $"{Directory}/00000000000000000002.snapshot";
        var bytes = AtomicFile.TryRead(_disk, path)!;
        for (var bit = 0; bit < bytes.Length * 8; bit++)
        {
            var flipped = bytes.ToArray();
            flipped[bit / 8] ^= (byte)(1 << (bit % 8));
            AtomicFile.Write(_disk, path, flipped);
            var loaded = new ProducerStateManager();
            Assert.Equal(1, Snapshots().Load(loaded, 0, long.MaxValue, 0));
            Assert.False(_disk.FileExists(path));
        }
        foreach (var length in new[] { 0, 5, 9, 10, bytes.Length - 1 })
        {
            AtomicFile.Write(_disk, path, bytes.AsSpan(0, length));
            Assert.Equal(1, Snapshots().Load(new ProducerStateManager(), 0, long.MaxValue, 0));
        }
    }

    [Fact]
    public void Damaged_companion_loses_only_the_earlier_batches()
    {
        for (var i = 0; i < 5; i++)
            Apply(1, 0, i, 1);
        Snapshots().Take(_producers, durable: true);
        var path = $"{Directory}/00000000000000000005.producers";
        var bytes = AtomicFile.TryRead(_disk, path)!;
        for (var bit = 0; bit < bytes.Length * 8; bit++)
        {
            var flipped = bytes.ToArray();
            flipped[bit / 8] ^= (byte)(1 << (bit % 8));
            AtomicFile.Write(_disk, path, flipped);
            var loaded = new ProducerStateManager();
            Assert.Equal(5, Snapshots().Load(loaded, 0, long.MaxValue, 0));
            Assert.True(loaded.TryGet(1, out var state));
            Assert.Equal(1, state.Count);
        }
    }

    [Fact]
    public void Only_snapshots_within_the_log_are_loaded()
    {
        foreach (var sequence in new[] { 0, 1, 2 })
        {
            Apply(1, 0, sequence, 1);
            Snapshots().Take(_producers, durable: true);
        }
        Assert.Equal(2, Snapshots().Load(new ProducerStateManager(), 0, maxOffset: 2, 0));
        Assert.Equal(3, Snapshots().Load(new ProducerStateManager(), 2, long.MaxValue, 0));
        var none = new ProducerStateManager();
        Assert.Equal(10, Snapshots().Load(none, logStartOffset: 10, long.MaxValue, 0));
        Assert.Equal(10, none.EndOffset);
        Assert.Equal(0, none.Count);
    }

    [Fact]
    public void Obsolete_snapshots_are_deleted_with_their_companions()
    {
        foreach (var sequence in new[] { 0, 1, 2, 3 })
        {
            Apply(1, 0, sequence, 1);
            Snapshots().Take(_producers, durable: true);
        }
        Snapshots().Files.DeleteExcept(new HashSet<long> { 2 });
        Assert.Equal([2L, 4L], Snapshots().Files.List().Order());
        Snapshots().Files.DeleteBefore(100);
        Assert.Equal([4L], Snapshots().Files.List());
        Snapshots().Files.DeleteAfter(3);
        Assert.Empty(_disk.ListFiles(Directory));
    }

    [Fact]
    public void Durable_snapshot_survives_a_power_cut_and_others_are_whole_or_absent()
    {
        for (var seed = 0; seed < 200; seed++)
        {
            var disk = new MemoryFileSystem();
            disk.CreateDirectory(Directory);
            disk.FlushDirectory("/data");
            disk.FlushDirectory("/");
            var producers = new ProducerStateManager();
            producers.Apply(ProducerStateTests.Batch(1, 0, 0, 1), 0);
            new ProducerSnapshots(disk, Directory, EngineLog.Silent).Take(producers, durable: true);
            producers.Apply(ProducerStateTests.Batch(1, 0, 1, 1, offset: 1), 0);
            new ProducerSnapshots(disk, Directory, EngineLog.Silent).Take(producers, durable: false);
            disk = disk.PowerCut(new Random(seed));
            var loaded = new ProducerStateManager();
            Assert.InRange(new ProducerSnapshots(disk, Directory, EngineLog.Silent).Load(loaded, 0, long.MaxValue, 0), 1, 2);
            Assert.True(loaded.TryGet(1, out var state));
            Assert.Equal((int)loaded.EndOffset - 1, state[0].LastSequence);
        }
    }

    private ProducerSnapshots Snapshots() => new(_disk, Directory, EngineLog.Silent);

    private void Apply(long id, short epoch, int sequence, int count, long now = 0, short attributes = 0) =>
        _producers.Apply(ProducerStateTests.Batch(id, epoch, sequence, count, _producers.EndOffset) with { Attributes = attributes }, now);

    private static void AssertSame(ProducerStateManager expected, ProducerStateManager actual)
    {
        Assert.Equal(expected.Count, actual.Count);
        foreach (var (id, state) in expected.Producers)
        {
            Assert.True(actual.TryGet(id, out var other));
            Assert.Equal((state.Epoch, state.StartedAtZero, state.LastAppendTime, state.CoordinatorEpoch,
                state.CurrentTransactionFirstOffset),
                (other.Epoch, other.StartedAtZero, other.LastAppendTime, other.CoordinatorEpoch, other.CurrentTransactionFirstOffset));
            Assert.Equal(ProducerStateTests.Batches(state), ProducerStateTests.Batches(other));
        }
    }
}
