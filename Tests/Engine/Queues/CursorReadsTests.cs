using System.Buffers.Binary;
using System.Globalization;
using System.Text;
using OrleansMq.Api;
using OrleansMq.Compression;
using OrleansMq.Partitions.Cursors;
using OrleansMq.Queues;
using OrleansMq.Records;
using OrleansMq.Tests.Engine.Partitions;
using OrleansMq.Topics;

namespace OrleansMq.Tests.Engine.Queues;

/// <summary>What cursors read ahead of the log: times, priorities, and offsets without a record.</summary>
public sealed class CursorReadsTests
{
    [Fact]
    public void Head_is_what_the_headers_say_and_anything_but_a_number_is_as_none()
    {
        Assert.Equal(new RecordHead(0), HeadOf(0));
        Assert.Equal(new RecordHead(0, DeliverAt: 5, ExpiresAt: 9, Priority: 3), HeadOf(0, (QueueHeaders.DeliverAt, "5"),
            (QueueHeaders.ExpiresAt, "9"), (QueueHeaders.Priority, "3"), ("other", "7")));
        Assert.Equal(new RecordHead(0), HeadOf(0, (QueueHeaders.DeliverAt, "-1"), (QueueHeaders.ExpiresAt, ""),
            (QueueHeaders.Priority, "high"), (QueueHeaders.DeliverAt, "5 "), (QueueHeaders.ExpiresAt, null),
            (QueueHeaders.DeliverAt, "99999999999999999999x"), (QueueHeaders.DeliverAt, "-99999999999999999999")));
        Assert.Equal(int.MaxValue, HeadOf(0, (QueueHeaders.Priority, "99999999999")).Priority);
        // The batch has its producer's time.
        Assert.Equal(new RecordHead(0), HeadOf(1_000));
    }

    [Theory]
    [InlineData("253402300799999")]
    [InlineData("253402300800000")]
    [InlineData("999999999999999999")]
    [InlineData("9223372036854775807")]
    [InlineData("9223372036854775808")]
    [InlineData("99999999999999999999999999999999999999999")]
    public void Time_beyond_the_year_9999_is_its_end_to_deliver_and_never_to_expire(string time)
    {
        var head = HeadOf(0, (QueueHeaders.DeliverAt, time), (QueueHeaders.ExpiresAt, time));
        Assert.Equal(DateTimeOffset.MaxValue.ToUnixTimeMilliseconds(), head.DeliverAt);
        Assert.InRange(head.ExpiresAt, DateTimeOffset.MaxValue.ToUnixTimeMilliseconds(), long.MaxValue);
        Assert.Equal(int.MaxValue, HeadOf(0, (QueueHeaders.Priority, time)).Priority);
    }

    [Fact]
    public async Task Receive_that_does_not_wait_takes_the_record_whose_head_is_read_and_whose_hand_out_is_reserved_first()
    {
        await using var rig = await PartitionRig.StartAsync();
        await rig.BeginCursorAsync(PartitionCursorsActions.Configuration with { HasTimeToLive = true });
        await AppendAsync(rig, ("here", QueueHeaders.ExpiresAt, $"{long.MaxValue}"));
        var consumer = await rig.AttachAsync(new AttachOptions());
        using var received = await consumer.ReceiveAsync(1, TimeSpan.Zero);
        Assert.Equal("here", Assert.Single(received!.Records).Text());
        Assert.Null(await consumer.ReceiveAsync(1, TimeSpan.Zero));
    }

    [Fact]
    public async Task Record_that_is_scheduled_too_far_ahead_waits_and_stops_neither_others_nor_their_timers()
    {
        await using var rig = await PartitionRig.StartAsync();
        await rig.BeginCursorAsync(PartitionCursorsActions.Configuration with { HasSchedules = true, HasTimeToLive = true });
        var due = rig.Clock.Now + (long)TimeSpan.FromHours(1).TotalMilliseconds;
        await AppendAsync(rig, ("never", QueueHeaders.DeliverAt, "99999999999999999999"));
        await AppendAsync(rig, ("never", QueueHeaders.DeliverAt, $"{long.MaxValue}"));
        await AppendAsync(rig, ("now", QueueHeaders.ExpiresAt, $"{long.MaxValue}"));
        await AppendAsync(rig, ("soon", QueueHeaders.DeliverAt, due));
        var consumer = await rig.AttachAsync(new AttachOptions { Prefetch = 10 });
        using (var first = await consumer.ReceiveSomeAsync(0))
        {
            Assert.Equal("now", Assert.Single(first.Records).Text());
            Assert.Equal(CursorOutcome.Done, await consumer.SettleAllAsync(first));
        }
        await rig.WaitUntilIdleAsync();
        Assert.Equal(due, await rig.Partition.Cursors.AskAsync(term => term.WakeAt));
        await rig.KillAsync();
        consumer = await rig.AttachAsync(new AttachOptions { Prefetch = 10 });
        var receiving = consumer.ReceiveAsync(0, TimeSpan.FromDays(1));
        await rig.PassUntilAsync(() => receiving.IsCompleted);
        using (var later = await receiving)
        {
            Assert.Equal("soon", Assert.Single(later!.Records).Text());
            Assert.Equal(CursorOutcome.Done, await consumer.SettleAllAsync(later));
        }
        await rig.WaitUntilIdleAsync();
        Assert.Equal(DateTimeOffset.MaxValue.ToUnixTimeMilliseconds(), await rig.Partition.Cursors.AskAsync(term => term.WakeAt));
        rig.Clock.Advance(TimeSpan.FromDays(1));
        Assert.Null(await consumer.ReceiveAsync(0, TimeSpan.Zero));
        Assert.Equal(2, rig.StateOf().Returns.Count);
    }

