using OrleansMq.Api;
using OrleansMq.Dedupe;
using OrleansMq.Partitions;
using OrleansMq.Queues;
using OrleansMq.Records;
using OrleansMq.Storage;
using OrleansMq.Tests.Engine.Queues;
using OrleansMq.Topics;
using static OrleansMq.Tests.Engine.Partitions.DedupeTests;

namespace OrleansMq.Tests.Engine.Partitions;

/// <summary>What message ids may cost, and what a clock that was wrong does to their window.</summary>
public sealed class DedupeBoundsTests
{
    private static readonly TopicConfig Window = TopicConfig.DefaultFor(FlushPolicy.None) with { DedupeWindowMs = 60_000 };

    [Fact]
    public async Task Claimed_number_of_records_costs_no_memory()
    {
        await using var rig = await PartitionRig.StartAsync(Window);
        var batch = Batch(rig.Clock.Now, null, CompressionType.Lz4, "a=1");
        (RecordBatchHeader.Read(batch) with { RecordCount = 38_000_000, LastOffsetDelta = 37_999_999 }).WriteTo(batch);
        RecordBatches.Seal(batch);
        var before = GC.GetAllocatedBytesForCurrentThread();
        var append = rig.Partition.AppendAsync(batch, Acks.All, mayWrite: true);
        var allocated = GC.GetAllocatedBytesForCurrentThread() - before;
        Assert.Equal(ErrorCode.InvalidRecord, (await append).Error);
        Assert.InRange(allocated, 0, 1 << 20);
    }

    [Theory]
    [InlineData(4, 5)]
    [InlineData(100_000, 10_001)]
    public async Task Batch_with_too_many_ids_is_refused(int maxIds, int ids)
    {
        await using var rig = await PartitionRig.StartAsync(Window with { DedupeMaxIds = maxIds });
        var refused = await Publish(rig, [.. Enumerable.Range(0, ids).Select(static id => $"{id}=x")]);
        Assert.Equal(ErrorCode.MessageTooLarge, refused.Error);
        Assert.Equal($"The batch has more than {Math.Min(maxIds, 10_000)} message ids: allowed are 10000, and no more than the topic's "
            + $"dedupe.max.ids = {maxIds}. Send smaller batches.", refused.Message);
        Assert.Equal(0, rig.Partition.LogEndOffset);
        Assert.Equal(ErrorCode.None, (await Publish(rig, [.. Enumerable.Range(1, ids - 1).Select(static id => $"{id}=x"), "none"])).Error);
    }

    [Fact]
    public async Task Batch_with_ids_has_a_most_of_records()
    {
        await using var rig = await PartitionRig.StartAsync(Window);
        string[] records = [.. Enumerable.Repeat("", 20_000), "a=1"];
        var refused = await Append(rig, Batch(rig.Clock.Now, null, CompressionType.Lz4, records));
        Assert.Equal(ErrorCode.MessageTooLarge, refused.Error);
        Assert.Equal("A batch with message ids has at most 20000 records. Send smaller batches.", refused.Message);
        Assert.Equal(ErrorCode.None, (await Append(rig, Batch(rig.Clock.Now, null, CompressionType.Lz4, records[1..]))).Error);
    }

    [Fact]
    public async Task Ids_of_one_write_count()
    {
        await using var rig = await PartitionRig.StartAsync(Window with { DedupeMaxIds = 4 });
        await Publish(rig, "a=1", "b=2", "c=3");
        var burst = new AppendBurst();
        var appends = new[] { "d", "e", "f" }.Select(id => rig.Partition.AppendAsync(Batch(rig.Clock.Now, $"{id}=x"), Acks.All,
            mayWrite: true, burst: burst).AsTask()).ToArray();
        burst.Run();
        await Task.WhenAll(appends);
        Assert.Equal((4, 2), (rig.Partition.Log!.State.Dedupe.Count, rig.Partition.Dedupe.ForgottenEarly));
        Assert.Equal(["1", "2", "3", "x", "x", "x", "y"], await Values(rig, await Publish(rig, "c=no", "d=no", "a=y")));
    }

    [Fact]
    public async Task Oldest_ids_are_forgotten_at_the_brokers_bound()
    {
        await using var rig = await PartitionRig.StartAsync(Window, options: static options => options with { MaxMessageIds = 3 });
        foreach (var id in "abcd")
            await Publish(rig, $"{id}=1");
        Assert.Equal((3, 1), (rig.Partition.Dedupe.Remembered, rig.Partition.Dedupe.ForgottenEarly));
        Assert.Equal(["1", "1", "1", "1", "2"], await Values(rig, await Publish(rig, "a=2", "d=no")));
        var bound = rig.Partition.Ports.MessageIds;
        rig.Partition.Maintain(rig.Clock.Now);
        Assert.Equal(3, bound.Remembered);
        // What others remember counts; the window makes room again.
        bound.Report(0, 100);
        await Publish(rig, "e=3");
        Assert.Equal(2, rig.Partition.Dedupe.Remembered);
        bound.Report(100, 0);
        await rig.RestartAsync();
        Assert.Equal(0, bound.Remembered);
    }

