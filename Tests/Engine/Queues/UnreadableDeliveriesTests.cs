using System.Buffers;
using System.Text;
using OrleansMq.Api;
using OrleansMq.Compression;
using OrleansMq.Partitions.Cursors;
using OrleansMq.Queues;
using OrleansMq.Records;
using OrleansMq.Tests.Engine.Partitions;

namespace OrleansMq.Tests.Engine.Queues;

/// <summary>Deliveries with a batch that the leader cannot read, or not all at once.</summary>
public sealed class UnreadableDeliveriesTests
{
    private static readonly CursorConfiguration Limited =
        PartitionCursorsActions.Configuration with { MaxDeliveries = 1, LimitedCount = LimitedCount.Failures };
    // The rig's clock passes faster than records are read.
    private static readonly QueueAttachOptions Patient = new() { SessionTimeout = TimeSpan.FromMinutes(5) };

    [Fact]
    public async Task Batch_without_its_codec_comes_back_later_uncounted_and_those_around_it_are_received()
    {
        await using var rig = await PartitionRig.StartAsync();
        await rig.BeginCursorAsync(Limited);
        await rig.AppendAsync("one", "two");
        await AppendPackedAsync(rig, "packed");
        await rig.AppendAsync("three");
        var end = rig.Partition.LogEndOffset;
        rig.Options = options => options with { Codecs = CompressionCodecs.Empty };
        await rig.KillAsync();
        var consumer = await rig.AttachAsync(new AttachOptions { Prefetch = 10 });
        // All are in one delivery, with the offset of the batch that began the cursor.
        await rig.WaitUntilAsync(async () => await rig.HeldAsync() >= end);
        using (var before = await consumer.ReceiveSomeAsync(0))
        {
            Assert.Equal(["one", "two"], before.Records.Select(PartitionCursorsActions.Text));
            Assert.Equal(CursorOutcome.Done, await consumer.SettleAllAsync(before));
        }
        using (var behind = await consumer.ReceiveSomeAsync(0))
        {
            Assert.Equal("three", Assert.Single(behind.Records).Text());
            Assert.Equal(CursorOutcome.Done, await consumer.SettleAllAsync(behind));
        }
        using (var none = await consumer.ReceiveAsync(0, TimeSpan.Zero))
            Assert.Null(none);
        // More often than the limit allows failures.
        for (var i = 0; i < 3; i++)
        {
            var receiving = consumer.ReceiveAsync(0, TimeSpan.FromHours(1));
            await rig.PassUntilAsync(() => receiving.IsCompleted);
            Assert.Equal(ErrorCode.UnsupportedCompressionType, (await Assert.ThrowsAsync<BrokerException>(() => receiving)).Code);
        }
        await rig.WaitUntilIdleAsync();
        Assert.Equal(0, rig.StateOf().Total(SettlementCause.DeliveryLimit));
        rig.Options = options => options;
        await rig.KillAsync();
        consumer = await rig.AttachAsync();
        var last = consumer.ReceiveAsync(1, TimeSpan.FromHours(1));
        await rig.PassUntilAsync(() => last.IsCompleted);
        using var packed = await last;
        Assert.Equal("packed", Assert.Single(packed!.Records).Text());
        Assert.Equal(0, packed.Records[0].Counts.Failures);
    }

