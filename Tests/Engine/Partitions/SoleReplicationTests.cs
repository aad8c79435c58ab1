using OrleansMq.Api;
using OrleansMq.Storage;
using OrleansMq.Tests.Engine.Replicas;
using OrleansMq.Topics;

namespace OrleansMq.Tests.Engine.Partitions;

/// <summary>A partition with one replica has a replication of its own, with the same checks as replicated ones.</summary>
public sealed class SoleReplicationTests
{
    private static readonly TimeSpan Patience = ReplicatedPartition.Deadline;
    private static readonly TopicConfig Flushed = TopicConfig.Default with { FlushMessages = 1 };
    private static readonly TopicConfig Strict = TopicConfig.Default with { MinInsyncReplicas = 2 };

    [Fact]
    public async Task Append_with_acks_all_below_min_insync_is_refused_by_the_partition_itself()
    {
        await using var rig = await PartitionRig.StartAsync(Strict);
        var refused = await AppendAsync(rig, Acks.All);
        Assert.Equal(ErrorCode.NotEnoughReplicas, refused.Error);
        Assert.Equal("Partition t-0 has 1 replica, its topic's 'min.insync.replicas' is 2: set that to 1, or send with acks=1.",
            refused.Message);
        Assert.Equal(0, rig.Partition.LogEndOffset);
    }

    [Theory]
    [InlineData(Acks.Leader)]
    [InlineData(Acks.None)]
    public async Task Append_that_does_not_wait_for_replicas_ignores_min_insync(Acks acks)
    {
        await using var rig = await PartitionRig.StartAsync(Strict);
        Assert.Equal(ErrorCode.None, (await AppendAsync(rig, acks)).Error);
        Assert.Equal(1, rig.Partition.HighWatermark);
    }

    [Fact]
    public async Task Config_change_applies_to_the_next_append()
    {
        await using var rig = await PartitionRig.StartAsync();
        Assert.Equal(ErrorCode.None, (await AppendAsync(rig, Acks.All)).Error);
        rig.Partition.UpdateConfig(Strict);
        Assert.Equal(ErrorCode.NotEnoughReplicas, (await AppendAsync(rig, Acks.All)).Error);
        Assert.Equal((1, 1), (rig.Partition.LogEndOffset, rig.Partition.HighWatermark));
    }

    [Fact]
    public async Task Offline_partition_reports_its_storage_before_its_replicas()
    {
        await using var rig = await PartitionRig.StartAsync(Strict);
        rig.Partition.GoOffline("the disk is gone", null);
        Assert.Equal(ErrorCode.KafkaStorageError, (await AppendAsync(rig, Acks.All)).Error);
    }

    [Fact]
    public async Task Append_that_needs_no_flush_is_answered_while_the_disk_flushes()
    {
        using var disk = new SlowDisk();
        await using var rig = await PartitionRig.StartAsync(Flushed, disk.Files);
        disk.Stop();
        Assert.Equal(0, (await AppendAsync(rig, Acks.Replicated).AsTask().WaitAsync(Patience)).BaseOffset);
        var persistent = AppendAsync(rig, Acks.All).AsTask();
        var leaders = AppendAsync(rig, Acks.Leader).AsTask();
        // Behind those that wait for the disk.
        Assert.Equal(3, (await AppendAsync(rig, Acks.Replicated).AsTask().WaitAsync(Patience)).BaseOffset);
        Assert.False(persistent.IsCompleted || leaders.IsCompleted);
        Assert.Equal((4, 0), (rig.Partition.LogEndOffset, rig.Partition.HighWatermark));
        disk.Go();
        Assert.Equal((1, 2), ((await persistent.WaitAsync(Patience)).BaseOffset, (await leaders.WaitAsync(Patience)).BaseOffset));
        await LogEndIsVisibleAsync(rig);
    }

    [Fact]
    public async Task Duplicate_whose_offset_is_forgotten_is_answered_after_the_flush_of_its_original()
    {
        using var disk = new SlowDisk();
        await using var rig = await PartitionRig.StartAsync(Flushed, disk.Files);
        // From here on, rounds do not wait for the flush.
        Assert.Equal(0, (await AppendAsync(rig, Acks.Replicated).AsTask().WaitAsync(Patience)).BaseOffset);
        disk.Stop();
        var originals = Enumerable.Range(0, 7).Select(Send).ToArray();
        var forgotten = Send(0);
        // Behind the duplicate, and answered without a flush.
        Assert.Equal(8, (await AppendAsync(rig, Acks.Replicated).AsTask().WaitAsync(Patience)).BaseOffset);
        Assert.False(forgotten.IsCompleted);
        disk.Go();
        Assert.Equal(ErrorCode.DuplicateSequenceNumber, (await forgotten.WaitAsync(Patience)).Error);
        Assert.All(await Task.WhenAll(originals).WaitAsync(Patience), original => Assert.Equal(ErrorCode.None, original.Error));

        Task<ProduceResult> Send(int sequence) =>
            rig.Partition.AppendAsync(PartitionRig.Batch(1, b => b.SetProducer(5, 0, sequence), "v"), Acks.All).AsTask();
    }

