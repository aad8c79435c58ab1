using OrleansMq.Brokers;
using OrleansMq.Log;
using OrleansMq.Replication;
using OrleansMq.Storage;
using OrleansMq.Tests.Engine.Partitions;
using OrleansMq.Topics;

namespace OrleansMq.Tests.Engine.Replicas;

/// <summary>The incarnation of a replica, through deaths of its process and its machine.</summary>
public sealed class ReplicaIncarnationTests
{
    private static readonly Guid Boot = new("12345678-0000-0000-0000-000000000001");
    private static readonly Guid NextBoot = new("12345678-0000-0000-0000-000000000002");

    private BrokerOptions _options = null!;

    [Fact]
    public async Task Incarnation_survives_a_clean_stop_and_a_process_kill()
    {
        await using var rig = await StartAsync(TopicConfig.Default);
        var first = Settle(rig);
        Assert.NotEqual(Guid.Empty, first.Incarnation);
        await rig.AppendManyAsync(20);
        await rig.RestartAsync();
        Assert.Equal(first.Incarnation, Settle(rig).Incarnation);
        await rig.AppendManyAsync(20);
        await rig.KillAsync();
        Assert.Equal(first.Incarnation, Settle(rig).Incarnation);
    }

    [Fact]
    public async Task Incarnation_is_renewed_after_a_power_cut_with_unflushed_bytes()
    {
        await using var rig = await StartAsync(TopicConfig.Default);
        var first = Settle(rig);
        await rig.AppendManyAsync(20);
        Reboot(rig);
        await rig.CutPowerAsync(Seeds.Next());
        var second = Settle(rig);
        Assert.NotEqual(first.Incarnation, second.Incarnation);
        Assert.NotEqual(Guid.Empty, second.Incarnation);
    }

    /// <summary>A clean stop loses nothing, whatever happens to the machine afterwards.</summary>
    [Fact]
    public async Task Incarnation_survives_a_reboot_after_a_clean_stop()
    {
        await using var rig = await StartAsync(TopicConfig.Default);
        var first = Settle(rig);
        await rig.AppendManyAsync(20);
        await rig.Store.DisposeAsync();
        Reboot(rig);
        rig.Use(((MemoryFileSystem)rig.Files).PowerCut(new Random(Seeds.Next())));
        await rig.OpenAsync();
        Assert.Equal(first.Incarnation, Settle(rig).Incarnation);
    }

    [Fact]
    public async Task Incarnation_under_sync_survives_a_power_cut()
    {
        await using var rig = await StartAsync(TopicConfig.DefaultFor(FlushPolicy.Sync));
        var first = Settle(rig);
        Assert.True(first.CountedOnlyFlushed);
        await rig.AppendManyAsync(20);
        Reboot(rig);
        await rig.CutPowerAsync(Seeds.Next());
        Assert.Equal(first.Incarnation, Settle(rig).Incarnation);
        Assert.Equal(20, rig.Partition.LogEndOffset);
    }

    /// <summary>After a switch to a weaker flush policy the incarnation must reflect it at once.</summary>
    [Fact]
    public async Task Incarnation_no_longer_under_sync_is_renewed_after_a_power_cut()
    {
        await using var rig = await StartAsync(TopicConfig.DefaultFor(FlushPolicy.Sync));
        var first = Settle(rig);
        rig.Partition.UpdateConfig(TopicConfig.Default);
        await rig.AppendManyAsync(20);
        Reboot(rig);
        await rig.CutPowerAsync(Seeds.Next());
        Assert.NotEqual(first.Incarnation, Settle(rig).Incarnation);
    }

    /// <summary>Once all that was counted before is flushed, the incarnation promises as much as one that began under sync.</summary>
    [Fact]
    public async Task Incarnation_survives_a_power_cut_after_its_topic_changed_to_sync()
    {
        await using var rig = await StartAsync(TopicConfig.Default);
        var first = Settle(rig);
        Assert.False(first.CountedOnlyFlushed);
        await rig.AppendManyAsync(20);
        var sync = TopicConfig.DefaultFor(FlushPolicy.Sync);
        rig.Partition.UpdateConfig(sync);
        rig.Config = sync;
        rig.Clock.Advance(TimeSpan.FromSeconds(3));
        await rig.AppendManyAsync(20);
        Reboot(rig);
        await rig.CutPowerAsync(Seeds.Next());
        Assert.Equal((first.Incarnation, true), (Settle(rig).Incarnation, Settle(rig).CountedOnlyFlushed));
        Assert.Equal(40, rig.Partition.LogEndOffset);
    }

    [Fact]
    public async Task Incarnation_restarted_under_sync_survives_a_power_cut()
    {
        await using var rig = await StartAsync(TopicConfig.Default);
        var first = Settle(rig);
        await rig.AppendManyAsync(20);
        await rig.KillAsync();
        ReplicaIncarnation.Settle(rig.Partition, _options, isConfigKnown: false);
        rig.Config = TopicConfig.DefaultFor(FlushPolicy.Sync);
        rig.Partition.UpdateConfig(rig.Config);
        rig.Clock.Advance(TimeSpan.FromSeconds(3));
        Assert.True(rig.Partition.Log!.Marks.CountedOnlyFlushed);
        await rig.AppendManyAsync(20);
        Reboot(rig);
        await rig.CutPowerAsync(Seeds.Next());
        Assert.Equal(first.Incarnation, Settle(rig).Incarnation);
    }