    [Fact]
    public async Task Batch_without_its_codec_holds_back_what_follows_it_in_a_queue_ordered_by_key()
    {
        await using var rig = await PartitionRig.StartAsync();
        await rig.Partition.Cursors.Queues.CreateAsync(new NewQueue("q") { Options = new QueueOptions { IsOrderedByKey = true } }, default);
        await AppendOfKeyAsync(rig, CompressionType.None, "before");
        var first = rig.Partition.LogEndOffset;
        await AppendPackedAsync(rig, "packed");
        await AppendOfKeyAsync(rig, CompressionType.None, "after");
        await rig.AppendAsync("other");
        rig.Options = options => options with { Codecs = CompressionCodecs.Empty };
        await rig.KillAsync();
        var queues = rig.Partition.Cursors.Queues;
        var consumer = await queues.AttachAsync("q", Patient, default);
        Assert.Equal(["before"], await ReceiveAndSettleAsync(rig, consumer, TimeSpan.FromHours(1)));
        for (var i = 0; i < 3; i++)
        {
            var unread = await Assert.ThrowsAsync<BrokerException>(() => ReceiveAndSettleAsync(rig, consumer, TimeSpan.FromHours(1)));
            Assert.Equal(ErrorCode.UnsupportedCompressionType, unread.Code);
        }
        // It waits for 10 seconds by the clock, which may have passed.
        if (await Xunit.Record.ExceptionAsync(async () => Assert.Empty(await ReceiveAndSettleAsync(rig, consumer, TimeSpan.FromSeconds(5))))
            is { } next)
            Assert.Equal(ErrorCode.UnsupportedCompressionType, Assert.IsType<BrokerException>(next).Code);
        Assert.Equal(3, (await queues.DescribeAsync("q", default).WaitAsync(PartitionCursorsActions.Patience)).Unsettled);
        // One a minute by the clock, of which several may have passed.
        var lines = rig.Lines.Of(Diagnostics.EngineLogLevel.Warning).ToList();
        Assert.NotEmpty(lines);
        Assert.All(lines, line => Assert.Contains($"no record behind the offsets {first} to {first}", line, StringComparison.Ordinal));
        Assert.All(lines, static line => Assert.Contains("Install the codec on this broker", line, StringComparison.Ordinal));
        rig.Options = options => options;
        await rig.KillAsync();
        consumer = await rig.Partition.Cursors.Queues.AttachAsync("q", Patient, default);
        var rest = new List<string>();
        while (rest.Count < 3)
            rest.AddRange(await ReceiveAndSettleAsync(rig, consumer, TimeSpan.FromHours(1)));
        Assert.Equal(["after", "other", "packed"], rest.Order());
        Assert.True(rest.IndexOf("packed") < rest.IndexOf("after"), string.Join(' ', rest));
    }

    [Fact]
    public async Task Reset_behind_a_batch_without_its_codec_gives_it_up_in_a_queue_ordered_by_key()
    {
        await using var rig = await PartitionRig.StartAsync();
        await rig.Partition.Cursors.Queues.CreateAsync(new NewQueue("q") { Options = new QueueOptions { IsOrderedByKey = true } }, default);
        await AppendPackedAsync(rig, "packed");
        var behind = rig.Partition.LogEndOffset;
        await AppendOfKeyAsync(rig, CompressionType.None, "after");
        rig.Options = options => options with { Codecs = CompressionCodecs.Empty };
        await rig.KillAsync();
        var queues = rig.Partition.Cursors.Queues;
        var consumer = await queues.AttachAsync("q", Patient, default);
        await Assert.ThrowsAsync<BrokerException>(() => ReceiveAndSettleAsync(rig, consumer, TimeSpan.FromHours(1)));
        await queues.ResetAsync("q", OffsetSpec.AtOffset(behind), id: null, default).WaitAsync(PartitionCursorsActions.Patience);
        Assert.Equal(["after"], await ReceiveAndSettleAsync(rig, consumer, TimeSpan.FromHours(1)));
    }

    [Fact]
    public async Task Batch_that_the_disk_has_damaged_holds_back_what_follows_it_in_key_order_up_to_the_limit_of_failures()
    {
        await using var rig = await PartitionRig.StartAsync(options: options => options with { VerifyOnRead = false });
        await rig.BeginCursorAsync(Limited with { IsOrderedByKey = true, MaxDeliveries = 2 });
        await AppendPackedAsync(rig, "packed");
        var log = Assert.Single(rig.FilesOf(".log"));
        rig.Flip(log, rig.LengthOf(log) - 1);
        await AppendOfKeyAsync(rig, CompressionType.None, "after");
        var consumer = await rig.AttachAsync(new AttachOptions { Prefetch = 10 });
        for (var i = 0; i < 2; i++)
        {
            Assert.Equal(0, rig.StateOf().Total(SettlementCause.DeliveryLimit));
            var receiving = consumer.ReceiveAsync(0, TimeSpan.FromHours(1));
            await rig.PassUntilAsync(() => receiving.IsCompleted);
            Assert.Equal(ErrorCode.CorruptMessage, (await Assert.ThrowsAsync<BrokerException>(() => receiving)).Code);
        }
        using var after = await consumer.ReceiveSomeAsync(0);
        Assert.Equal("after", Assert.Single(after.Records).Text());
        Assert.Equal(1, rig.StateOf().Total(SettlementCause.DeliveryLimit));
    }

