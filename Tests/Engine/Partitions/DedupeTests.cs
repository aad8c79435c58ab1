using System.Text;
using OrleansMq.Api;
using OrleansMq.Compaction;
using OrleansMq.Compression;
using OrleansMq.Dedupe;
using OrleansMq.Partitions;
using OrleansMq.Records;
using OrleansMq.Storage;
using OrleansMq.Topics;

namespace OrleansMq.Tests.Engine.Partitions;

/// <summary>A partition with a dedupe window appends a message id once within it.</summary>
public sealed class DedupeTests
{
    private static readonly TopicConfig Window = TopicConfig.DefaultFor(FlushPolicy.None) with { DedupeWindowMs = 60_000 };

    [Fact]
    public async Task Second_publish_is_answered_with_the_first_ones_offset_and_not_appended()
    {
        await using var rig = await PartitionRig.StartAsync(Window);
        var first = await Publish(rig, "a=1");
        var second = await Publish(rig, "a=2");
        Assert.Equal((ErrorCode.None, first.BaseOffset), (second.Error, second.BaseOffset));
        Assert.Equal(["1", "3"], await Values(rig, await Publish(rig, "b=3")));
        Assert.Equal(1, rig.Partition.Dedupe.LeftOut);
    }

    [Fact]
    public async Task Records_without_an_id_and_topics_without_a_window_have_no_duplicates()
    {
        await using var rig = await PartitionRig.StartAsync(Window);
        await Publish(rig, "1", "2");
        Assert.Equal(["1", "2", "3"], await Values(rig, await Publish(rig, "3")));
        Assert.False(rig.Partition.Log!.State.Dedupe.IsUsed);
        rig.Partition.UpdateConfig(Window with { DedupeWindowMs = 0 });
        await Publish(rig, "a=4");
        Assert.Equal(["1", "2", "3", "4", "5"], await Values(rig, await Publish(rig, "a=5")));
        Assert.Equal(5, rig.Partition.LogEndOffset);
    }

    [Fact]
    public async Task Id_is_free_again_after_the_window()
    {
        await using var rig = await PartitionRig.StartAsync(Window);
        await Publish(rig, "a=1");
        rig.Clock.Advance(TimeSpan.FromMilliseconds(59_999));
        Assert.Equal(["1"], await Values(rig, await Publish(rig, "a=2")));
        rig.Clock.Advance(TimeSpan.FromMilliseconds(1));
        Assert.Equal(["1", "3"], await Values(rig, await Publish(rig, "a=3")));
        // The window of the second one begins with it.
        rig.Clock.Advance(TimeSpan.FromMilliseconds(59_999));
        Assert.Equal(["1", "3"], await Values(rig, await Publish(rig, "a=4")));
    }

    /// <summary>The producer's time says nothing about the window, and the broker's clock may be set back.</summary>
    [Fact]
    public async Task Window_is_measured_by_the_brokers_time()
    {
        await using var rig = await PartitionRig.StartAsync(Window);
        await Append(rig, Batch(rig.Clock.Now - 1_000_000, "a=1"));
        Assert.Equal(["1"], await Values(rig, await Append(rig, Batch(rig.Clock.Now, "a=2"))));
        rig.Clock.Ahead = TimeSpan.FromHours(-1);
        Assert.Equal(["1"], await Values(rig, await Publish(rig, "a=3")));
    }

    [Fact]
    public async Task Rest_of_a_batch_with_duplicates_is_appended_where_it_would_have_been()
    {
        await using var rig = await PartitionRig.StartAsync(Window);
        await Publish(rig, "a=1", "2");
        var mixed = await Publish(rig, "a=3", "b=4", "5", "b=6", "c=7");
        var read = await rig.ReadAllAsync();
        Assert.Equal(["1", "2", "4", "5", "7"], read.Select(static record => record.Value));
        Assert.Equal(new[] { 1L, 2, 4 }.Select(index => mixed.BaseOffset + index), read.Skip(2).Select(static record => record.Offset));
        Assert.Equal(mixed.BaseOffset + 5, rig.Partition.LogEndOffset);
        Assert.Equal(2, rig.Partition.Dedupe.LeftOut);
        Assert.Equal(["1", "2", "4", "5", "7"], await Values(rig, await Publish(rig, "c=8", "b=9")));
        // Holes are no damage.
        await rig.KillAsync();
        Assert.Equal(["1", "2", "4", "5", "7"], await Values(rig, await Publish(rig, "b=10", "c=11")));
    }

