using OrleansMq.Log;
using OrleansMq.Storage;
using OrleansMq.Topics;

namespace OrleansMq.Tests.Engine.Partitions;

/// <summary>What is appended goes to the disk by and by, long before anybody flushes it.</summary>
public sealed class WritebackTests
{
    private const int ValueBytes = 128 << 10;
    private const int BatchBytes = 2 * ValueBytes; // The rig's keys hold the value too. A little more with what else a batch has.
    private const int Enough = WritebackStep.MinBytes / BatchBytes;

    [Theory]
    [InlineData(FlushPolicy.None)]
    [InlineData(FlushPolicy.Interval)]
    public async Task The_disk_begins_with_what_was_appended_once_that_is_enough_and_each_time_where_it_ended(FlushPolicy policy)
    {
        var (files, ranges) = Watched();
        await using var rig = await PartitionRig.StartAsync(TopicConfig.DefaultFor(policy), files);
        await rig.AppendManyAsync(Enough - 1, ValueBytes);
        rig.Store.RunMaintenance(rig.Clock.Now);
        Assert.Empty(ranges);

        await rig.AppendManyAsync(1, ValueBytes);
        rig.Store.RunMaintenance(rig.Clock.Now);
        var size = rig.LengthOf("00000000000000000000.log");
        var first = size - (size % 4096);
        Assert.Equal([(0L, first)], ranges);

        // Nothing new: nothing to do. What the step before left counts for the next one.
        rig.Store.RunMaintenance(rig.Clock.Now);
        await rig.AppendManyAsync(Enough - 1, ValueBytes);
        rig.Store.RunMaintenance(rig.Clock.Now);
        Assert.Single(ranges);
        await rig.AppendManyAsync(1, ValueBytes);
        rig.Store.RunMaintenance(rig.Clock.Now);
        Assert.Equal(2, ranges.Count);
        Assert.Equal(first, ranges[1].Position);
        Assert.InRange(ranges[1].Length, WritebackStep.MinBytes, WritebackStep.MinBytes + BatchBytes);
    }

    [Fact]
    public async Task A_new_segment_is_counted_from_its_own_start()
    {
        var (files, ranges) = Watched();
        await using var rig = await PartitionRig.StartAsync(TopicConfig.DefaultFor(FlushPolicy.None) with { SegmentBytes = 3 * WritebackStep.MinBytes / 2 }, files);
        await rig.AppendManyAsync(2 * Enough, ValueBytes);
        Assert.Equal(2, rig.FilesOf(".log").Count);
        rig.Store.RunMaintenance(rig.Clock.Now);
        Assert.Empty(ranges);
        await rig.AppendManyAsync(Enough / 2, ValueBytes);
        rig.Store.RunMaintenance(rig.Clock.Now);
        Assert.Equal(0, Assert.Single(ranges).Position);
    }

    [Fact]
    public async Task What_is_flushed_before_it_is_acknowledged_needs_none()
    {
        var (files, ranges) = Watched();
        await using var rig = await PartitionRig.StartAsync(TopicConfig.DefaultFor(FlushPolicy.Sync), files);
        await rig.AppendManyAsync(2 * Enough, ValueBytes);
        rig.Store.RunMaintenance(rig.Clock.Now);
        Assert.Empty(ranges);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_disk_that_could_not_take_it_takes_the_partition_offline_and_is_not_asked_again(bool isFull)
    {
        var (files, _) = Watched();
        files.OnWriteBack = (path, _, _) => throw (isFull ? new DiskFullException(path) : new IOException($"Cannot write back '{path}': Input/output error (error 5)."));
        await using var rig = await PartitionRig.StartAsync(TopicConfig.DefaultFor(FlushPolicy.None), files);
        await rig.AppendManyAsync(Enough, ValueBytes);
        var flushed = new List<string>();
        files.OnFlush = path =>
        {
            lock (flushed)
                flushed.Add(path);
        };
        rig.Store.RunMaintenance(rig.Clock.Now);
        Assert.Contains("00000000000000000000.log", rig.Partition.OfflineReason, StringComparison.Ordinal);
        await rig.Store.DisposeAsync();
        Assert.DoesNotContain(flushed, path => path.EndsWith(".log", StringComparison.Ordinal));
    }

    private static (FaultyFiles Files, List<(long Position, long Length)> Ranges) Watched()
    {
        var ranges = new List<(long, long)>();
        var files = new FaultyFiles(new MemoryFileSystem()) { OnWriteBack = (_, position, length) => ranges.Add((position, length)) };
        return (files, ranges);
    }
}