    /// <summary>Ids go on to expire while a statement is written.</summary>
    [Fact]
    public async Task What_expires_meanwhile_is_left_to_the_next_maintenance()
    {
        var files = new FaultyFiles(new MemoryFileSystem());
        await using var rig = await PartitionRig.StartAsync(Window, files);
        for (var i = 0; i < 100; i++)
        {
            await Publish(rig, $"id{i}={i}");
            rig.Clock.Advance(TimeSpan.FromMilliseconds(1));
        }
        rig.Clock.Advance(TimeSpan.FromMilliseconds(59_900));
        files.OnWrite = (path, _, _) => rig.Clock.Ahead += TimeSpan.FromMilliseconds(1);
        var end = rig.Partition.LogEndOffset;
        rig.Partition.Maintain(rig.Clock.Now);
        Assert.Equal((end + 1, 99), (rig.Partition.LogEndOffset, rig.Partition.Log!.State.Dedupe.Count));
        Assert.Equal(end, await rig.Partition.DeleteRecordsAsync(end));
        Assert.InRange(rig.Partition.LogEndOffset, end + 2, end + 3);
    }

    [Fact]
    public async Task Window_goes_on_below_the_time_of_a_clock_that_was_ahead()
    {
        await using var rig = await PartitionRig.StartAsync(Window);
        rig.Clock.Ahead = TimeSpan.FromDays(1);
        await Publish(rig, "a=1");
        rig.Clock.Ahead = TimeSpan.Zero;
        await Publish(rig, "b=2");
        rig.Clock.Advance(TimeSpan.FromMilliseconds(59_999));
        Assert.Equal(["1", "2"], await Values(rig, await Publish(rig, "b=3")));
        rig.Clock.Advance(TimeSpan.FromMilliseconds(1));
        Assert.Equal(["1", "2", "4"], await Values(rig, await Publish(rig, "b=4")));
        // So it is after a restart.
        await rig.RestartAsync();
        await Publish(rig, "c=5");
        rig.Clock.Advance(TimeSpan.FromMinutes(1));
        Assert.Equal(["1", "2", "4", "5", "6"], await Values(rig, await Publish(rig, "c=6")));
    }

    [Fact]
    public async Task Topic_without_a_window_forgets_the_time_of_a_clock_that_was_ahead()
    {
        await using var rig = await PartitionRig.StartAsync(Window);
        rig.Clock.Ahead = TimeSpan.FromDays(1);
        await Publish(rig, "a=1");
        rig.Clock.Ahead = TimeSpan.Zero;
        rig.Partition.UpdateConfig(Window with { DedupeWindowMs = 0 });
        rig.Partition.Maintain(rig.Clock.Now);
        Assert.Equal((0, rig.Clock.Now), (rig.Partition.Log!.State.Dedupe.Count, rig.Partition.Log.State.Dedupe.LatestTime));
        var end = rig.Partition.LogEndOffset;
        rig.Partition.Maintain(rig.Clock.Now);
        Assert.Equal(end, rig.Partition.LogEndOffset);
        await rig.KillAsync();
        Assert.Equal(rig.Clock.Now, rig.Partition.Log.State.Dedupe.LatestTime);
    }

    [Fact]
    public async Task Statement_has_the_clocks_timestamp()
    {
        await using var rig = await PartitionRig.StartAsync(Window);
        rig.Clock.Ahead = TimeSpan.FromDays(1);
        await Append(rig, Batch(1_000, "a=1"));
        rig.Clock.Ahead = TimeSpan.Zero;
        await rig.Partition.DeleteRecordsAsync(-1);
        using var read = rig.Partition.Log!.Read(rig.Partition.LogEndOffset - 1, rig.Partition.LogEndOffset, maxBytes: 1);
        var header = RecordBatchHeader.Read(read!.Memory.Span);
        Assert.True(DedupeRecord.TryFind(header, read.Memory.Span, out _));
        Assert.Equal(rig.Clock.Now, header.MaxTimestamp);
    }

    /// <summary>librdkafka takes a fetch with neither records nor a control batch for one that is cut off.</summary>
    [Fact]
    public async Task Batch_without_records_follows_a_control_batch()
    {
        await using var rig = await PartitionRig.StartAsync(Window);
        await Publish(rig, "a=1");
        Assert.Equal((ErrorCode.None, 1), Answer(await Append(rig, From(5, 0, "a=2"))));
        Assert.Equal([true, false, true, false], Controls());
        Assert.Equal(["1", "3"], await Values(rig, await Append(rig, From(5, 1, "c=3"))));
        await rig.KillAsync();
        Assert.Equal((ErrorCode.None, 1), Answer(await Append(rig, From(5, 2, "a=4"))));

        static (ErrorCode, long) Answer(ProduceResult result) => (result.Error, result.BaseOffset);

        List<bool> Controls()
        {
            var (log, controls) = (rig.Partition.Log!, new List<bool>());
            for (var offset = 0L; log.Read(offset, log.LogEndOffset, maxBytes: 1) is { } read; offset = read.NextOffset)
            {
                using (read)
                    controls.Add(RecordBatchHeader.Read(read.Memory.Span).IsControl);
            }
            return controls;
        }
    }