    [Theory]
    [InlineData(CompressionType.None, TimestampType.LogAppendTime, null)]
    [InlineData(CompressionType.Zstd, TimestampType.CreateTime, null)]
    [InlineData(CompressionType.Lz4, TimestampType.LogAppendTime, CompressionType.Zstd)]
    [InlineData(CompressionType.None, TimestampType.CreateTime, CompressionType.Gzip)]
    public async Task Duplicates_are_found_in_every_form_of_batch(CompressionType sent, TimestampType time, CompressionType? stored)
    {
        await using var rig = await PartitionRig.StartAsync(Window with { TimestampType = time, CompressionType = stored });
        await Append(rig, Batch(rig.Clock.Now, null, sent, "a=1", "2"));
        await Append(rig, Batch(rig.Clock.Now, null, sent, "a=3", "b=4"));
        await rig.KillAsync();
        Assert.Equal(["1", "2", "4"], await Values(rig, await Append(rig, Batch(rig.Clock.Now, null, sent, "b=5"))));
    }

    [Fact]
    public async Task Producers_sequence_goes_on_where_a_whole_batch_is_left_out()
    {
        await using var rig = await PartitionRig.StartAsync(Window);
        var first = await Publish(rig, "a=1", "b=2");
        // Of an unknown producer every sequence is accepted.
        await Append(rig, From(5, 0, "0"));
        var left = await Append(rig, From(5, 1, "a=3"));
        Assert.Equal((ErrorCode.None, first.BaseOffset), (left.Error, left.BaseOffset));
        // A retry of that batch, the next one, and a batch of which some are duplicates.
        Assert.Equal(left, await Append(rig, From(5, 1, "a=3")));
        Assert.Equal(ErrorCode.None, (await Append(rig, From(5, 2, "c=4"))).Error);
        Assert.Equal(ErrorCode.None, (await Append(rig, From(5, 3, "d=5", "b=6", "a=7"))).Error);
        Assert.Equal(["1", "2", "0", "4", "5", "8"], await Values(rig, await Append(rig, From(5, 6, "8"))));
        await rig.KillAsync();
        Assert.Equal(["1", "2", "0", "4", "5", "8", "9"], await Values(rig, await Append(rig, From(5, 7, "9"))));
    }

    [Fact]
    public async Task Publishes_of_one_id_in_one_write_are_one_record()
    {
        await using var rig = await PartitionRig.StartAsync(Window);
        var burst = new AppendBurst();
        var appends = Enumerable.Range(0, 5).Select(i => rig.Partition.AppendAsync(Batch(rig.Clock.Now, $"a={i}"), Acks.All, mayWrite: true,
            burst: burst).AsTask()).ToArray();
        burst.Run();
        var results = await Task.WhenAll(appends);
        Assert.All(results, result => Assert.Equal((ErrorCode.None, 1), (result.Error, result.BaseOffset)));
        Assert.Equal(["0"], (await rig.ReadAllAsync()).Select(static record => record.Value));
    }

    [Fact]
    public async Task Ids_survive_restart_kill_and_power_cut()
    {
        await using var rig = await PartitionRig.StartAsync(Window with { FlushMessages = 1, SegmentBytes = 400 });
        for (var i = 0; i < 20; i++)
            await Publish(rig, $"id{i}={i}");
        await rig.RestartAsync();
        await PublishAgain();
        await rig.KillAsync();
        await PublishAgain();
        await rig.CutPowerAsync(Seeds.Next());
        await PublishAgain();

        async Task PublishAgain()
        {
            for (var i = 0; i < 20; i++)
                await Publish(rig, $"id{i}=again");
            Assert.Equal(Enumerable.Range(0, 20).Select(static i => $"{i}"), (await rig.ReadAllAsync()).Select(static record =>
                record.Value));
        }
    }

    /// <summary>The tail that a power cut takes may have torn the claims from their batch.</summary>
    [Fact]
    public async Task Publish_after_a_power_cut_is_appended_if_and_only_if_its_record_is_gone()
    {
        for (var round = 0; round < 40; round++)
        {
            await using var rig = await PartitionRig.StartAsync(Window);
            for (var i = 0; i < 6; i++)
                await Publish(rig, $"x{i}={i}", $"y{i}={i}");
            await rig.CutPowerAsync(Seeds.Next());
            for (var i = 0; i < 6; i++)
                await Publish(rig, $"x{i}={i}", $"y{i}={i}");
            Assert.Equal(["0", "0", "1", "1", "2", "2", "3", "3", "4", "4", "5", "5"],
                (await rig.ReadAllAsync()).Select(static record => record.Value));
        }
    }

