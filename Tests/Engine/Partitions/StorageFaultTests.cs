using OrleansMq.Api;
using OrleansMq.Diagnostics;
using OrleansMq.Storage;
using OrleansMq.Tests.Engine.Crash;
using OrleansMq.Topics;

namespace OrleansMq.Tests.Engine.Partitions;

/// <summary>A disk that fails while the broker runs: acknowledged records stay, others are refused with the path and the remedy.</summary>
public sealed class StorageFaultTests
{
    private static readonly TopicConfig Sync = TopicConfig.DefaultFor(FlushPolicy.Sync) with { SegmentBytes = 2000 };

    [Fact]
    public async Task Full_disk_refuses_the_batch_without_a_trace_and_recovers_by_itself()
    {
        var files = new FaultyFiles(new MemoryFileSystem());
        await using var rig = await PartitionRig.StartAsync(Sync, files);
        await rig.AppendManyAsync(5);
        files.OnWrite = (path, _, _) => throw new DiskFullException(path);
        var refused = await rig.AppendAsync("no room");
        Assert.Equal(ErrorCode.KafkaStorageError, refused.Error);
        Assert.Contains("00000000000000000000.log", refused.Message, StringComparison.Ordinal);
        Assert.Contains("Free some space", refused.Message, StringComparison.Ordinal);
        Assert.Null(rig.Partition.OfflineReason);
        files.OnWrite = null;
        Assert.Equal(5, (await rig.AppendAsync("room")).BaseOffset);
        var all = await rig.ReadAllAsync();
        Assert.Equal((5L, "room"), all[^1]);
        await rig.RestartAsync();
        Assert.Equal(all, await rig.ReadAllAsync());
    }

    /// <summary>What begins the segment is not written, so the batch after it goes into the same one.</summary>
    [Fact]
    public async Task Batch_after_a_failed_first_write_of_a_segment_does_not_roll_it()
    {
        var files = new FaultyFiles(new MemoryFileSystem());
        await using var rig = await PartitionRig.StartAsync(Sync with { SegmentBytes = 300 }, files);
        files.OnWrite = (path, _, _) =>
        {
            files.OnWrite = null;
            throw new DiskFullException(path);
        };
        var burst = new OrleansMq.Partitions.AppendBurst();
        var appends = new[] { 'a', 'b' }.Select(letter => rig.Partition.AppendAsync(PartitionRig.Batch(rig.Clock.Now,
            new string(letter, 200)), Acks.All, mayWrite: true, burst: burst).AsTask()).ToArray();
        burst.Run();
        var results = await Task.WhenAll(appends);
        Assert.Equal([ErrorCode.KafkaStorageError, ErrorCode.None], results.Select(static result => result.Error));
        Assert.Equal(0, Assert.Single(rig.Partition.Log!.Segments).BaseOffset);
        Assert.Equal((0L, new string('b', 200)), Assert.Single(await rig.ReadAllAsync()));
    }

    [Fact]
    public async Task Disk_too_full_for_a_new_segment_refuses_and_recovers_by_itself()
    {
        var files = new FaultyFiles(new MemoryFileSystem());
        await using var rig = await PartitionRig.StartAsync(Sync, files);
        await rig.AppendManyAsync(5);
        Assert.Single(rig.FilesOf(".log"));
        files.OnOpen = path =>
        {
            if (path.EndsWith(".timeindex", StringComparison.Ordinal))
                throw new DiskFullException(path);
        };
        var large = new string('x', 1500);
        Assert.Equal(ErrorCode.KafkaStorageError, (await rig.AppendAsync(large)).Error);
        Assert.Single(rig.FilesOf(".log"));
        files.OnOpen = null;
        Assert.Equal(5, (await rig.AppendAsync(large)).BaseOffset);
        Assert.Equal(2, rig.FilesOf(".log").Count);
        await rig.RestartAsync();
        Assert.Equal(6, (await rig.ReadAllAsync()).Count);
    }

    [Fact]
    public async Task Reads_without_file_handles_are_refused_and_recover_by_themselves()
    {
        var files = new FaultyFiles(new MemoryFileSystem());
        await using var rig = await PartitionRig.StartAsync(Sync, files, options => options with { MaxOpenFiles = 1 });
        await rig.AppendManyAsync(60);
        var all = await rig.ReadAllAsync();
        files.OnOpen = NoHandle;
        using (var refused = await rig.Partition.ReadAsync(new FetchRequest(PartitionRig.Name, 0)))
        {
            Assert.Equal(ErrorCode.KafkaStorageError, refused.Error);
            Assert.Contains("ulimit -n", refused.Message, StringComparison.Ordinal);
        }
        var time = rig.Partition.FindOffset(OffsetSpec.AtOrAfter(0));
        Assert.Equal(ErrorCode.KafkaStorageError, time.Error);
        Assert.Null(rig.Partition.OfflineReason);
        files.OnOpen = null;
        Assert.Equal(all, await rig.ReadAllAsync());
        Assert.Equal(60, (await rig.AppendAsync("more")).BaseOffset);
    }

