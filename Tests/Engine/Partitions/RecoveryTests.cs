using System.Buffers.Binary;
using System.Collections.Concurrent;
using OrleansMq.Api;
using OrleansMq.Diagnostics;
using OrleansMq.Log;
using OrleansMq.Records;
using OrleansMq.Storage;
using OrleansMq.Topics;

namespace OrleansMq.Tests.Engine.Partitions;

/// <summary>Recovery at start after a crash or disk damage.</summary>
public sealed class RecoveryTests
{
    private static readonly TopicConfig Sync = TopicConfig.DefaultFor(FlushPolicy.Sync) with
    {
        SegmentBytes = 1000,
        IndexIntervalBytes = 100
    };
    private static readonly TopicConfig NoFlush = Sync with { FlushMessages = long.MaxValue };
    private static readonly TopicConfig OneSegment = Sync with { SegmentBytes = 1 << 20 };

    // Under sync the checkpoint stores the flushed point within a second; maintenance runs every 200 ms.
    private static readonly TimeSpan UntilNoted = TimeSpan.FromMilliseconds(1200);

    [Fact]
    public async Task Bytes_after_the_last_whole_batch_are_truncated_and_reported()
    {
        await using var rig = await PartitionRig.StartAsync(NoFlush);
        await rig.AppendManyAsync(10);
        var before = await rig.ReadAllAsync();
        var last = rig.FilesOf(".log")[^1];
        var length = rig.LengthOf(last);
        Append(rig, last, PartitionRig.Batch(0, "torn")[..50]);
        await rig.KillAsync();
        Assert.Equal(before, await rig.ReadAllAsync());
        Assert.Equal(length, rig.LengthOf(last));
        var line = Assert.Single(rig.Lines.Of(EngineLogLevel.Warning));
        Assert.Contains(last, line, StringComparison.Ordinal);
        Assert.Contains($"Cut 50 bytes", line, StringComparison.Ordinal);
        Assert.Contains($"byte {length} (offset 10)", line, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Changed_unflushed_byte_is_truncated_with_everything_after_it()
    {
        await using var rig = await PartitionRig.StartAsync(NoFlush);
        await rig.AppendManyAsync(20);
        var before = await rig.ReadAllAsync();
        var second = rig.FilesOf(".log")[1];
        rig.Flip(second, 100);
        await rig.KillAsync();
        Assert.Null(rig.Partition.OfflineReason);
        var start = long.Parse(second[..20]);
        Assert.Equal(before.Where(r => r.Offset < start), await rig.ReadAllAsync());
        Assert.Equal(start, rig.Partition.LogEndOffset);
        Assert.Equal(2, rig.FilesOf(".log").Count);
        Assert.Equal(start, (await rig.AppendAsync("next")).BaseOffset);
        await rig.KillAsync();
        Assert.Equal("next", (await rig.ReadAllAsync())[^1].Value);
    }

    [Fact]
    public async Task Changed_flushed_byte_takes_the_partition_offline_and_leaves_the_files_unchanged()
    {
        await using var rig = await PartitionRig.StartAsync(Sync);
        await rig.AppendManyAsync(20);
        rig.Partition.Flush();
        var last = rig.FilesOf(".log")[^1];
        rig.Flip(last, 70);
        var files = Contents(rig);
        await rig.KillAsync();
        var reason = rig.Partition.OfflineReason;
        Assert.NotNull(reason);
        Assert.Contains(last, reason, StringComparison.Ordinal);
        Assert.Contains($"at byte 0 (offset {long.Parse(last[..20])})", reason, StringComparison.Ordinal);
        Assert.Equal(files, Contents(rig));
        Assert.Equal(ErrorCode.KafkaStorageError, (await rig.AppendAsync("x")).Error);
        using var read = await rig.Partition.ReadAsync(new(PartitionRig.Name, 0));
        Assert.Equal((ErrorCode.KafkaStorageError, reason), (read.Error, read.Message));
        // Unchanged after a clean stop.
        await rig.RestartAsync();
        Assert.Equal(reason, rig.Partition.OfflineReason);
        Assert.Equal(files, Contents(rig));
    }

    [Fact]
    public async Task Append_under_sync_is_one_flush_and_is_checkpointed_a_second_later()
    {
        var flushes = new ConcurrentQueue<string>();
        var files = new FaultyFiles(new MemoryFileSystem()) { OnFlush = path => flushes.Enqueue(Path.GetFileName(path)) };
        await using var rig = await PartitionRig.StartAsync(OneSegment, files);
        flushes.Clear();
        await rig.AppendManyAsync(5);
        var log = Assert.Single(rig.FilesOf(".log"));
        Assert.Equal(Enumerable.Repeat(log, 5), flushes);
        Assert.Equal((5, 0), (rig.Partition.Log!.FlushedPoint.Offset, rig.Partition.Log!.SecuredOffset));
        rig.Clock.Advance(UntilNoted);
        Assert.Equal(6, flushes.Count);
        Assert.Equal("partition-checkpoint", flushes.Last());
        Assert.Equal(5, rig.Partition.Log!.SecuredOffset);
        // Nothing was appended since, so there is nothing to checkpoint.
        rig.Clock.Advance(UntilNoted);
        Assert.Equal(6, flushes.Count);
    }

    [Fact]
    public async Task Append_after_one_second_persists_flushed_point()
    {
        await using var rig = await PartitionRig.StartAsync(OneSegment);
        rig.Clock.Advance(TimeSpan.FromMilliseconds(50));
        await rig.AppendAsync("a");
        // Maintenance ran at 950 ms and runs again at 1,150.
        rig.Clock.Advance(TimeSpan.FromMilliseconds(1010));
        Assert.Equal(0, rig.Partition.Log!.SecuredOffset);
        await rig.AppendAsync("b");
        Assert.Equal(2, rig.Partition.Log!.SecuredOffset);
        await rig.AppendAsync("c");
        Assert.Equal(2, rig.Partition.Log!.SecuredOffset);
        rig.Clock.Advance(UntilNoted);
        Assert.Equal(3, rig.Partition.Log!.SecuredOffset);
    }

    [Fact]
    public async Task Damage_before_the_flushed_point_is_checkpointed_is_truncated_and_reported()
    {
        await using var rig = await PartitionRig.StartAsync(OneSegment);
        await rig.AppendManyAsync(10);
        rig.Clock.Advance(UntilNoted);
        var noted = rig.LengthOf(rig.FilesOf(".log")[0]);
        await rig.AppendManyAsync(10);
        rig.Flip(rig.FilesOf(".log")[0], noted + 70);
        await rig.KillAsync();
        Assert.Null(rig.Partition.OfflineReason);
        Assert.Equal(10, rig.Partition.LogEndOffset);
        Assert.Contains($"at byte {noted} (offset 10)", Assert.Single(rig.Lines.Of(EngineLogLevel.Warning)), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Log_that_lost_flushed_bytes_is_offline(bool wholeFile)
    {
        await using var rig = await PartitionRig.StartAsync(Sync);
        await rig.AppendManyAsync(20);
        rig.Partition.Flush();
        var last = rig.FilesOf(".log")[^1];
        if (wholeFile)
            rig.Files.DeleteFile(Path.Combine(PartitionRig.PartitionPath, last));
        else
            rig.Truncate(last, rig.LengthOf(last) - 1);
        await rig.KillAsync();
        Assert.Contains(last, rig.Partition.OfflineReason, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Missing_flushed_segment_in_the_middle_is_detected()
    {
        await using var rig = await PartitionRig.StartAsync(Sync);
        await rig.AppendManyAsync(40);
        rig.Partition.Flush();
        var middle = rig.FilesOf(".log")[2];
        rig.Files.DeleteFile(Path.Combine(PartitionRig.PartitionPath, middle));
        await rig.KillAsync();
        Assert.NotNull(rig.Partition.OfflineReason);
    }

    [Theory]
    [InlineData("missing", true)]
    [InlineData("missing", false)]
    [InlineData("longer", true)]
    [InlineData("longer", false)]
    [InlineData("empty", true)]
    [InlineData("empty", false)]
    [InlineData("flipped position", true)]
    [InlineData("flipped position", false)]
    [InlineData("flipped offset", true)]
    [InlineData("flipped offset", false)]
    public async Task Missing_or_wrong_indexes_mislead_no_reader(string fault, bool clean)
    {
        await using var rig = await PartitionRig.StartAsync(NoFlush with { SegmentBytes = 3000 });
        await rig.AppendManyAsync(60);
        await rig.Store.DisposeAsync();
        var indexes = rig.FilesOf("index");
        Assert.Contains(indexes, name => rig.LengthOf(name) > 16);
        foreach (var name in indexes)
            Spoil(rig, name, fault);
        if (!clean)
            rig.Files.DeleteFile(Path.Combine(PartitionRig.Data, "clean-shutdown"));
        await rig.OpenAsync();
        Assert.Null(rig.Partition.OfflineReason);
        for (var offset = 0; offset < 60; offset++)
            Assert.Equal(offset, (await rig.ReadAllAsync(offset))[0].Offset);
        Assert.Equal(0, rig.Partition.FindOffset(OffsetSpec.AtOrAfter(rig.Clock.Now)).Offset);
        Assert.Null(rig.Partition.OfflineReason);
    }

    [Theory]
    [InlineData("missing")]
    [InlineData("longer")]
    public async Task Missing_indexes_are_rebuilt_identically(string fault)
    {
        await using var rig = await PartitionRig.StartAsync(NoFlush with { SegmentBytes = 3000 });
        await rig.AppendManyAsync(60);
        await rig.RestartAsync();
        await rig.Store.DisposeAsync();
        var indexes = rig.FilesOf("index");
        var before = indexes.Select(name => Read(rig, name)).ToList();
        foreach (var name in indexes)
            Spoil(rig, name, fault);
        await rig.OpenAsync();
        await rig.Store.DisposeAsync();
        Assert.Equal(before, indexes.Select(name => Read(rig, name)));
        await rig.OpenAsync();
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Log_without_a_checkpoint_is_read_and_kept_as_a_whole(bool damaged)
    {
        await using var rig = await PartitionRig.StartAsync(Sync);
        await rig.AppendManyAsync(40);
        var before = await rig.ReadAllAsync();
        if (damaged)
        {
            rig.Flip(LogFiles.Checkpoint, 30);
            rig.Flip(LogFiles.Checkpoint, 530);
        }
        else
        {
            rig.Files.DeleteFile(Path.Combine(PartitionRig.PartitionPath, LogFiles.Checkpoint));
        }
        await rig.KillAsync();
        Assert.Null(rig.Partition.OfflineReason);
        Assert.Equal(before, await rig.ReadAllAsync());
        Assert.Contains(rig.Lines.Of(EngineLogLevel.Warning), line => line.Contains(LogFiles.Checkpoint, StringComparison.Ordinal));
        await rig.AppendAsync("more");
        await rig.KillAsync();
        Assert.Equal(41, rig.Partition.LogEndOffset);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(512)]
    public async Task Damaged_slot_of_the_checkpoint_loses_nothing(int slot)
    {
        await using var rig = await PartitionRig.StartAsync(Sync);
        await rig.AppendManyAsync(40);
        await rig.Partition.DeleteRecordsAsync(17);
        var before = await rig.ReadAllAsync(17);
        rig.Flip(LogFiles.Checkpoint, slot + 33);
        await rig.KillAsync();
        Assert.Null(rig.Partition.OfflineReason);
        Assert.Equal(17, rig.Partition.LogStartOffset);
        Assert.Equal(before, await rig.ReadAllAsync(17));
    }

    [Fact]
    public async Task Damage_below_the_recovery_point_is_found_by_a_reader_and_takes_the_partition_offline()
    {
        await using var rig = await PartitionRig.StartAsync(NoFlush);
        await rig.AppendManyAsync(40);
        await rig.RestartAsync();
        var second = rig.FilesOf(".log")[1];
        var offset = long.Parse(second[..20]);
        rig.Flip(second, 100);
        using (var good = await rig.Partition.ReadAsync(new(PartitionRig.Name, 0)))
            Assert.Equal(ErrorCode.None, good.Error);
        using var bad = await rig.Partition.ReadAsync(new(PartitionRig.Name, offset));
        Assert.Equal(ErrorCode.KafkaStorageError, bad.Error);
        Assert.Contains($"{second}' is damaged at byte 0 (offset {offset})", bad.Message, StringComparison.Ordinal);
        Assert.Equal(bad.Message, rig.Partition.OfflineReason);
        Assert.Equal(ErrorCode.KafkaStorageError, (await rig.AppendAsync("x")).Error);
    }

    [Theory]
    [InlineData(0, "missing")]
    [InlineData(1, "missing")]
    [InlineData(1, "cut")]
    public async Task Records_removed_from_the_files_are_never_skipped_silently(int segment, string fault)
    {
        await using var rig = await PartitionRig.StartAsync(NoFlush);
        await rig.AppendManyAsync(40);
        await rig.Store.DisposeAsync();
        var name = rig.FilesOf(".log")[segment];
        var offset = long.Parse(name[..20]) + 2;
        if (fault == "missing")
            rig.Files.DeleteFile(Path.Combine(PartitionRig.PartitionPath, name));
        else
            rig.Truncate(name, PartitionRig.Batch(rig.Clock.Now, new string('a', 100)).Length);
        await rig.OpenAsync();
        using var read = await rig.Partition.ReadAsync(new FetchRequest(PartitionRig.Name, offset));
        Assert.Equal(ErrorCode.KafkaStorageError, read.Error);
        Assert.Contains(".log' is damaged at byte", rig.Partition.OfflineReason, StringComparison.Ordinal);
        Assert.Equal(fault == "missing" ? 13 : 14, rig.FilesOf(".log").Count);
    }

    [Fact]
    public async Task Recovery_reads_only_past_the_recovery_point()
    {
        await using var rig = await PartitionRig.StartAsync(NoFlush with { SegmentBytes = 1 << 20 });
        await rig.AppendManyAsync(2000, 1000);
        rig.Partition.Checkpoint();
        await rig.AppendManyAsync(20, 1000);
        await rig.KillAsync();
        var read = ((MemoryFileSystem)rig.Files).Traffic.Where(t => t.Key.EndsWith(".log", StringComparison.Ordinal)).Sum(t =>
            t.Value.BytesRead);
        Assert.InRange(read, 20 * 1000, 96 << 10);
        Assert.Equal(2020, rig.Partition.LogEndOffset);
    }

    [Fact]
    public async Task Log_after_a_power_cut_is_a_prefix_with_everything_acknowledged_under_sync()
    {
        var seed = Seeds.Next();
        for (var round = 0; round < 40; round++)
        {
            var sync = round % 2 == 0;
            await using var rig = await PartitionRig.StartAsync(sync ? Sync : NoFlush);
            await rig.AppendManyAsync(30);
            if (round % 3 == 0)
                rig.Partition.Checkpoint();
            await rig.AppendManyAsync(30);
            var before = await rig.ReadAllAsync();
            await rig.CutPowerAsync(unchecked(seed + round));
            Assert.True(rig.Partition.OfflineReason is null, $"{rig.Partition.OfflineReason} {Seeds.Replay(seed)}");
            var after = await rig.ReadAllAsync();
            Assert.True(before.Take(after.Count).SequenceEqual(after), Seeds.Replay(seed));
            var least = sync ? 60 : round % 3 == 0 ? 30 : 0;
            Assert.True(after.Count >= least, $"round {round}: {after.Count} of at least {least} are left; "
                + $"{string.Join("\n", rig.Lines.Of(EngineLogLevel.Warning))}; {Seeds.Replay(seed)}");
            Assert.Equal(after.Count, (await rig.AppendAsync("on")).BaseOffset);
            await rig.RestartAsync();
            Assert.Equal(after.Count + 1, (await rig.ReadAllAsync()).Count);
        }
    }

    [Fact]
    public async Task Leftovers_of_deletions_are_removed()
    {
        await using var rig = await PartitionRig.StartAsync(NoFlush);
        await rig.AppendManyAsync(20);
        foreach (var name in new[] { "00000000000000000003.log.deleted", "00000000000000000003.log.cleaned", "00000000000000000777.index",
            "x.tmp" })
            rig.Files.Open(Path.Combine(PartitionRig.PartitionPath, name), FileOpening.CreateOrTruncate).Dispose();
        await rig.KillAsync();
        Assert.Equal(20, (await rig.ReadAllAsync()).Count);
        Assert.DoesNotContain(rig.Files.ListFiles(PartitionRig.PartitionPath), name => name.EndsWith("ed", StringComparison.Ordinal)
            || name.Contains("777", StringComparison.Ordinal)
            || name.EndsWith(".tmp", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Duplicates_are_recognised_after_a_kill_and_a_clean_restart()
    {
        await using var rig = await PartitionRig.StartAsync(NoFlush);
        for (var sequence = 0; sequence < 20; sequence++)
            Assert.Equal(sequence, (await Send(sequence)).BaseOffset);
        await rig.KillAsync();
        Assert.Equal(19, (await Send(19)).BaseOffset);
        Assert.Equal(20, (await Send(20)).BaseOffset);
        await rig.RestartAsync();
        Assert.Equal(18, (await Send(18)).BaseOffset);
        Assert.Equal(ErrorCode.OutOfOrderSequenceNumber, (await Send(25)).Error);
        Assert.Equal(21, rig.Partition.LogEndOffset);

        ValueTask<ProduceResult> Send(int sequence) =>
            rig.Partition.AppendAsync(PartitionRig.Batch(rig.Clock.Now, b => b.SetProducer(7, 0, sequence), new string('v', 100)),
                Acks.All);
    }

    [Fact]
    public async Task Every_segment_is_a_sequence_of_batches_and_every_index_entry_points_at_one()
    {
        // The layout that Kafka's own tools read: see the dump comparison in the compatibility tests.
        var rig = await PartitionRig.StartAsync(NoFlush);
        await rig.AppendManyAsync(60);
        await rig.DisposeAsync();
        foreach (var name in rig.FilesOf(".log"))
        {
            var segmentBase = long.Parse(name[..20]);
            var bytes = Read(rig, name);
            var lastOffsets = new Dictionary<int, long>();
            for (var position = 0; position < bytes.Length;)
            {
                Assert.Null(RecordBatches.Validate(bytes.AsSpan(position), out var header));
                lastOffsets[position] = header.LastOffset;
                position += header.SizeInBytes;
            }
            var index = Read(rig, name.Replace(".log", ".index", StringComparison.Ordinal));
            Assert.Equal(0, index.Length % 8);
            for (var i = 0; i < index.Length; i += 8)
            {
                var position = BinaryPrimitives.ReadInt32BigEndian(index.AsSpan(i + 4));
                Assert.Equal(lastOffsets[position], segmentBase + BinaryPrimitives.ReadInt32BigEndian(index.AsSpan(i)));
            }
            Assert.Equal(0, rig.LengthOf(name.Replace(".log", ".timeindex", StringComparison.Ordinal)) % 12);
        }
    }

    private static void Spoil(PartitionRig rig, string name, string fault)
    {
        switch (fault)
        {
            case "missing":
                rig.Files.DeleteFile(Path.Combine(PartitionRig.PartitionPath, name));
                break;
            case "longer":
                rig.Truncate(name, rig.LengthOf(name) + 5);
                break;
            case "empty":
                rig.Truncate(name, 0);
                break;
            default:
                var size = name.EndsWith(".timeindex", StringComparison.Ordinal) ? 12 : 8;
                for (var entry = 0; entry < rig.LengthOf(name); entry += size)
                    rig.Flip(name, entry + (fault == "flipped offset" ? size - 5 : size - 1));
                break;
        }
    }

    private static void Append(PartitionRig rig, string name, byte[] bytes)
    {
        using var file = rig.Files.Open(Path.Combine(PartitionRig.PartitionPath, name), FileOpening.ReadWrite);
        file.Write(bytes, file.Length);
    }

    private static byte[] Read(PartitionRig rig, string name) =>
        AtomicFile.TryRead(rig.Files, Path.Combine(PartitionRig.PartitionPath, name))!;

    // Without the indexes, which are rebuilt at each start.
    private static Dictionary<string, string> Contents(PartitionRig rig) => rig.Files.ListFiles(PartitionRig.PartitionPath)
        .Where(name => !name.EndsWith("index", StringComparison.Ordinal)).ToDictionary(name => name, name =>
            Convert.ToHexString(Read(rig, name)));
}