    [Fact]
    public async Task Failed_write_claims_nothing()
    {
        var files = new FaultyFiles(new MemoryFileSystem());
        await using var rig = await PartitionRig.StartAsync(Window, files);
        await Publish(rig, "a=1");
        files.OnWrite = static (path, _, _) =>
        {
            if (path.EndsWith(".log", StringComparison.Ordinal))
                throw new DiskFullException(path);
        };
        var burst = new AppendBurst();
        var appends = new[] { "b=2", "b=3", "a=4" }.Select(record => rig.Partition.AppendAsync(Batch(rig.Clock.Now, record), Acks.All,
            mayWrite: true, burst: burst).AsTask()).ToArray();
        burst.Run();
        var results = await Task.WhenAll(appends);
        Assert.Equal([ErrorCode.KafkaStorageError, ErrorCode.KafkaStorageError, ErrorCode.None], results.Select(result => result.Error));
        files.OnWrite = null;
        Assert.Equal(["1", "5"], await Values(rig, await Publish(rig, "b=5")));
    }

    /// <summary>Claims go into the segment of their batch: an empty one is not rolled for them.</summary>
    [Fact]
    public async Task First_batch_of_a_segment_with_its_claims_may_exceed_segment_bytes()
    {
        await using var rig = await PartitionRig.StartAsync(Window with { SegmentBytes = 300, FileDeleteDelayMs = 0 });
        var value = new string('x', 170);
        await Publish(rig, $"a={value}");
        await Publish(rig, $"b={value}");
        await Publish(rig, $"c={value}");
        Assert.Equal([0L, 2, 4], rig.Partition.Log!.Segments.Select(static segment => segment.BaseOffset));
        Assert.Equal(1, await rig.Partition.DeleteRecordsAsync(1));
        rig.Partition.Maintain(rig.Clock.Now);
        await rig.KillAsync();
        Assert.Equal([1L, 3, 5], (await rig.ReadAllAsync(from: 1)).Select(static record => record.Offset));
    }

    [Fact]
    public async Task Oldest_ids_are_forgotten_early_and_counted()
    {
        await using var rig = await PartitionRig.StartAsync(Window with { DedupeMaxIds = 3 });
        for (var i = 0; i < 5; i++)
            await Publish(rig, $"id{i}={i}");
        Assert.Equal((3, 2), (rig.Partition.Log!.State.Dedupe.Count, rig.Partition.Dedupe.ForgottenEarly));
        Assert.Equal(["0", "1", "2", "3", "4", "again"], await Values(rig, await Publish(rig, "id4=no", "id2=no", "id0=again")));
    }

    [Fact]
    public async Task Dead_letters_and_scheduled_records_are_no_duplicates()
    {
        await using var rig = await PartitionRig.StartAsync(Window);
        await Publish(rig, "a=1");
        Assert.Equal(["1", "2"], await Values(rig, await Append(rig, Batch(rig.Clock.Now, builder =>
            builder.SetProducer(OrleansMq.Producers.LetterProducers.FirstId, OrleansMq.Producers.LetterProducers.Epoch, 0),
            CompressionType.None, "a=2"))));
    }

    [Fact]
    public async Task Wrong_id_is_refused()
    {
        await using var rig = await PartitionRig.StartAsync(Window);
        var refused = await Publish(rig, "a=1", $"{new string('x', 257)}=2");
        Assert.Equal(ErrorCode.InvalidRecord, refused.Error);
        Assert.Contains("Record 1: the header 'omq.message-id' has 257 bytes", refused.Message, StringComparison.Ordinal);
        Assert.Equal(0, rig.Partition.LogEndOffset);
    }

    [Fact]
    public async Task Lookup_by_time_finds_records_as_if_there_were_no_ids()
    {
        await using var rig = await PartitionRig.StartAsync(Window with { IndexIntervalBytes = 0 });
        var offsets = new List<long>();
        for (var i = 0; i < 10; i++)
            offsets.Add((await Append(rig, Batch(1_000 + (10 * i), $"id{i}={i}"))).BaseOffset);
        for (var i = 0; i < 10; i++)
            Assert.Equal(offsets[i], rig.Partition.FindOffset(OffsetSpec.AtOrAfter(1_000 + (10 * i))).Offset);
        Assert.Equal(offsets[9], rig.Partition.FindOffset(OffsetSpec.MaxTimestamp).Offset);
        // What stands right before the record leads to it, too.
        Assert.InRange(rig.Partition.FindOffset(OffsetSpec.AtOrAfter(1_035)).Offset, offsets[4] - 1, offsets[4]);
    }