    // Waits for so long, by the broker's clock.
    private static async Task<List<string>> ReceiveAndSettleAsync(PartitionRig rig, Guid consumer, TimeSpan wait)
    {
        var queues = rig.Partition.Cursors.Queues;
        var receiving = queues.ReceiveAsync(consumer, 10, wait, default);
        await rig.PassUntilAsync(() => receiving.IsCompleted);
        if (await receiving is not { } received)
            return [];
        var settled = await queues.SettleAsync(consumer, [.. received.Records.Select(record => new QueueSettlement(received.Lock,
            record.Offset, record.Offset, QueueAction.Accept))], default).WaitAsync(PartitionCursorsActions.Patience);
        Assert.All(settled, static error => Assert.Equal(ErrorCode.None, error));
        return [.. received.Records.Select(static record => Encoding.UTF8.GetString(record.Value!.Value.Span))];
    }

    public static TheoryData<string> Orders => ["log", "key", "priority", "expiry"];

    [Theory]
    [MemberData(nameof(Orders))]
    public async Task Batch_that_no_broker_can_read_is_passed_over_at_once_whatever_number_of_records_it_claims(string order)
    {
        const int claimed = 1_000_000;
        await using var rig = await PartitionRig.StartAsync();
        var configuration = order switch
        {
            "key" => Limited with { IsOrderedByKey = true },
            "priority" => Limited with { PriorityLevels = 3 },
            "expiry" => Limited with { TimeToLiveMs = 1_000_000_000 },
            _ => Limited,
        };
        var incarnation = await rig.BeginCursorAsync(configuration);
        await rig.AppendAsync("one");
        var first = rig.Partition.LogEndOffset;
        await rig.AppendUncheckedAsync(Claiming(claimed));
        await rig.AppendAsync("two");
        var end = rig.Partition.LogEndOffset;
        foreach (var prefetch in new[] { 0, 10 })
        {
            if (prefetch > 0)
                await rig.Partition.Cursors.ResetAsync("c", Guid.NewGuid(), 0, incarnation).WaitAsync(PartitionCursorsActions.Patience);
            var consumer = await rig.AttachAsync(new AttachOptions { Prefetch = prefetch });
            for (var settled = 0; settled < 2;)
            {
                using var some = await consumer.ReceiveSomeAsync(10);
                Assert.Equal(settled == 0 ? "one" : "two", some.Records[0].Text());
                settled += some.Records.Count;
                Assert.Equal(CursorOutcome.Done, await consumer.SettleAllAsync(some));
            }
            using (var none = await consumer.ReceiveAsync(10, TimeSpan.Zero))
                Assert.Null(none);
            await rig.WaitUntilIdleAsync();
            await consumer.DetachAsync(isFailure: false);
        }
        Assert.Equal(0, rig.StateOf().Total(SettlementCause.DeliveryLimit));
        Assert.True(await rig.Partition.Cursors.AskAsync(static term => term.Find("c")!.Cursor.Needed) >= end);
        // A few settlements, and not one a record.
        Assert.InRange(rig.Partition.LogEndOffset - end, 1, 40);
        Assert.Contains($"offsets {first} to {first + claimed - 1}, which no broker can read",
            Assert.Single(rig.Lines.Of(Diagnostics.EngineLogLevel.Warning)), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Records_before_the_fault_of_a_batch_are_received_and_a_line_a_minute_names_passed_offsets()
    {
        await using var rig = await PartitionRig.StartAsync();
        await rig.BeginCursorAsync(Limited);
        var consumer = await rig.AttachAsync(new AttachOptions { Prefetch = 10 });
        for (var round = 0; round < 3; round++)
        {
            if (round == 2)
                rig.Clock.Advance(Diagnostics.RareLine.Interval);
            await rig.AppendUncheckedAsync(Claiming(1_000, "a", "b"));
            await rig.AppendAsync("c");
            var texts = new List<string>();
            while (texts.Count < 3)
            {
                using var some = await consumer.ReceiveSomeAsync(0);
                texts.AddRange(some.Records.Select(PartitionCursorsActions.Text));
                Assert.Equal(CursorOutcome.Done, await consumer.SettleAllAsync(some));
            }
            Assert.Equal(["a", "b", "c"], texts);
        }
        var lines = rig.Lines.Of(Diagnostics.EngineLogLevel.Warning);
        Assert.Equal(2, lines.Count);
        Assert.Contains("1 more such lines were left out", lines[1], StringComparison.Ordinal);
    }

    [Fact]
    public async Task Peek_passes_over_a_batch_that_no_broker_can_read_in_one_step()
    {
        await using var rig = await PartitionRig.StartAsync();
        var queues = rig.Partition.Cursors.Queues;
        await queues.CreateAsync(new NewQueue("q"), default);
        await rig.AppendUncheckedAsync(Claiming(30_000_000));
        await rig.AppendAsync("two");
        var peeked = await queues.PeekAsync("q", 10, default).WaitAsync(PartitionCursorsActions.Patience);
        Assert.Equal("two", Encoding.UTF8.GetString(Assert.Single(peeked).Value!.Value.Span));
    }

    [Fact]
    public async Task Batch_that_the_disk_has_damaged_comes_back_as_failed_and_is_not_passed_over()
    {
        await using var rig = await PartitionRig.StartAsync(options: options => options with { VerifyOnRead = false });
        await rig.BeginCursorAsync(Limited with { MaxDeliveries = 0 });
        await AppendPackedAsync(rig, "packed");
        var log = Assert.Single(rig.FilesOf(".log"));
        var damaged = rig.LengthOf(log) - 1;
        rig.Flip(log, damaged);
        var consumer = await rig.AttachAsync(new AttachOptions { Prefetch = 10 });
        var receiving = consumer.ReceiveAsync(0, TimeSpan.FromHours(1));
        await rig.PassUntilAsync(() => receiving.IsCompleted);
        Assert.Equal(ErrorCode.CorruptMessage, (await Assert.ThrowsAsync<BrokerException>(() => receiving)).Code);
        rig.Flip(log, damaged);
        receiving = consumer.ReceiveAsync(0, TimeSpan.FromHours(1));
        await rig.PassUntilAsync(() => receiving.IsCompleted);
        using var packed = await receiving;
        Assert.Equal("packed", Assert.Single(packed!.Records).Text());
        Assert.Equal(1, packed.Records[0].Counts.Failures);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Batch_that_takes_more_memory_than_any_broker_gives_is_passed_over(bool isOrderedByKey)
    {
        var codec = new FailingCodec { Error = RecordBatchError.TooLong };
        await using var rig = await PartitionRig.StartAsync(options: options => options with { Codecs = new CompressionCodecs([codec]) });
        await rig.BeginCursorAsync(Limited with { IsOrderedByKey = isOrderedByKey });
        await AppendPackedAsync(rig, "one", "two", "three");
        await rig.AppendAsync("four");
        var consumer = await rig.AttachAsync(new AttachOptions { Prefetch = 10 });
        using var some = await consumer.ReceiveSomeAsync(0);
        Assert.Equal("four", Assert.Single(some.Records).Text());
        Assert.Contains("which no broker can read", Assert.Single(rig.Lines.Of(Diagnostics.EngineLogLevel.Warning)),
            StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(RecordBatchError.Unknown)]
    [InlineData(RecordBatchError.Busy)]
    public async Task Batch_that_takes_more_memory_than_there_is_is_not_passed_over(RecordBatchError error)
    {
        var codec = new FailingCodec { Error = error };
        await using var rig = await PartitionRig.StartAsync(options: options => options with { Codecs = new CompressionCodecs([codec]) });
        await rig.BeginCursorAsync(Limited with { MaxDeliveries = 0 });
        await AppendPackedAsync(rig, "packed");
        var consumer = await rig.AttachAsync(new AttachOptions { Prefetch = 10 });
        var receiving = consumer.ReceiveAsync(0, TimeSpan.FromHours(1));
        if (error == RecordBatchError.Busy)
        {
            await rig.PassUntilAsync(() => codec.Failures > 0);
            codec.Error = null;
        }
        else
        {
            // It may be tried again at once, in a turn.
            await rig.PassUntilAsync(() => receiving.IsCompleted);
            await Assert.ThrowsAsync<BrokerException>(() => receiving);
            codec.Error = null;
            receiving = consumer.ReceiveAsync(0, TimeSpan.FromHours(1));
        }
        await rig.PassUntilAsync(() => receiving.IsCompleted);
        using var packed = await receiving;
        Assert.Equal("packed", Assert.Single(packed!.Records).Text());
    }

    [Fact]
    public async Task Dead_letter_without_its_codec_waits_and_the_log_names_offset_codec_and_fix()
    {
        await using var rig = await PartitionRig.StartAsync();
        await rig.BeginCursorAsync(PartitionCursorsActions.Configuration with
        {
            DeadLetterTarget = new DeadLetterTarget(PartitionRig.TopicId, 1),
        });
        await AppendPackedAsync(rig, "packed");
        var consumer = await rig.AttachAsync();
        using var received = await consumer.ReceiveSomeAsync(1);
        var offset = received.Records[0].Record.Offset;
        Assert.Equal(CursorOutcome.Done, (await consumer.RejectAsync(received.Lock, OffsetRange.Of(offset))).Outcome);
        rig.Options = options => options with { Codecs = CompressionCodecs.Empty };
        await rig.KillAsync();
        rig.Partition.Cursors.Signal();
        await rig.PassUntilAsync(() => rig.Lines.Of(Diagnostics.EngineLogLevel.Warning).Any(line =>
            line.Contains($"offset {offset} is compressed with Gzip", StringComparison.Ordinal)
            && line.Contains("Install the codec on this broker", StringComparison.Ordinal)));
        Assert.Single(rig.StateOf().Intents);
    }

    [Fact]
    public async Task Records_of_one_batch_beyond_the_bound_are_received_next()
    {
        await using var rig = await PartitionRig.StartAsync();
        await rig.BeginCursorAsync();
        // A few KB as they are stored.
        await AppendPackedAsync(rig, [.. Enumerable.Range(0, 9).Select(i => new string((char)('a' + i), 4 << 20))]);
        var consumer = await rig.AttachAsync(new AttachOptions { Prefetch = 100 });
        var sizes = new List<int>();
        for (var received = 0; received < 9;)
        {
            using var some = await consumer.ReceiveSomeAsync(0);
            Assert.InRange(some.Records.Sum(one => one.Record.Value!.Value.Length), 1, 16 << 20);
            Assert.All(some.Records, (one, i) => Assert.Equal((char)('a' + received + i), one.Text()[0]));
            Assert.All(some.Records, one => Assert.Equal(1, one.Counts.Deliveries));
            Assert.Equal(CursorOutcome.Done, await consumer.SettleAllAsync(some));
            received += some.Records.Count;
            sizes.Add(some.Records.Count);
        }
        Assert.Equal([3, 3, 3], sizes);
    }

    private static byte[] Claiming(int records, params string[] values)
    {
        using var builder = new RecordBatchBuilder(CompressionType.Zstd, StandardCodecs.All);
        foreach (var value in values)
            builder.Add(1_000, default, false, Encoding.UTF8.GetBytes(value), true);
        if (values.Length == 0)
            builder.Add(1_000, default, false, "x"u8, true);
        var batch = builder.Build().ToArray();
        (RecordBatchHeader.Read(batch) with { RecordCount = records, LastOffsetDelta = records - 1 }).WriteTo(batch);
        if (values.Length == 0)
            batch.AsSpan(RecordBatchHeader.Size).Fill(7);
        RecordBatches.Seal(batch);
        return batch;
    }

    private static Task AppendPackedAsync(PartitionRig rig, params string[] values) => AppendOfKeyAsync(rig, CompressionType.Gzip, values);

    private static async Task AppendOfKeyAsync(PartitionRig rig, CompressionType compression, params string[] values)
    {
        using var builder = new RecordBatchBuilder(compression, StandardCodecs.All);
        foreach (var value in values)
            builder.Add(rig.Clock.Now, "k"u8, true, Encoding.UTF8.GetBytes(value), true);
        Assert.Equal(ErrorCode.None, (await rig.Partition.AppendAsync(builder.Build().ToArray(), Acks.All)).Error);
    }

    // gzip, which fails while it has an error.
    private sealed class FailingCodec : ICompressionCodec
    {
        private readonly ICompressionCodec _gzip = StandardCodecs.All.Get(CompressionType.Gzip);
        private int _failures;

        public RecordBatchError? Error { get; set; }

        public int Failures => Volatile.Read(ref _failures);

        public CompressionType Type => CompressionType.Gzip;

        public void Compress(ReadOnlySpan<byte> source, IBufferWriter<byte> destination) => _gzip.Compress(source, destination);

        public void Decompress(ReadOnlySpan<byte> source, IBufferWriter<byte> destination, int maxLength)
        {
            if (Error is { } error)
            {
                Interlocked.Increment(ref _failures);
                throw new RecordBatchException(error, "as told");
            }
            _gzip.Decompress(source, destination, maxLength);
        }
    }
}