    [Fact]
    public async Task Waiting_reader_gets_a_record_that_was_answered_unflushed_after_its_flush()
    {
        using var disk = new SlowDisk();
        await using var rig = await PartitionRig.StartAsync(Flushed, disk.Files);
        disk.Stop();
        var read = rig.Partition.ReadAsync(new FetchRequest(PartitionRig.Name, 0, MaxWait: TimeSpan.FromHours(1), MinBytes: 60)).AsTask();
        Assert.Equal(ErrorCode.None, (await AppendAsync(rig, Acks.Replicated).AsTask().WaitAsync(Patience)).Error);
        Assert.False(read.IsCompleted);
        disk.Go();
        using var result = await read.WaitAsync(Patience);
        Assert.False(result.Records.IsEmpty);
    }

    [Fact]
    public async Task Flush_that_fails_after_an_answer_takes_the_partition_offline()
    {
        using var disk = new SlowDisk();
        await using var rig = await PartitionRig.StartAsync(Flushed, disk.Files);
        disk.Stop(new IOException("the disk is gone"));
        Assert.Equal(ErrorCode.None, (await AppendAsync(rig, Acks.Replicated).AsTask().WaitAsync(Patience)).Error);
        var persistent = AppendAsync(rig, Acks.All).AsTask();
        disk.Go();
        Assert.Equal(ErrorCode.KafkaStorageError, (await persistent.WaitAsync(Patience)).Error);
        Assert.Contains("the disk is gone", rig.Partition.OfflineReason, StringComparison.Ordinal);
        Assert.Equal(0, rig.Partition.HighWatermark);
    }

    [Fact]
    public async Task Flush_that_cannot_begin_leaves_the_outcome_of_those_that_wait_for_it_unknown()
    {
        var files = new FaultyFiles(new MemoryFileSystem());
        // No background flush yet: the directory has new entries.
        await using var rig = await PartitionRig.StartAsync(new TopicConfig { SegmentBytes = 2000 }, files);
        var end = await rig.AppendManyAsync(12);
        files.OnFlushDirectory = FaultyFiles.NoHandle;
        rig.Partition.UpdateConfig(rig.Partition.Config with { FlushMessages = 1 });
        Assert.Equal(ErrorCode.None, (await AppendAsync(rig, Acks.Replicated).AsTask().WaitAsync(Patience)).Error);
        var unflushed = await AppendAsync(rig, Acks.All).AsTask().WaitAsync(Patience);
        Assert.Equal(ErrorCode.RequestTimedOut, unflushed.Error);
        Assert.Contains("not flushed", unflushed.Message, StringComparison.Ordinal);
        Assert.Equal((end, end + 2, (string?)null),
            (rig.Partition.HighWatermark, rig.Partition.LogEndOffset, rig.Partition.OfflineReason));
        files.OnFlushDirectory = null;
        Assert.Equal(end + 2, (await AppendAsync(rig, Acks.All).AsTask().WaitAsync(Patience)).BaseOffset);
        await LogEndIsVisibleAsync(rig);
    }

    [Fact]
    public async Task Close_waits_for_the_flush_beside_the_appends()
    {
        using var disk = new SlowDisk();
        var rig = await PartitionRig.StartAsync(Flushed, disk.Files);
        disk.Stop();
        Assert.Equal(ErrorCode.None, (await AppendAsync(rig, Acks.Replicated).AsTask().WaitAsync(Patience)).Error);
        var persistent = AppendAsync(rig, Acks.All).AsTask();
        await ReplicatedPartition.Until(() => rig.Partition.LogEndOffset == 2, () => "written");
        var closed = rig.DisposeAsync().AsTask();
        Assert.False(persistent.IsCompleted || closed.IsCompleted);
        disk.Go();
        Assert.Equal(ErrorCode.None, (await persistent.WaitAsync(Patience)).Error);
        await closed.WaitAsync(Patience);
    }

    private static Task LogEndIsVisibleAsync(PartitionRig rig) => ReplicatedPartition.Until(
        () => rig.Partition.HighWatermark == rig.Partition.LogEndOffset, () => $"visible: {rig.Partition.HighWatermark}");

    private static ValueTask<ProduceResult> AppendAsync(PartitionRig rig, Acks acks) =>
        rig.Partition.AppendAsync(PartitionRig.Batch(rig.Clock.Now, "a"), acks);
}