    [Fact]
    public async Task Retention_tells_ids_again_before_their_records_go()
    {
        var config = Window with { SegmentBytes = 5_000, RetentionRecords = 4, FileDeleteDelayMs = 0 };
        await using var rig = await PartitionRig.StartAsync(config);
        for (var i = 0; i < 30; i++)
            await Publish(rig, $"id{i}={new string('x', 1_000)}");
        for (var i = 0; i < 3; i++)
            rig.Partition.Maintain(rig.Clock.Now);
        Assert.True(rig.Partition.LogStartOffset > 40, $"The log starts at {rig.Partition.LogStartOffset}.");
        await rig.KillAsync();
        var before = rig.Partition.HighWatermark;
        for (var i = 0; i < 30; i++)
            await Publish(rig, $"id{i}=again");
        Assert.Empty(await rig.ReadAllAsync(before));
    }

    /// <summary>Told again, the ids would fill the segments that retention deletes next.</summary>
    [Fact]
    public async Task Retention_waits_where_ids_are_most_of_the_log()
    {
        var config = Window with { SegmentBytes = 1_000, RetentionRecords = 4, FileDeleteDelayMs = 0 };
        await using var rig = await PartitionRig.StartAsync(config);
        for (var i = 0; i < 30; i++)
            await Publish(rig, Enumerable.Range(0, 20).Select(n => $"id{i}.{n}=x").ToArray());
        var end = rig.Partition.LogEndOffset;
        for (var i = 0; i < 5; i++)
            rig.Partition.Maintain(rig.Clock.Now);
        Assert.Equal((0, end), (rig.Partition.LogStartOffset, rig.Partition.LogEndOffset));
        rig.Clock.Advance(TimeSpan.FromMinutes(1));
        for (var i = 0; i < 3; i++)
            rig.Partition.Maintain(rig.Clock.Now);
        Assert.InRange(rig.Partition.LogStartOffset, end - 30, end);
        Assert.InRange(rig.Partition.LogEndOffset, end + 1, end + 3);
    }

    [Fact]
    public async Task Deleting_records_keeps_their_ids()
    {
        await using var rig = await PartitionRig.StartAsync(Window);
        for (var i = 0; i < 10; i++)
            await Publish(rig, $"id{i}={i}");
        var end = rig.Partition.HighWatermark;
        Assert.Equal(end, await rig.Partition.DeleteRecordsAsync(-1));
        await rig.KillAsync();
        for (var i = 0; i < 10; i++)
            await Publish(rig, $"id{i}=again");
        Assert.Empty(await rig.ReadAllAsync(end));
    }

