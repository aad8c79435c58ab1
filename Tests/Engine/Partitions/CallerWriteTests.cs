using OrleansMq.Partitions;
using OrleansMq.Topics;

namespace OrleansMq.Tests.Engine.Partitions;

/// <summary>Appends written on the caller's thread.</summary>
public sealed class CallerWriteTests
{
    [Theory]
    [InlineData(FlushPolicy.None)]
    [InlineData(FlushPolicy.Interval)]
    public async Task Append_written_by_its_caller_completes_synchronously(FlushPolicy policy)
    {
        await using var rig = await PartitionRig.StartAsync(TopicConfig.DefaultFor(policy));
        for (var i = 0; i < 10; i++)
        {
            var append = rig.Partition.AppendAsync(PartitionRig.Batch(rig.Clock.Now, $"{i}"), Acks.All, mayWrite: true);
            Assert.True(append.IsCompletedSuccessfully);
            var result = await append;
            Assert.Equal((ErrorCode.None, i), (result.Error, (int)result.BaseOffset));
        }
        Assert.Equal(10, (await rig.AppendAsync("other")).BaseOffset);
        Assert.Equal(11, rig.Partition.HighWatermark);
    }

    [Fact]
    public async Task Appends_to_be_flushed_are_left_to_the_append_threads()
    {
        await using var rig = await PartitionRig.StartAsync(TopicConfig.DefaultFor(FlushPolicy.Sync));
        // Not disposed: one of the threads may still be on its way to it when the other has answered.
        var busy = new ManualResetEventSlim();
        // Both append threads of the rig.
        rig.Store.Ports.Threads.Schedule(new Waiting(busy));
        rig.Store.Ports.Threads.Schedule(new Waiting(busy));
        var append = rig.Partition.AppendAsync(PartitionRig.Batch(rig.Clock.Now, "a"), Acks.All, mayWrite: true);
        var wasLeft = !append.IsCompleted;
        busy.Set();
        Assert.Equal(ErrorCode.None, (await append).Error);
        Assert.True(wasLeft);
    }

    [Fact]
    public async Task Concurrent_caller_writes_and_queued_appends_get_distinct_offsets()
    {
        await using var rig = await PartitionRig.StartAsync(new TopicConfig { SegmentBytes = 20_000 });
        var senders = Enumerable.Range(0, 8).Select(sender => Task.Run(async () =>
        {
            var offsets = new List<long>();
            for (var i = 0; i < 200; i++)
            {
                var result = await rig.Partition.AppendAsync(PartitionRig.Batch(rig.Clock.Now, $"{sender}/{i}"), Acks.All,
                    mayWrite: sender % 2 == 0);
                Assert.Equal(ErrorCode.None, result.Error);
                offsets.Add(result.BaseOffset);
            }
            return offsets;
        })).ToList();
        var all = (await Task.WhenAll(senders)).SelectMany(offsets => offsets).Order().ToList();
        Assert.Equal(Enumerable.Range(0, 1600).Select(number => (long)number), all);
        Assert.Equal(1600, (await rig.ReadAllAsync()).Count);
    }

    [Fact]
    public void Caller_writes_pause_after_a_write_that_had_to_wait()
    {
        var clock = new ManualClock();
        var writes = new CallerWrites(clock);
        Assert.True(writes.TryEnter(out var began));
        clock.Advance(TimeSpan.FromMilliseconds(10));
        writes.Leave(began);
        Assert.True(writes.TryEnter(out began));
        clock.Advance(TimeSpan.FromMilliseconds(30));
        writes.Leave(began);
        Assert.False(writes.TryEnter(out _));
        clock.Advance(TimeSpan.FromSeconds(1));
        Assert.True(writes.TryEnter(out _));
    }

    [Fact]
    public void Concurrent_caller_writes_are_limited_to_the_processor_count()
    {
        var writes = new CallerWrites(new ManualClock());
        var began = 0L;
        for (var i = 0; i < Environment.ProcessorCount; i++)
            Assert.True(writes.TryEnter(out began));
        Assert.False(writes.TryEnter(out _));
        writes.Leave(began);
        Assert.True(writes.TryEnter(out _));
    }

    private sealed class Waiting(ManualResetEventSlim until) : IAppendWork
    {
        public void Run(AppendRound round) => until.Wait();
    }
}
