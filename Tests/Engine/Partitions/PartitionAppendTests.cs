using OrleansMq.Topics;

namespace OrleansMq.Tests.Engine.Partitions;

public sealed class PartitionAppendTests
{
    [Fact]
    public async Task Appended_records_are_read_in_order_without_offset_gaps()
    {
        await using var rig = await PartitionRig.StartAsync();
        Assert.Equal(0, (await rig.AppendAsync("a", "b")).BaseOffset);
        Assert.Equal(2, (await rig.AppendAsync("c")).BaseOffset);
        Assert.Equal([(0L, "a"), (1L, "b"), (2L, "c")], await rig.ReadAllAsync());
        Assert.Equal((0L, 3L, 3L), (rig.Partition.LogStartOffset, rig.Partition.HighWatermark, rig.Partition.LogEndOffset));
    }

    [Theory]
    [InlineData(FlushPolicy.None)]
    [InlineData(FlushPolicy.Interval)]
    [InlineData(FlushPolicy.Sync)]
    public async Task Clean_restart_finds_all_records(FlushPolicy policy)
    {
        await using var rig = await PartitionRig.StartAsync(TopicConfig.DefaultFor(policy) with { SegmentBytes = 1000 });
        await rig.AppendManyAsync(50);
        var before = await rig.ReadAllAsync();
        await rig.RestartAsync();
        Assert.Null(rig.Partition.OfflineReason);
        Assert.Equal(before, await rig.ReadAllAsync());
        Assert.Equal(50, (await rig.AppendAsync("more")).BaseOffset);
        Assert.Equal("more", (await rig.ReadAllAsync()).Last().Value);
    }

    [Theory]
    [InlineData(FlushPolicy.None)]
    [InlineData(FlushPolicy.Sync)]
    public async Task Killed_process_loses_nothing(FlushPolicy policy)
    {
        await using var rig = await PartitionRig.StartAsync(TopicConfig.DefaultFor(policy) with { SegmentBytes = 1000 });
        await rig.AppendManyAsync(50);
        var before = await rig.ReadAllAsync();
        await rig.KillAsync();
        Assert.Null(rig.Partition.OfflineReason);
        Assert.Equal(before, await rig.ReadAllAsync());
        Assert.Equal(50, (await rig.AppendAsync("more")).BaseOffset);
    }

    [Fact]
    public async Task Concurrent_senders_get_distinct_offsets()
    {
        await using var rig = await PartitionRig.StartAsync(new TopicConfig { SegmentBytes = 20_000 });
        var senders = Enumerable.Range(0, 8).Select(sender => Task.Run(async () =>
        {
            var offsets = new List<long>();
            for (var i = 0; i < 200; i++)
            {
                var result = await rig.AppendAsync($"{sender}/{i}");
                Assert.Equal(ErrorCode.None, result.Error);
                offsets.Add(result.BaseOffset);
            }
            return offsets;
        })).ToArray();
        var offsets = await Task.WhenAll(senders);
        Assert.Equal(Enumerable.Range(0, 1600).Select(i => (long)i), offsets.SelectMany(o => o).Order());
        var all = await rig.ReadAllAsync();
        for (var sender = 0; sender < 8; sender++)
        {
            Assert.Equal(offsets[sender], offsets[sender].Order());
            for (var i = 0; i < 200; i++)
                Assert.Equal($"{sender}/{i}", all[(int)offsets[sender][i]].Value);
        }
    }
}