    [Fact]
    public async Task Time_to_live_counts_from_the_time_that_the_broker_logged()
    {
        await using var rig = await PartitionRig.StartAsync(TopicConfig.Default with { TimestampType = TimestampType.LogAppendTime });
        await rig.BeginCursorAsync(PartitionCursorsActions.Configuration with { HasTimeToLive = true, TimeToLiveMs = 60_000 });
        await rig.AppendAsync("one");
        rig.Clock.Advance(TimeSpan.FromSeconds(59));
        await rig.AppendAsync("two");
        var consumer = await rig.AttachAsync();
        using (var first = await consumer.ReceiveSomeAsync(1))
        {
            Assert.Equal("one", first.Records[0].Text());
            // What a consumer holds does not expire.
            rig.Clock.Advance(TimeSpan.FromSeconds(30));
            Assert.Equal(CursorOutcome.Done, await consumer.SettleAllAsync(first));
        }
        await rig.PassUntilAsync(() => rig.StateOf().Total(SettlementCause.Expired) == 1);
        using var none = await consumer.ReceiveAsync(1, TimeSpan.Zero);
        Assert.Null(none);
    }

    [Fact]
    public async Task Scheduled_record_comes_at_its_time_after_a_restart()
    {
        await using var rig = await PartitionRig.StartAsync();
        await rig.BeginCursorAsync(PartitionCursorsActions.Configuration with { HasSchedules = true });
        var due = rig.Clock.Now + (long)TimeSpan.FromHours(1).TotalMilliseconds;
        await AppendAsync(rig, ("later", QueueHeaders.DeliverAt, due));
        await AppendAsync(rig, ("now", QueueHeaders.DeliverAt, 1));
        var consumer = await rig.AttachAsync(new AttachOptions { Prefetch = 10 });
        using (var first = await consumer.ReceiveSomeAsync(0))
        {
            Assert.Equal("now", Assert.Single(first.Records).Text());
            Assert.Equal(CursorOutcome.Done, await consumer.SettleAllAsync(first));
        }
        await rig.RestartAsync();
        consumer = await rig.AttachAsync(new AttachOptions { Prefetch = 10 });
        using (var early = await consumer.ReceiveAsync(0, TimeSpan.Zero))
            Assert.Null(early);
        rig.Clock.Advance(TimeSpan.FromMinutes(59));
        var receiving = consumer.ReceiveAsync(0, TimeSpan.FromDays(1));
        await rig.PassUntilAsync(() => receiving.IsCompleted);
        using var later = await receiving;
        Assert.Equal(("later", 1), (Assert.Single(later!.Records).Text(), later.Records[0].Counts.Deliveries));
        Assert.True(rig.Clock.Now >= due);
    }

    [Fact]
    public async Task Partition_refuses_publishes_while_a_queue_is_full_and_control_batches_go_on()
    {
        await using var rig = await PartitionRig.StartAsync();
        await rig.BeginCursorAsync(PartitionCursorsActions.Configuration with { MaxLength = 3, Overflow = OverflowAction.RefusePublish });
        await rig.AppendAsync("one", "two");
        var (error, original) = await AppendNumberedAsync(rig);
        Assert.Equal(ErrorCode.None, error);
        await rig.WaitUntilAsync(() => Task.FromResult(rig.Partition.RefusesPublishes is not null));
        var refused = await rig.AppendAsync("four");
        Assert.Equal(ErrorCode.PolicyViolation, refused.Error);
        Assert.Contains("'c' of t-0 is full", refused.Message, StringComparison.Ordinal);
        // What is in the log is answered, when its producer asks again.
        Assert.Equal((ErrorCode.None, original), await AppendNumberedAsync(rig));
        // Also by the next leader, which counts anew.
        await rig.KillAsync();
        await rig.WaitUntilAsync(() => Task.FromResult(rig.Partition.RefusesPublishes is not null));
        var consumer = await rig.AttachAsync();
        using (var received = await consumer.ReceiveSomeAsync(1))
            Assert.Equal(CursorOutcome.Done, await consumer.SettleAllAsync(received));
        await rig.WaitUntilAsync(() => Task.FromResult(rig.Partition.RefusesPublishes is null));
        Assert.Equal(ErrorCode.None, (await rig.AppendAsync("four")).Error);
        await rig.WaitUntilAsync(() => Task.FromResult(rig.Partition.RefusesPublishes is not null));
        var removed = await rig.Partition.Cursors.RemoveAsync("c", rig.StateOf().Incarnation);
        Assert.Equal(CursorOutcome.Done, removed.Outcome);
        await rig.WaitUntilAsync(() => Task.FromResult(rig.Partition.RefusesPublishes is null));
    }