    /// <summary>As where a replica follows another leader while a client's read is still under way.</summary>
    [Fact]
    public async Task Read_during_a_cut_of_the_log_is_no_sign_of_damage()
    {
        var files = new FaultyFiles(new MemoryFileSystem());
        await using var rig = await PartitionRig.StartAsync(TopicConfig.Default, files);
        await rig.AppendManyAsync(20);
        var log = rig.Partition.Log!;
        files.AfterRead = path =>
        {
            if (!path.EndsWith(".log", StringComparison.Ordinal))
                return;
            files.AfterRead = null;
            lock (log.RemovalLock)
                lock (log.AppendLock)
                {
                    rig.Partition.SetHighWatermark(3);
                    log.TruncateTo(3);
                }
        };
        using (var refused = await rig.Partition.ReadAsync(new FetchRequest(PartitionRig.Name, 10)))
            Assert.Equal((ErrorCode.KafkaStorageError, $"The log of '{PartitionRig.PartitionPath}' was cut while it was read. Retry."),
                (refused.Error, refused.Message));
        Assert.Null(rig.Partition.OfflineReason);
        Assert.Equal(3, (await rig.ReadAllAsync()).Count);
    }

    [Fact]
    public async Task Appends_and_reads_close_idle_files_where_the_process_has_no_handles_left()
    {
        var files = new FaultyFiles(new MemoryFileSystem());
        await using var rig = await PartitionRig.StartAsync(Sync, files, options => options with { MaxOpenFiles = 16 });
        var refusals = 0;
        files.OnOpen = path =>
        {
            if (++refusals % 2 == 1)
                NoHandle(path);
        };
        await rig.AppendManyAsync(200);
        files.OnOpen = null;
        Assert.Equal(200, (await rig.ReadAllAsync()).Count);
        Assert.InRange(refusals, 10, int.MaxValue);
    }

    [Fact]
    public async Task Append_without_a_handle_for_its_segment_is_refused_and_recovers_by_itself()
    {
        var files = new FaultyFiles(new MemoryFileSystem());
        await using var rig = await PartitionRig.StartAsync(Sync, files);
        await rig.AppendManyAsync(5);
        rig.Partition.Log!.CloseFiles();
        files.OnOpen = NoHandle;
        var refused = await rig.AppendAsync("no handle");
        Assert.Equal(ErrorCode.KafkaStorageError, refused.Error);
        Assert.Contains("Nothing was appended", refused.Message, StringComparison.Ordinal);
        Assert.Null(rig.Partition.OfflineReason);
        files.OnOpen = null;
        Assert.Equal(5, (await rig.AppendAsync("handle")).BaseOffset);
        Assert.Equal(6, (await rig.ReadAllAsync()).Count);
    }