    /// <summary>Large compressed batches are filtered before they are queued, small ones when they are staged.</summary>
    [Theory]
    [InlineData(100, TimestampType.CreateTime)]
    [InlineData(2 << 20, TimestampType.CreateTime)]
    [InlineData(2 << 20, TimestampType.LogAppendTime)]
    public async Task Batch_of_any_size_is_appended_without_what_is_known(int bytes, TimestampType time)
    {
        await using var rig = await PartitionRig.StartAsync(Window with { TimestampType = time });
        await Publish(rig, "a=1");
        rig.Clock.Advance(TimeSpan.FromSeconds(1));
        var large = new string('x', bytes);
        var mixed = Batch(1_000, null, CompressionType.Lz4, "a=2", $"b={large}", "c=3");
        Assert.Equal(["1", large, "3"], await Values(rig, await Append(rig, [.. mixed])));
        using (var read = rig.Partition.Log!.Read(3, rig.Partition.LogEndOffset, maxBytes: 1))
        {
            var header = RecordBatchHeader.Read(read!.Memory.Span);
            Assert.Equal((2, time == TimestampType.LogAppendTime ? rig.Clock.Now : 1_000), (header.RecordCount, header.MaxTimestamp));
            Assert.Null(RecordBatches.Validate(read.Memory.Span, out _));
        }
        Assert.Equal(["1", large, "3"], await Values(rig, await Append(rig, [.. mixed])));
    }

    /// <summary>What was filtered by other ids is not written.</summary>
    [Fact]
    public async Task Large_batch_of_which_more_became_known_is_refused_to_be_tried_again()
    {
        await using var rig = await PartitionRig.StartAsync(Window);
        await Publish(rig, "a=1");
        var large = new string('x', 2 << 20);
        var mixed = Batch(1_000, null, CompressionType.Lz4, "a=2", $"b={large}", "c=3");
        var burst = new AppendBurst();
        var appends = new[] { Batch(1_000, "c=4"), [.. mixed] }.Select(batch => rig.Partition.AppendAsync(batch, Acks.All, mayWrite: true,
            burst: burst).AsTask()).ToArray();
        burst.Run();
        var results = await Task.WhenAll(appends);
        Assert.Equal([ErrorCode.None, ErrorCode.KafkaStorageError], results.Select(static result => result.Error));
        Assert.Equal(["1", "4"], (await rig.ReadAllAsync()).Select(static record => record.Value));
        Assert.Equal(["1", "4", large], await Values(rig, await Append(rig, [.. mixed])));
    }

    [Fact]
    public async Task Two_snapshots_of_ids_are_kept_and_none_is_made_by_a_roll()
    {
        await using var rig = await PartitionRig.StartAsync(Window with { SegmentBytes = 400 });
        for (var i = 0; i < 40; i++)
            await Publish(rig, $"id{i}={i}");
        Assert.True(rig.FilesOf(".log").Count > 10);
        Assert.Empty(rig.FilesOf(".dedupe"));
        for (var i = 40; i < 45; i++)
        {
            await Publish(rig, $"id{i}={i}");
            rig.Partition.Log!.MoveRecoveryPoint();
            Assert.Equal(Math.Min(i - 39, 2), rig.FilesOf(".dedupe").Count);
        }
        await Publish(rig, "id45=45");
        await rig.KillAsync();
        for (var i = 0; i < 46; i++)
            await Publish(rig, $"id{i}=again");
        Assert.Equal(Enumerable.Range(0, 46).Select(static i => $"{i}"), (await rig.ReadAllAsync()).Select(static record => record.Value));
    }

    [Fact]
    public async Task Full_queue_refuses_no_batch_that_adds_nothing()
    {
        await using var rig = await PartitionRig.StartAsync(Window);
        await rig.BeginCursorAsync(new CursorConfiguration { Name = "c", MaxLength = 1, Overflow = OverflowAction.RefusePublish });
        var first = await Publish(rig, "a=1");
        await rig.WaitUntilAsync(() => Task.FromResult(rig.Partition.RefusesPublishes is not null));
        Assert.Equal(ErrorCode.PolicyViolation, (await Append(rig, From(5, 0, "b=2"))).Error);
        var repeated = await Append(rig, From(5, 0, "a=3"));
        Assert.Equal((ErrorCode.None, first.BaseOffset), (repeated.Error, repeated.BaseOffset));
    }
}