    [Fact]
    public async Task Offsets_without_a_record_are_control_batches_and_what_the_log_lost()
    {
        await using var rig = await PartitionRig.StartAsync();
        await rig.BeginCursorAsync();
        await rig.AppendAsync("one", "two");
        await rig.Partition.Cursors.PurgeAsync("c", 2);
        await rig.AppendAsync("three");
        var end = rig.Partition.LogEndOffset;
        var all = NaturalOffsets.Find(rig.Partition, new OffsetRange(0, end - 1), default);
        Assert.Equal([OffsetRange.Of(0), OffsetRange.Of(3)], all.Where(range => range.Last < 4));
        Assert.Equal(3, end - all.Sum(range => range.Count));
        Assert.Equal([OffsetRange.Of(3)], NaturalOffsets.Find(rig.Partition, new OffsetRange(2, 3), default));
        var some = NaturalOffsets.Find(rig.Partition, new OffsetRange(0, end - 1), 1, default, out var searched);
        Assert.True(searched > 0);
        Assert.Equal(all.TakeWhile(range => range.First < searched), some);
        var sizes = new List<RecordSize>();
        Assert.Equal(all, NaturalOffsets.Find(rig.Partition, new OffsetRange(0, end - 1), long.MaxValue, default, out _, sizes));
        Assert.Equal([new RecordSize(1, 3), new RecordSize(2, 3), new RecordSize(4, 5)], sizes);
        sizes.Clear();
        NaturalOffsets.Find(rig.Partition, new OffsetRange(2, 3), long.MaxValue, default, out _, sizes);
        Assert.Equal([new RecordSize(2, 3)], sizes);
    }

    [Fact]
    public async Task Descriptions_that_come_together_search_each_offset_once()
    {
        await using var rig = await PartitionRig.StartAsync();
        var queues = rig.Partition.Cursors.Queues;
        for (var i = 0; i < 5; i++)
            await queues.CreateAsync(new NewQueue($"q{i}"), default);
        await rig.AppendManyAsync(500);
        var before = queues.Figures.SearchedOffsets;
        var described = await Task.WhenAll(Enumerable.Range(0, 50).Select(i => Task.Run(() => queues.DescribeAsync($"q{i % 5}", default))))
            .WaitAsync(PartitionCursorsActions.Patience);
        Assert.All(described, queue => Assert.Equal(500, queue.Unsettled));
        Assert.InRange(queues.Figures.SearchedOffsets - before, 500, rig.Partition.LogEndOffset);
    }

    [Fact]
    public async Task Queues_of_a_partition_are_as_many_as_the_broker_allows()
    {
        await using var rig = await PartitionRig.StartAsync(options: options => options with { MaxQueuesPerPartition = 2 });
        await rig.BeginCursorAsync();
        var queues = rig.Partition.Cursors.Queues;
        await queues.CreateAsync(new NewQueue("a"), default);
        await queues.CreateAsync(new NewQueue("b"), default);
        await queues.CreateAsync(new NewQueue("b"), default);
        var refused = await Assert.ThrowsAsync<BrokerException>(() => queues.CreateAsync(new NewQueue("d"), default));
        Assert.Equal(ErrorCode.PolicyViolation, refused.Code);
        await queues.DeleteAsync("a", id: null, default);
        await queues.CreateAsync(new NewQueue("d"), default);
    }

