using System.Threading.Channels;
using OrleansMq.Api;
using OrleansMq.Partitions;
using OrleansMq.Topics;

namespace OrleansMq.Tests.Engine.Partitions;

/// <summary>Appends that start together and are written when their sender asks for it.</summary>
public sealed class AppendBurstTests
{
    private readonly AppendBurst _burst = new();

    [Fact]
    public async Task Burst_writes_all_its_appends_when_it_runs_and_none_before()
    {
        await using var rig = await PartitionRig.StartAsync(TopicConfig.DefaultFor(FlushPolicy.None));
        Assert.True(_burst.IsEmpty);
        var appends = Enumerable.Range(0, 10).Select(i => Begin(rig, $"{i}")).ToArray();
        Assert.False(_burst.IsEmpty);
        Assert.Equal(0, rig.Partition.LogEndOffset);
        Assert.DoesNotContain(appends, static append => append.IsCompleted);
        _burst.Run();
        Assert.True(_burst.IsEmpty);
        Assert.Equal(10, rig.Partition.HighWatermark);
        for (var i = 0; i < appends.Length; i++)
        {
            Assert.True(appends[i].IsCompletedSuccessfully);
            Assert.Equal((ErrorCode.None, i), ((await appends[i]).Error, (int)(await appends[i]).BaseOffset));
        }
    }

    [Fact]
    public async Task Append_arriving_meanwhile_is_written_with_the_burst_and_answered_elsewhere()
    {
        await using var rig = await PartitionRig.StartAsync(TopicConfig.DefaultFor(FlushPolicy.None));
        var first = Begin(rig, "first");
        var other = rig.Partition.AppendAsync(PartitionRig.Batch(rig.Clock.Now, "other"), Acks.All, mayWrite: true).AsTask();
        Assert.False(other.IsCompleted);
        var last = Begin(rig, "last");
        _burst.Run();
        Assert.Equal(0, (await first).BaseOffset);
        Assert.Equal(1, (await other).BaseOffset);
        Assert.Equal(2, (await last).BaseOffset);
    }

    [Fact]
    public async Task Append_made_in_an_answer_is_not_written_in_the_same_round()
    {
        await using var rig = await PartitionRig.StartAsync(TopicConfig.DefaultFor(FlushPolicy.None));
        var again = new List<Task<ProduceResult>>();
        async Task AppendTwiceAsync(string name)
        {
            await Begin(rig, name).ConfigureAwait(false);
            var second = rig.Partition.AppendAsync(PartitionRig.Batch(rig.Clock.Now, name), Acks.All, mayWrite: true).AsTask();
            lock (again)
                again.Add(second);
        }
        var appends = Enumerable.Range(0, 5).Select(i => AppendTwiceAsync($"{i}")).ToList();
        _burst.Run();
        await Task.WhenAll(appends);
        var offsets = await Task.WhenAll(again);
        Assert.Equal([5L, 6, 7, 8, 9], offsets.Select(static result => result.BaseOffset).Order());
        Assert.Equal(10, (await rig.ReadAllAsync()).Count);
    }

    [Fact]
    public async Task Appends_to_be_flushed_are_left_to_the_append_threads()
    {
        await using var rig = await PartitionRig.StartAsync(TopicConfig.DefaultFor(FlushPolicy.Sync));
        var appends = Enumerable.Range(0, 5).Select(i => Begin(rig, $"{i}")).ToArray();
        Assert.Equal(0, rig.Partition.LogEndOffset);
        _burst.Run();
        for (var i = 0; i < appends.Length; i++)
            Assert.Equal(i, (await appends[i]).BaseOffset);
    }

    [Fact]
    public async Task Appends_written_by_another_thread_are_answered_by_their_own_burst()
    {
        await using var rig = await PartitionRig.StartAsync(TopicConfig.DefaultFor(FlushPolicy.Sync));
        var posted = Channel.CreateUnbounded<IThreadPoolWorkItem>();
        var away = new AppendBurst(work => Assert.True(posted.Writer.TryWrite(work)));
        var mine = new List<Task<ProduceResult>>();
        var others = new List<Task<ProduceResult>>();
        // Alternating, and more of each than one work item of the pool answers.
        for (var i = 0; i < 100; i++)
        {
            var isMine = i / 3 % 2 == 0;
            (isMine ? mine : others).Add(rig.Partition.AppendAsync(PartitionRig.Batch(rig.Clock.Now, $"{i}"), Acks.All, mayWrite: true,
                burst: isMine ? away : _burst).AsTask());
        }
        away.Run();
        _burst.Run();
        await Task.WhenAll(others);
        Assert.DoesNotContain(mine, static append => append.IsCompleted);
        while (mine.Exists(static append => !append.IsCompleted))
            (await posted.Reader.ReadAsync()).Execute();
        Assert.Equal(Enumerable.Range(0, 100).Select(static i => (long)i),
            (await Task.WhenAll(mine.Concat(others))).Select(static result => result.BaseOffset).Order());
    }

    [Fact]
    public async Task Burst_larger_than_a_round_is_written()
    {
        await using var rig = await PartitionRig.StartAsync(TopicConfig.DefaultFor(FlushPolicy.None));
        var appends = Enumerable.Range(0, 2 * AppendRound.MaxBatches + 1).Select(i => Begin(rig, $"{i}")).ToArray();
        Assert.True(_burst.IsFull);
        _burst.Run();
        Assert.False(_burst.IsFull);
        for (var i = 0; i < appends.Length; i++)
            Assert.Equal(i, (await appends[i]).BaseOffset);
    }

    [Fact]
    public async Task Concurrent_bursts_of_many_senders_lose_nothing()
    {
        await using var rig = await PartitionRig.StartAsync(new TopicConfig { SegmentBytes = 20_000 });
        const int senders = 6, bursts = 60, appends = 9;
        var sending = Enumerable.Range(0, senders).Select(sender => Task.Run(async () =>
        {
            var burst = new AppendBurst();
            var offsets = new List<long>();
            for (var round = 0; round < bursts; round++)
            {
                var begun = Enumerable.Range(0, appends)
                    .Select(i => rig.Partition.AppendAsync(PartitionRig.Batch(rig.Clock.Now, $"{sender}/{round}/{i}"), Acks.All,
                    mayWrite: sender % 2 == 0, burst: burst).AsTask()).ToArray();
                burst.Run();
                offsets.AddRange((await Task.WhenAll(begun)).Select(static result => result.BaseOffset));
            }
            // The batches of one sender keep their order.
            Assert.Equal(offsets.Order(), offsets);
            return offsets;
        })).ToList();
        var all = (await Task.WhenAll(sending)).SelectMany(static offsets => offsets).Order();
        Assert.Equal(Enumerable.Range(0, senders * bursts * appends).Select(static number => (long)number), all);
    }

    private Task<ProduceResult> Begin(PartitionRig rig, string value) =>
        rig.Partition.AppendAsync(PartitionRig.Batch(rig.Clock.Now, value), Acks.All, mayWrite: true, burst: _burst).AsTask();
}