    [Fact]
    public async Task Failed_write_is_cut_with_the_handle_it_was_written_with()
    {
        var files = new FaultyFiles(new MemoryFileSystem());
        await using var rig = await PartitionRig.StartAsync(Sync, files);
        await rig.AppendManyAsync(5);
        var active = rig.Partition.Log!.Active;
        files.OnWrite = (path, _, _) =>
        {
            // Another thread needs the room, and then there is no handle to open the file again.
            active.Log.CloseWhenIdle();
            files.OnOpen = NoHandle;
            throw new DiskFullException(path);
        };
        Assert.Equal(ErrorCode.KafkaStorageError, (await rig.AppendAsync(new string('x', 100))).Error);
        Assert.Null(rig.Partition.OfflineReason);
        Assert.Equal(active.Size, rig.LengthOf("00000000000000000000.log"));
        (files.OnWrite, files.OnOpen) = (null, null);
        Assert.Equal(5, (await rig.AppendAsync("room")).BaseOffset);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Append_that_cannot_be_flushed_for_lack_of_handles_counts_only_when_it_is_flushed(bool directory)
    {
        var files = new FaultyFiles(new MemoryFileSystem());
        // No background flush yet: the first segment is not flushed, and the directory has a new entry.
        await using var rig = await PartitionRig.StartAsync(new TopicConfig { SegmentBytes = 2000 }, files);
        await rig.AppendManyAsync(12);
        Assert.Equal(2, rig.FilesOf(".log").Count);
        var end = rig.Partition.LogEndOffset;
        var first = rig.Partition.Log!.Segments[0];
        first.CloseFiles();
        if (directory)
            files.OnFlushDirectory = NoHandle;
        else
            files.OnOpen = path =>
            {
                if (path == first.Log.Path)
                    NoHandle(path);
            };
        rig.Partition.UpdateConfig(rig.Partition.Config with { FlushMessages = 1 });
        for (var attempt = 0; attempt < 2; attempt++)
        {
            // The second attempt is a duplicate of the first.
            var unflushed = await Send();
            Assert.Equal(ErrorCode.RequestTimedOut, unflushed.Error);
            Assert.Contains("not flushed", unflushed.Message, StringComparison.Ordinal);
            Assert.Null(rig.Partition.OfflineReason);
            Assert.Equal((end, end + 1), (rig.Partition.HighWatermark, rig.Partition.LogEndOffset));
        }
        (files.OnOpen, files.OnFlushDirectory) = (null, null);
        var sent = await Send();
        Assert.Equal((ErrorCode.None, end), (sent.Error, sent.BaseOffset));
        Assert.Equal(end + 1, rig.Partition.HighWatermark);
        Assert.Equal(end + 1, rig.Partition.Log.FlushedPoint.Offset);
        Assert.Equal(end + 1, (await rig.ReadAllAsync()).Count);

        ValueTask<ProduceResult> Send() =>
            rig.Partition.AppendAsync(PartitionRig.Batch(rig.Clock.Now, b => b.SetProducer(7, 0, 0), "v"), Acks.All);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Background_flush_that_found_no_handle_is_done_at_a_later_tick(bool checkpoint)
    {
        var files = new FaultyFiles(new MemoryFileSystem());
        var config = checkpoint ? new TopicConfig { SegmentBytes = 2000 } : new TopicConfig { FlushMs = 100 };
        await using var rig = await PartitionRig.StartAsync(config, files);
        await rig.AppendManyAsync(12);
        rig.Partition.Log!.CloseFiles();
        files.OnOpen = NoHandle;
        rig.Clock.Advance(TimeSpan.FromSeconds(2));
        Assert.Null(rig.Partition.OfflineReason);
        files.OnOpen = null;
        rig.Clock.Advance(TimeSpan.FromSeconds(2));
        Assert.Equal(12, (checkpoint ? rig.Partition.Log.RecoveryPoint : rig.Partition.Log.FlushedPoint).Offset);
    }

    [Fact]
    public async Task Close_that_found_no_handle_is_no_clean_one()
    {
        var files = new FaultyFiles(new MemoryFileSystem());
        await using var rig = await PartitionRig.StartAsync(new TopicConfig(), files);
        await rig.AppendManyAsync(5);
        rig.Partition.Log!.CloseFiles();
        files.OnOpen = NoHandle;
        Assert.False(await rig.Partition.CloseAsync());
        files.OnOpen = null;
    }

    private static void NoHandle(string path) => FaultyFiles.NoHandle(path);

    [Fact]
    public async Task Failed_flush_takes_the_partition_offline_without_acknowledging_its_batches()
    {
        var memory = new MemoryFileSystem();
        var files = new FaultyFiles(memory);
        await using var rig = await PartitionRig.StartAsync(Sync, files);
        await rig.AppendManyAsync(5);
        var flushes = 0;
        files.OnFlush = path =>
        {
            flushes++;
            throw new IOException($"Cannot flush '{path}': Input/output error (error 5).");
        };
        var failed = await rig.AppendAsync("lost?");
        Assert.Equal(ErrorCode.KafkaStorageError, failed.Error);
        Assert.Equal(5, rig.Partition.HighWatermark);
        Assert.Contains("Input/output error", rig.Partition.OfflineReason, StringComparison.Ordinal);
        Assert.Contains(PartitionRig.PartitionPath, rig.Partition.OfflineReason, StringComparison.Ordinal);
        Assert.Equal(ErrorCode.KafkaStorageError, (await rig.AppendAsync("again")).Error);
        // A failed fsync is never retried: the second one would report success for bytes that are gone.
        Assert.Equal(1, flushes);
    }

    /// <summary>The system reports a failed flush once, and then succeeds without the bytes.</summary>
    [Fact]
    public async Task Flush_that_waited_while_another_failed_makes_nothing_count()
    {
        var disk = new FaultyFileSystem(seed: 1);
        var files = new FaultyFiles(disk);
        await using var rig = await PartitionRig.StartAsync(Sync, files);
        await rig.AppendManyAsync(5);
        using var began = new ManualResetEventSlim();
        using var goesOn = new ManualResetEventSlim();
        files.OnFlush = path =>
        {
            if (!path.EndsWith(".log", StringComparison.Ordinal) || began.IsSet)
                return;
            began.Set();
            goesOn.Wait(TimeSpan.FromMinutes(1));
        };
        disk.Arm(new Fault(FaultKind.FlushFailure, After: 0, OnlyPathsWith: ".log"));
        var failing = rig.AppendAsync("lost?");
        Assert.True(began.Wait(TimeSpan.FromSeconds(30)));
        var waiting = new Thread(() => rig.Partition.Flush());
        waiting.Start();
        Assert.True(SpinWait.SpinUntil(() => (waiting.ThreadState & ThreadState.WaitSleepJoin) != 0, TimeSpan.FromSeconds(30)));
        goesOn.Set();
        Assert.Equal(ErrorCode.KafkaStorageError, (await failing).Error);
        Assert.True(waiting.Join(TimeSpan.FromSeconds(30)));
        Assert.Equal((5L, 5L), (rig.Partition.HighWatermark, rig.Partition.Log!.FlushedPoint.Offset));
        Assert.True(rig.Partition.Log.SecuredOffset <= 5);
        disk.Crash(powerCut: true);
        rig.Use(disk.Restart());
        await rig.OpenAsync();
        Assert.Null(rig.Partition.OfflineReason);
        Assert.Equal(Enumerable.Range(0, 5).Select(static offset => (long)offset),
            (await rig.ReadAllAsync()).Take(5).Select(static record => record.Offset));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Failed_background_flush_is_not_retried(bool diskFull)
    {
        var files = new FaultyFiles(new MemoryFileSystem());
        await using var rig = await PartitionRig.StartAsync(new TopicConfig { FlushMs = 100 }, files);
        await rig.AppendManyAsync(5);
        var flushes = 0;
        files.OnFlush = path =>
        {
            flushes++;
            throw diskFull ? new DiskFullException(path) : new IOException("Input/output error");
        };
        rig.Clock.Advance(TimeSpan.FromSeconds(1));
        Assert.Contains(PartitionRig.PartitionPath, rig.Partition.OfflineReason, StringComparison.Ordinal);
        rig.Clock.Advance(TimeSpan.FromMinutes(10));
        rig.Partition.Flush();
        Assert.Equal(1, flushes);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Bug_in_a_background_flush_concerns_its_partition_alone_and_is_met_at_the_next_tick(bool checkpoint)
    {
        var files = new FaultyFiles(new MemoryFileSystem());
        await using var rig = await PartitionRig.StartAsync(
            new TopicConfig { FlushMs = 100, SegmentBytes = checkpoint ? 500 : 1 << 20 }, files);
        var other = rig.Store.GetOrCreate(new TopicPartition("t", 1), PartitionRig.TopicId, rig.Config);
        await rig.AppendManyAsync(10);
        Assert.Equal(ErrorCode.None, (await other.AppendAsync(PartitionRig.Batch(rig.Clock.Now, "v"), Acks.Leader)).Error);
        var bugs = 0;
        files.OnFlush = path =>
        {
            if (!path.StartsWith(PartitionRig.PartitionPath, StringComparison.Ordinal) || bugs++ > 0)
                return;
            throw new InvalidOperationException("no fault of a disk");
        };
        rig.Clock.Advance(TimeSpan.FromMilliseconds(200));
        Assert.Equal((1, 1L), (bugs, other.Log!.FlushedPoint.Offset));
        Assert.Contains(rig.Lines.Of(EngineLogLevel.Error), static line => line.Contains("no fault of a disk", StringComparison.Ordinal));
        Assert.Null(rig.Partition.OfflineReason);
        // What the flush has done is not known.
        rig.Clock.Advance(TimeSpan.FromSeconds(2));
        Assert.Contains("an earlier flush failed: no fault of a disk", rig.Partition.OfflineReason, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Failed_write_that_cannot_be_truncated_takes_the_partition_offline()
    {
        var files = new FaultyFiles(new MemoryFileSystem());
        await using var rig = await PartitionRig.StartAsync(Sync, files);
        await rig.AppendManyAsync(5);
        files.OnWrite = (path, _, _) => throw new IOException("Input/output error");
        files.OnSetLength = path => throw new IOException("Input/output error");
        Assert.Equal(ErrorCode.KafkaStorageError, (await rig.AppendAsync("x")).Error);
        Assert.NotNull(rig.Partition.OfflineReason);
        files.OnWrite = null;
        files.OnSetLength = null;
        Assert.Equal(ErrorCode.KafkaStorageError, (await rig.AppendAsync("x")).Error);
        await rig.RestartAsync();
        Assert.Equal(5, (await rig.ReadAllAsync()).Count);
    }

    [Fact]
    public async Task Directory_that_became_read_only_is_named_with_the_remedy()
    {
        var files = new FaultyFiles(new MemoryFileSystem());
        await using var rig = await PartitionRig.StartAsync(Sync, files);
        files.OnWrite = (path, _, _) => throw new UnauthorizedAccessException($"Access to the path '{path}' is denied.");
        var refused = await rig.AppendAsync("x");
        Assert.Equal(ErrorCode.KafkaStorageError, refused.Error);
        Assert.Contains("writable for the broker's user", refused.Message, StringComparison.Ordinal);
        files.OnWrite = null;
        Assert.Equal(ErrorCode.None, (await rig.AppendAsync("x")).Error);
    }

    [Fact]
    public async Task Producer_sequence_continues_after_a_failed_write()
    {
        var files = new FaultyFiles(new MemoryFileSystem());
        await using var rig = await PartitionRig.StartAsync(Sync, files);
        Assert.Equal(0, (await Send(0)).BaseOffset);
        files.OnWrite = (path, _, _) => throw new DiskFullException(path);
        Assert.Equal(ErrorCode.KafkaStorageError, (await Send(1)).Error);
        files.OnWrite = null;
        Assert.Equal(1, (await Send(1)).BaseOffset);
        Assert.Equal(1, (await Send(1)).BaseOffset);
        Assert.Equal(2, (await Send(2)).BaseOffset);

        ValueTask<ProduceResult> Send(int sequence) =>
            rig.Partition.AppendAsync(PartitionRig.Batch(rig.Clock.Now, b => b.SetProducer(7, 0, sequence), "v"), Acks.All);
    }

    [Fact]
    public async Task Appends_are_refused_below_the_free_space_limit()
    {
        var files = new FaultyFiles(new MemoryFileSystem());
        await using var rig = await PartitionRig.StartAsync(TopicConfig.Default, files, options =>
            options with { MinFreeBytes = 100 << 20 });
        Assert.Equal(ErrorCode.None, (await rig.AppendAsync("a")).Error);
        files.FreeSpace = 50 << 20;
        rig.Clock.Advance(TimeSpan.FromSeconds(2));
        var refused = await rig.AppendAsync("b");
        Assert.Equal(ErrorCode.KafkaStorageError, refused.Error);
        Assert.Contains("50 MiB left", refused.Message, StringComparison.Ordinal);
        Assert.Contains("100 MiB", refused.Message, StringComparison.Ordinal);
        Assert.Single(await rig.ReadAllAsync());
        files.FreeSpace = 200 << 20;
        rig.Clock.Advance(TimeSpan.FromSeconds(2));
        Assert.Equal(1, (await rig.AppendAsync("b")).BaseOffset);
    }

    [Fact]
    public async Task Offline_partition_leaves_others_undisturbed()
    {
        var files = new FaultyFiles(new MemoryFileSystem());
        await using var rig = await PartitionRig.StartAsync(Sync, files);
        var other = rig.Store.GetOrCreate(new TopicPartition("t", 1), PartitionRig.TopicId, Sync);
        files.OnFlush = path =>
        {
            if (path.Contains("t-0", StringComparison.Ordinal))
                throw new IOException("Input/output error");
        };
        Assert.Equal(ErrorCode.KafkaStorageError, (await rig.AppendAsync("x")).Error);
        Assert.Equal(ErrorCode.None, (await other.AppendAsync(PartitionRig.Batch(rig.Clock.Now, "y"), Acks.All)).Error);
        Assert.Null(other.OfflineReason);
        Assert.NotNull(rig.Partition.OfflineReason);
    }

    [Fact]
    public async Task Full_disk_during_background_work_is_retried_later()
    {
        var files = new FaultyFiles(new MemoryFileSystem());
        await using var rig = await PartitionRig.StartAsync(new TopicConfig(), files);
        await rig.AppendManyAsync(3);
        files.OnWrite = (path, _, _) => throw new DiskFullException(path);
        rig.Partition.Checkpoint();
        Assert.Null(rig.Partition.OfflineReason);
        files.OnWrite = null;
        rig.Partition.Checkpoint();
        Assert.Equal(3, rig.Partition.Log!.RecoveryPoint.Offset);
    }
}