    [Fact]
    public async Task Maintenance_forgets_what_has_left_the_window()
    {
        await using var rig = await PartitionRig.StartAsync(Window);
        await Publish(rig, "a=1", "b=2");
        rig.Partition.Maintain(rig.Clock.Now);
        Assert.Equal((2, 3), (rig.Partition.Log!.State.Dedupe.Count, rig.Partition.LogEndOffset));
        rig.Clock.Advance(TimeSpan.FromMinutes(1));
        rig.Partition.Maintain(rig.Clock.Now);
        Assert.Equal((0, 4), (rig.Partition.Log!.State.Dedupe.Count, rig.Partition.LogEndOffset));
        rig.Partition.Maintain(rig.Clock.Now);
        Assert.Equal(4, rig.Partition.LogEndOffset);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Compaction_goes_on_where_no_ids_come_any_more(bool isSwitchedOff)
    {
        var config = Window with
        {
            CleanupCompact = true,
            CleanupDelete = false,
            MinCleanableDirtyRatio = 0,
            SegmentBytes = 500,
            FileDeleteDelayMs = 0,
        };
        await using var rig = await PartitionRig.StartAsync(config);
        await Publish(rig, "id=0");
        if (isSwitchedOff)
            rig.Partition.UpdateConfig(config with { DedupeWindowMs = 0 });
        rig.Clock.Advance(TimeSpan.FromMinutes(1));
        rig.Partition.Maintain(rig.Clock.Now);
        for (var i = 1; i < 40; i++)
            await Publish(rig, $"{i}");
        rig.Partition.Maintain(rig.Clock.Now);
        for (var i = 40; i < 50; i++)
            await Publish(rig, $"{i}");
        rig.Partition.Compact(new LogCompactor(new CompactionOptions(), rig.Partition.Ports.Log), CancellationToken.None);
        // All have one key. The last segments are not cleaned.
        Assert.InRange((await rig.ReadAllAsync()).Count, 1, 25);
    }

    [Fact]
    public async Task Compaction_waits_for_the_window_and_then_drops_what_was_remembered()
    {
        await using var rig = await PartitionRig.StartAsync(Window with
        {
            CleanupCompact = true,
            CleanupDelete = false,
            MinCleanableDirtyRatio = 0,
            SegmentBytes = 500,
            FileDeleteDelayMs = 0,
        });
        for (var i = 0; i < 20; i++)
            await Publish(rig, $"id{i}={i}");
        Compact();
        Assert.Equal(20, (await rig.ReadAllAsync()).Count);
        rig.Clock.Advance(TimeSpan.FromSeconds(50));
        for (var i = 20; i < 25; i++)
            await Publish(rig, $"id{i}={i}");
        rig.Clock.Advance(TimeSpan.FromSeconds(10));
        rig.Partition.Maintain(rig.Clock.Now);
        Compact();
        // All have one key; the ones in the window are as they were.
        var left = (await rig.ReadAllAsync()).ConvertAll(static record => record.Value);
        Assert.InRange(left.Count, 6, 10);
        Assert.Equal(["20", "21", "22", "23", "24"], left[^5..]);
        Assert.InRange(CountClaims(), 5, left.Count);
        await rig.KillAsync();
        for (var i = 20; i < 25; i++)
            await Publish(rig, $"id{i}=again");
        Assert.Equal([.. left, "later"], await Values(rig, await Publish(rig, "id0=later")));

        void Compact() => rig.Partition.Compact(new LogCompactor(new CompactionOptions(), rig.Partition.Ports.Log), CancellationToken.None);

        int CountClaims()
        {
            var (log, count) = (rig.Partition.Log!, 0);
            for (var offset = 0L; log.Read(offset, log.LogEndOffset, maxBytes: 1) is { } read; offset = read.NextOffset)
            {
                using (read)
                    count += DedupeRecord.TryFind(RecordBatchHeader.Read(read.Memory.Span), read.Memory.Span, out var value)
                        && DedupeRecord.Decode(value) is DedupeClaims ? 1 : 0;
            }
            return count;
        }
    }

    internal static async Task<ProduceResult> Publish(PartitionRig rig, params string[] records) =>
        await Append(rig, Batch(rig.Clock.Now, records));

    internal static async Task<ProduceResult> Append(PartitionRig rig, byte[] batch) =>
        await rig.Partition.AppendAsync(batch, Acks.All, mayWrite: true);

    internal static async Task<IEnumerable<string>> Values(PartitionRig rig, ProduceResult last)
    {
        Assert.True(last.Error == ErrorCode.None, last.Message);
        return (await rig.ReadAllAsync()).Select(static record => record.Value);
    }

    internal static byte[] From(long producer, int sequence, params string[] records) => Batch(1_700_000_000_000,
        builder => builder.SetProducer(producer, 0, sequence), CompressionType.None, records);

    internal static byte[] Batch(long timestamp, params string[] records) => Batch(timestamp, null, CompressionType.None, records);

    // A record is "id=value", or "value" without an id.
    internal static byte[] Batch(long timestamp, Action<RecordBatchBuilder>? change, CompressionType compression, params string[] records)
    {
        using var builder = new RecordBatchBuilder(compression, StandardCodecs.All);
        foreach (var record in records)
        {
            var (id, value) = record.Split('=') is [var named, var rest] ? (named, rest) : (null, record);
            RecordHeader[] headers = id is null ? []
                : [new RecordHeader(Encoding.UTF8.GetBytes(MessageHeaders.MessageId), Encoding.UTF8.GetBytes(id))];
            builder.Add(timestamp, "key"u8, true, Encoding.UTF8.GetBytes(value), true, headers);
        }
        change?.Invoke(builder);
        return builder.Build().ToArray();
    }
}