    /// <summary>What was counted before the flush may be lost, so a change back to a weaker policy ends the wait.</summary>
    [Fact]
    public async Task Incarnation_that_changed_to_sync_and_back_is_renewed_after_a_power_cut()
    {
        await using var rig = await StartAsync(TopicConfig.Default);
        var first = Settle(rig);
        await rig.AppendManyAsync(20);
        rig.Partition.UpdateConfig(TopicConfig.DefaultFor(FlushPolicy.Sync));
        rig.Partition.UpdateConfig(TopicConfig.Default);
        rig.Clock.Advance(TimeSpan.FromSeconds(3));
        await rig.AppendManyAsync(20);
        Reboot(rig);
        await rig.CutPowerAsync(Seeds.Next());
        Assert.NotEqual(first.Incarnation, Settle(rig).Incarnation);
    }

    /// <summary>The replica raises its fence, a fault forgets the incarnation, and an image changes the policy, all at once.</summary>
    [Fact]
    public async Task Marks_that_change_at_once_do_not_undo_each_other()
    {
        await using var rig = await StartAsync(TopicConfig.DefaultFor(FlushPolicy.Sync));
        var log = rig.Partition.Log!;
        var view = new ReplicaLog(rig.Partition);
        for (var epoch = 1; epoch <= 1000; epoch++)
        {
            rig.Partition.UpdateConfig(TopicConfig.DefaultFor(FlushPolicy.Sync));
            Assert.True(Settle(rig).CountedOnlyFlushed);
            using var start = new Barrier(3);
            await Task.WhenAll(
                At(start, () =>
                {
                    lock (log.AppendLock)
                        view.RaiseFence(epoch);
                }),
                At(start, log.ForgetIncarnation),
                At(start, () => rig.Partition.UpdateConfig(TopicConfig.Default)));
            Assert.Equal((Guid.Empty, epoch, false), (log.Marks.Incarnation, log.Marks.Fence, log.Marks.CountedOnlyFlushed));
        }
    }

    private static Task At(Barrier start, Action action) => Task.Factory.StartNew(() =>
    {
        start.SignalAndWait();
        action();
    }, CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);

    [Fact]
    public async Task Incarnation_is_renewed_when_recovery_truncated_more_than_an_unfinished_write()
    {
        await using var rig = await StartAsync(TopicConfig.Default);
        var first = Settle(rig);
        await rig.AppendManyAsync(20);
        rig.Use(((MemoryFileSystem)rig.Files).ProcessKill());
        // The last batch is complete, but not as written.
        rig.Flip("00000000000000000000.log", rig.LengthOf("00000000000000000000.log") - 3);
        await rig.OpenAsync();
        Assert.Equal(19, rig.Partition.LogEndOffset);
        Assert.NotEqual(first.Incarnation, Settle(rig).Incarnation);
    }

    [Fact]
    public async Task Incarnation_survives_the_truncation_of_an_unfinished_write()
    {
        await using var rig = await StartAsync(TopicConfig.Default);
        var first = Settle(rig);
        await rig.AppendManyAsync(20);
        rig.Use(((MemoryFileSystem)rig.Files).ProcessKill());
        rig.Truncate("00000000000000000000.log", rig.LengthOf("00000000000000000000.log") - 3);
        await rig.OpenAsync();
        Assert.Equal(19, rig.Partition.LogEndOffset);
        Assert.Equal(first.Incarnation, Settle(rig).Incarnation);
    }

    [Fact]
    public async Task Forgotten_incarnation_is_not_found_again()
    {
        await using var rig = await StartAsync(TopicConfig.Default);
        var first = Settle(rig);
        rig.Partition.Log!.ForgetIncarnation();
        await rig.KillAsync();
        Assert.NotEqual(first.Incarnation, Settle(rig).Incarnation);
    }

    [Fact]
    public async Task Fence_is_durable_when_raised_and_the_high_watermark_is_a_lower_bound()
    {
        await using var rig = await StartAsync(TopicConfig.Default);
        Settle(rig);
        await rig.AppendManyAsync(20);
        var view = new ReplicaLog(rig.Partition);
        lock (rig.Partition.Log!.AppendLock)
        {
            view.SetHighWatermark(7, 1);
            view.RaiseFence(5);
            view.SetHighWatermark(20, 1);
        }
        Reboot(rig);
        await rig.CutPowerAsync(Seeds.Next());
        Assert.Equal((5, 7), (rig.Partition.Log!.Marks.Fence, rig.Partition.Log.Marks.HighWatermark));
        Assert.Equal(5, Settle(rig).Fence);
    }

    /// <summary>After an unclean election other records follow, and a restart would take them for replicated.</summary>
    [Fact]
    public async Task Stored_high_watermark_goes_back_before_the_log_begins_again()
    {
        await using var rig = await StartAsync(TopicConfig.Default);
        Settle(rig);
        await rig.AppendManyAsync(5);
        StoreHighWatermark(rig, 5);
        lock (rig.Partition.Log!.RemovalLock)
            lock (rig.Partition.Log.AppendLock)
                new ReplicaLog(rig.Partition).ResetTo(2);
        await rig.KillAsync();
        Assert.Equal((2, 2), (rig.Partition.LogEndOffset, rig.Partition.Log!.Marks.HighWatermark));
    }

    private static void StoreHighWatermark(PartitionRig rig, long offset)
    {
        var view = new ReplicaLog(rig.Partition);
        lock (rig.Partition.Log!.AppendLock)
        {
            view.SetHighWatermark(offset, 1);
            view.RaiseFence(view.Fence + 1);
        }
    }

    private async Task<PartitionRig> StartAsync(TopicConfig config)
    {
        var rig = await PartitionRig.StartAsync(config, options: options => _options = options with { BootId = Boot });
        return rig;
    }

    private void Reboot(PartitionRig rig) => rig.Options = options => _options = options with { BootId = NextBoot };

    private ReplicaMarks Settle(PartitionRig rig)
    {
        ReplicaIncarnation.Settle(rig.Partition, _options, isConfigKnown: true);
        return rig.Partition.Log!.Marks;
    }
}