    [Fact]
    public async Task Batch_without_its_codec_has_heads_within_the_bound_whatever_it_claims_and_ends_the_read_of_keys()
    {
        await using var rig = await PartitionRig.StartAsync(options: options => options with { Codecs = CompressionCodecs.Empty });
        await rig.AppendUncheckedAsync(Garbage(1_000_000));
        Assert.Equal(100, RecordHeads.Read(rig.Partition, 0, 100, 0, null, out var end).Count);
        Assert.Equal(100, end);
        Assert.Equal(100, RecordHeads.Read(rig.Partition, 999_950, 100, 0, null, out end).Count + 50);
        Assert.Equal(1_000_000, end);
        await rig.AppendAsync("after");
        foreach (var from in new[] { 0L, 999_950 })
        {
            Assert.Empty(RecordKeys.Read(rig.Partition, from, 100, out end, out var unread));
            Assert.Equal((from, new OffsetRange(from, 999_999)), (end, unread!.Offsets));
            Assert.IsType<CodecUnavailableException>(unread.Fault);
        }
        Assert.Single(RecordKeys.Read(rig.Partition, 1_000_000, 100, out end, out var none));
        Assert.Equal((1_000_001L, (UnreadRecords?)null), (end, none));
    }

    [Fact]
    public async Task Batch_that_no_broker_can_read_has_no_records()
    {
        await using var rig = await PartitionRig.StartAsync();
        Assert.Equal(ErrorCode.InvalidRecord, (await rig.Partition.AppendAsync(Garbage(int.MaxValue), Acks.All)).Error);
        await rig.AppendUncheckedAsync(Garbage(1_000_000));
        await rig.AppendAsync("after");
        Assert.Equal(1_000_000, Assert.Single(RecordKeys.Read(rig.Partition, 10, 100, out var end, out _)).Offset);
        Assert.Equal(1_000_001, end);
        Assert.Equal(1_000_000, Assert.Single(RecordHeads.Read(rig.Partition, 0, 100, 0, null, out end)).Offset);
        Assert.Equal(1_000_001, end);
        var sizes = new List<RecordSize>();
        var range = new OffsetRange(5, 1_000_000);
        Assert.Equal([new OffsetRange(5, 999_999)],
            NaturalOffsets.Find(rig.Partition, range, long.MaxValue, default, out _, sizes));
        Assert.Equal(1_000_000, Assert.Single(sizes).Offset);
        // One line a minute, whatever reads it.
        Assert.Contains("offsets 10 to 999999, which no broker can read", Assert.Single(rig.Lines.Of(Diagnostics.EngineLogLevel.Warning)),
            StringComparison.Ordinal);
    }

    // A compressed batch, whose records the broker does not read when it is appended.
    private static byte[] Garbage(int records)
    {
        using var builder = new RecordBatchBuilder(CompressionType.Gzip, StandardCodecs.All);
        builder.Add(1_000, default, false, "x"u8, true);
        var batch = builder.Build().ToArray();
        var header = RecordBatchHeader.Read(batch) with { RecordCount = records, LastOffsetDelta = records - 1 };
        header.WriteTo(batch);
        batch.AsSpan(RecordBatchHeader.Size).Fill(7);
        BinaryPrimitives.WriteUInt32BigEndian(batch.AsSpan(17), Crc32C.Compute(batch.AsSpan(RecordBatchHeader.CrcStart)));
        return batch;
    }

    private static RecordHead HeadOf(long timeToLiveMs, params (string Name, string? Value)[] headers)
    {
        using var builder = new RecordBatchBuilder();
        builder.Add(1_000, default, false, default, false,
            [.. headers.Select(header => new RecordHeader(Encoding.UTF8.GetBytes(header.Name),
                header.Value is { } value ? (ReadOnlyMemory<byte>?)Encoding.UTF8.GetBytes(value) : null))]);
        using var reader = new RecordReader(builder.Build(), StandardCodecs.All);
        Assert.True(reader.MoveNext());
        return RecordHeads.Of(reader.Batch, reader.Current, timeToLiveMs);
    }

    private static async Task AppendAsync(PartitionRig rig, (string Value, string Header, object Number) record)
    {
        using var builder = new RecordBatchBuilder();
        builder.Add(rig.Clock.Now, default, false, Encoding.UTF8.GetBytes(record.Value), true,
            [new RecordHeader(Encoding.UTF8.GetBytes(record.Header),
                Encoding.UTF8.GetBytes(string.Create(CultureInfo.InvariantCulture, $"{record.Number}")))]);
        Assert.Equal(ErrorCode.None, (await rig.Partition.AppendAsync(builder.Build().ToArray(), Acks.All)).Error);
    }

    private static async Task<(ErrorCode Error, long BaseOffset)> AppendNumberedAsync(PartitionRig rig)
    {
        using var batch = new RecordBatchBuilder();
        batch.Add(rig.Clock.Now, "three"u8, true, "three"u8, true);
        batch.SetProducer(7, 0, 0);
        var result = await rig.Partition.AppendAsync(batch.Build().ToArray(), Acks.All);
        return (result.Error, result.BaseOffset);
    }
}
