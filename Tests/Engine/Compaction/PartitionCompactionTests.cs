using OrleansMq.Api;
using OrleansMq.Records;
using OrleansMq.Storage;
using OrleansMq.Tests.Engine.Partitions;
using OrleansMq.Topics;

namespace OrleansMq.Tests.Engine.Compaction;

public class PartitionCompactionTests
{
    private static readonly TopicConfig Compacted = TopicConfig.Default with { CleanupCompact = true, CleanupDelete = false,
        SegmentBytes = 2000, FileDeleteDelayMs = 0 };

    [Fact]
    public async Task Store_cleans_compacted_partitions_which_recover_after_a_kill()
    {
        await using var rig = await PartitionRig.StartAsync(Compacted);
        await rig.AppendManyAsync(200);
        var size = rig.Partition.SizeInBytes;
        rig.Store.RunCompaction();
        Assert.InRange(rig.Partition.SizeInBytes, 1, size / 2);
        var values = await rig.ReadAllAsync();
        Assert.Equal(26, values.Select(v => v.Value).Distinct().Count());
        Assert.Equal(200, rig.Partition.LogEndOffset);
        await rig.KillAsync();
        Assert.Equal(values, await rig.ReadAllAsync());
        await rig.AppendAsync("more");
        Assert.Equal(201, rig.Partition.HighWatermark);
    }

    [Fact]
    public async Task Batch_with_unreadable_records_is_kept()
    {
        await using var rig = await PartitionRig.StartAsync(TopicConfig.Default with { SegmentBytes = 2000, FileDeleteDelayMs = 0 });
        // A valid header over records that are not gzip.
        var batch = PartitionRig.Batch(rig.Clock.Now, "z");
        batch[22] = (byte)CompressionType.Gzip;
        RecordBatches.Seal(batch);
        Assert.Equal(ErrorCode.None, (await rig.Partition.AppendAsync(batch, Acks.All)).Error);
        await rig.AppendManyAsync(60);
        rig.Config = Compacted;
        rig.Partition.UpdateConfig(Compacted);
        rig.Store.RunCompaction();
        Assert.Null(rig.Partition.OfflineReason);
        Assert.Contains(rig.Lines.Of(Diagnostics.EngineLogLevel.Warning), line => line.Contains("cannot be looked into"));
        using var first = await rig.Partition.ReadAsync(new FetchRequest(PartitionRig.Name, 0, 1));
        Assert.Equal(batch[21..], first.Records.ToArray()[21..]);
    }

    [Fact]
    public async Task Full_disk_is_reported_and_the_partition_stays_online()
    {
        var disk = new MemoryFileSystem();
        await using var rig = await PartitionRig.StartAsync(Compacted, disk);
        for (var i = 0; i < 60; i++)
            await rig.AppendAsync($"{Math.Min(i, 40)} {new string('x', 100)}");
        rig.Partition.Checkpoint();
        var before = await rig.ReadAllAsync();
        disk.Capacity = UsedBytes(disk) + 500;
        rig.Store.RunCompaction();
        Assert.Null(rig.Partition.OfflineReason);
        Assert.NotEmpty(rig.Lines.Of(Diagnostics.EngineLogLevel.Warning));
        Assert.Equal(before, await rig.ReadAllAsync());
        disk.Capacity = long.MaxValue;
        rig.Store.RunCompaction();
        Assert.True((await rig.ReadAllAsync()).Count < before.Count);
    }

    [Fact]
    public async Task Deleted_topic_stops_its_cleaning()
    {
        await using var rig = await PartitionRig.StartAsync(Compacted,
            options: o => o with { TimeProvider = TimeProvider.System, CompactionMaxBytesPerSecond = 1 });
        await rig.AppendManyAsync(100);
        var cleaning = Task.Factory.StartNew(() => rig.Store.RunCompaction(), TaskCreationOptions.LongRunning);
        await rig.Store.DeleteAsync(PartitionRig.Name).WaitAsync(TimeSpan.FromSeconds(30));
        await cleaning.WaitAsync(TimeSpan.FromSeconds(30));
        Assert.False(rig.Files.DirectoryExists(PartitionRig.PartitionPath));
    }

    private static long UsedBytes(MemoryFileSystem disk)
    {
        disk.Capacity = 1L << 40;
        return disk.Capacity - disk.GetFreeSpace("/");
    }
}
