using OrleansMq.Partitions;
using OrleansMq.Queues;
using OrleansMq.Records;
using OrleansMq.Replication;
using OrleansMq.Storage;
using OrleansMq.Tests.Engine.Partitions;
using OrleansMq.Topics;

namespace OrleansMq.Tests.Engine.Replicas;

/// <summary>A follower's log writes the batches of one push together.</summary>
public sealed class ReplicaLogTests
{
    [Theory]
    [InlineData(1_000_000)]
    [InlineData(1_000)]
    public async Task Batches_of_one_push_are_stored_as_if_pushed_individually(int segmentBytes)
    {
        // More than one write takes, and with small segments more than one segment.
        const int count = 200;
        var batches = Batches(count);
        await using var together = await PartitionRig.StartAsync(TopicConfig.Default with { SegmentBytes = segmentBytes });
        await using var single = await PartitionRig.StartAsync(TopicConfig.Default with { SegmentBytes = segmentBytes });
        var log = new ReplicaLog(together.Partition);
        var other = new ReplicaLog(single.Partition);
        lock (together.Partition.Log!.AppendLock)
        {
            log.AppendReplicated(batches, 0, 3);
            log.AppendReplicated(batches, 3, count - 3);
            log.SetHighWatermark(count, 0);
        }
        lock (single.Partition.Log!.AppendLock)
        {
            foreach (var batch in batches)
                other.AppendReplicated([batch], 0, 1);
            other.SetHighWatermark(count, 0);
        }
        Assert.Equal(count, log.LogEndOffset);
        Assert.Equal(Enumerable.Range(0, count).Select(number => ((long)number, $"{number}")), await together.ReadAllAsync());
        Assert.Equal(single.FilesOf(".log"), together.FilesOf(".log"));
        Assert.All(single.FilesOf(".log"), file => Assert.Equal(single.LengthOf(file), together.LengthOf(file)));
        await together.RestartAsync();
        Assert.Null(together.Partition.OfflineReason);
        Assert.Equal(count, together.Partition.LogEndOffset);
    }

    [Fact]
    public async Task Push_that_is_half_written_and_cannot_be_cut_is_no_fault_that_passes()
    {
        var files = new FaultyFiles(new MemoryFileSystem());
        await using var rig = await PartitionRig.StartAsync(TopicConfig.Default, files);
        var log = new ReplicaLog(rig.Partition);
        files.OnWrite = (path, _, _) => throw new DiskFullException(path);
        lock (rig.Partition.Log!.AppendLock)
        {
            Assert.Throws<PushNotTakenException>(() => log.AppendReplicated(Batches(3), 0, 3));
            Assert.Equal(0, rig.LengthOf("00000000000000000000.log"));
            files.OnSetLength = FaultyFiles.NoHandle;
            var fault = Assert.ThrowsAny<IOException>(() => log.AppendReplicated(Batches(3), 0, 3));
            Assert.False(StorageFaults.Passes(fault));
        }
        (files.OnWrite, files.OnSetLength) = (null, null);
    }

    /// <summary>With a reserve of 100 MiB.</summary>
    [Theory]
    [InlineData(49, false, false)]
    [InlineData(50, false, true)]
    [InlineData(24, true, false)]
    [InlineData(25, true, true)]
    public async Task Follower_takes_records_down_to_half_of_the_reserve_and_control_batches_down_to_a_quarter(int freeMiB, bool isControl,
        bool isTaken)
    {
        var files = new FaultyFiles(new MemoryFileSystem()) { FreeSpace = (long)freeMiB << 20 };
        await using var rig = await PartitionRig.StartAsync(TopicConfig.Default, files, options =>
            options with { MinFreeBytes = 100 << 20 });
        var log = new ReplicaLog(rig.Partition);
        var batches = isControl ? [Control()] : Batches(1);
        lock (rig.Partition.Log!.AppendLock)
        {
            if (isTaken)
                log.AppendReplicated(batches, 0, 1);
            else
                Assert.Throws<PushNotTakenException>(() => log.AppendReplicated(batches, 0, 1));
            Assert.Equal(isTaken ? 1 : 0, log.LogEndOffset);
        }
    }

    /// <summary>An index entry holds 31 bits above its segment's base; compaction may leave a larger hole.</summary>
    [Theory]
    [InlineData(0)]
    [InlineData(3)]
    public async Task Batch_beyond_a_hole_that_no_index_can_hold_begins_a_segment(int before)
    {
        const long far = 5_000_000_000;
        await using var rig = await PartitionRig.StartAsync(TopicConfig.Default with { IndexIntervalBytes = 1 });
        var log = new ReplicaLog(rig.Partition);
        lock (rig.Partition.Log!.AppendLock)
        {
            if (before > 0)
                log.AppendReplicated(Batches(before), 0, before);
            log.AppendReplicated(Batches(10, far), 0, 10);
            log.SetHighWatermark(far + 10, 0);
        }
        rig.Partition.Checkpoint();
        Assert.Contains(rig.FilesOf(".log"), file => file.StartsWith($"{far:D20}", StringComparison.Ordinal));
        var all = await rig.ReadAllAsync();
        Assert.Equal(before + 10, all.Count);
        Assert.Equal(far + 9, all[^1].Offset);
        await rig.RestartAsync();
        Assert.Equal(all, await rig.ReadAllAsync());
        await rig.KillAsync();
        Assert.Equal(all, await rig.ReadAllAsync());
    }

    /// <summary>The CRC does not cover a batch's offset, and a log with holes takes any that is higher.</summary>
    [Fact]
    public async Task Last_batch_with_an_offset_that_no_index_can_hold_is_cut()
    {
        const string file = "00000000000000000000.log";
        await using var rig = await PartitionRig.StartAsync(TopicConfig.Default with { IndexIntervalBytes = 1, CleanupCompact = true });
        rig.Partition.Log!.Settle(Guid.NewGuid(), Guid.Empty, 0, countedOnlyFlushed: false);
        await rig.AppendManyAsync(5);
        rig.Use(((MemoryFileSystem)rig.Files).ProcessKill());
        rig.Flip(file, rig.LengthOf(file) / 5 * 4 + 1);
        await rig.OpenAsync();
        Assert.Null(rig.Partition.OfflineReason);
        Assert.Equal(4, rig.Partition.LogEndOffset);
    }

    private static ReplicatedBatch Control()
    {
        using var builder = new RecordBatchBuilder();
        CursorControlRecord.AddTo(builder, 1, [new CursorRemoval(0, Guid.NewGuid())]);
        var bytes = builder.Build().ToArray();
        RecordBatchHeader.StampBaseOffset(bytes, 0);
        RecordBatchHeader.StampLeaderEpoch(bytes, 0);
        return new ReplicatedBatch(0, 1, 0, bytes);
    }

    private static List<ReplicatedBatch> Batches(int count, long first = 0) => [.. Enumerable.Range(0, count).Select(number =>
    {
        var bytes = PartitionRig.Batch(1, $"{number}");
        RecordBatchHeader.StampBaseOffset(bytes, first + number);
        RecordBatchHeader.StampLeaderEpoch(bytes, 0);
        return new ReplicatedBatch(first + number, first + number + 1, 0, bytes);
    })];
}
