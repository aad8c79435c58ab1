using System.Text;
using OrleansMq.Api;
using OrleansMq.Log;
using OrleansMq.Partitions;
using OrleansMq.Partitions.Cursors;
using OrleansMq.Queues;
using OrleansMq.Storage;
using OrleansMq.Tests.Engine.Partitions;
using OrleansMq.Topics;

namespace OrleansMq.Tests.Engine.Queues;

/// <summary>Cursors over a partition with files: publish, receive, settle, and what a killed process leaves.</summary>
public sealed class PartitionCursorsTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);
    private static readonly CursorConfiguration Configuration = new() { Name = "c" };
    private static readonly TopicConfig Small = TopicConfig.Default with { SegmentBytes = 2_000, FileDeleteDelayMs = 0 };
    private static readonly DeadLetterTarget Target = new(PartitionRig.TopicId, 1);

    [Fact]
    public async Task Settled_records_are_not_received_again_after_a_kill()
    {
        await using var rig = await PartitionRig.StartAsync(Small);
        await BeginAsync(rig);
        await rig.AppendManyAsync(10);
        var consumer = await AttachAsync(rig);
        using (var received = await ReceiveAsync(consumer, 6))
        {
            Assert.Equal([0, 1, 2, 3, 4, 5], received.Records.Select(one => one.Counts.Deliveries - 1 + one.Record.Offset - First(rig)));
            Assert.All(received.Records, one => Assert.False(one.IsRedelivered));
            Assert.Equal("aaa", Text(received.Records[0])[..3]);
            Assert.Equal(CursorOutcome.Done, await SettleAsync(consumer, received, 0, 4));
        }
        await rig.KillAsync();
        consumer = await AttachAsync(rig);
        var again = new List<(long, bool)>();
        while (again.Count < 6)
        {
            using var received = await ReceiveAsync(consumer, 10);
            again.AddRange(received.Records.Select(one => (one.Record.Offset - First(rig), one.IsRedelivered)));
        }
        // The reservation reaches beyond what was delivered.
        Assert.Equal([(4, true), (5, true), (6, true), (7, true), (8, true), (9, true)], again);
    }

    [Fact]
    public async Task Receive_waits_for_a_record_and_an_idle_cursor_writes_nothing()
    {
        await using var rig = await PartitionRig.StartAsync(Small);
        await BeginAsync(rig);
        var consumer = await AttachAsync(rig);
        var waiting = consumer.ReceiveAsync(10, Patience);
        await rig.AppendAsync("one");
        using (var received = (await waiting.WaitAsync(Patience))!)
        {
            Assert.Equal("one", Text(Assert.Single(received.Records)));
            Assert.Equal(CursorOutcome.Done, await SettleAsync(consumer, received, 0, 1));
        }
        var idle = consumer.ReceiveAsync(10, TimeSpan.FromSeconds(5));
        await TurnAsync(rig);
        var end = rig.Partition.LogEndOffset;
        for (var i = 0; i < 20; i++)
            await TurnAsync(rig);
        Assert.Equal(end, rig.Partition.LogEndOffset);
        await PassUntilAsync(rig, () => idle.IsCompleted);
        Assert.Null(await idle);
        Assert.Equal(end, rig.Partition.LogEndOffset);
    }

    [Fact]
    public async Task Receive_that_begins_and_ends_in_one_turn_takes_what_is_there()
    {
        await using var rig = await PartitionRig.StartAsync(Small);
        await BeginAsync(rig);
        await rig.AppendAsync("zero");
        var consumer = await AttachAsync(rig);
        // From then on records are reserved.
        using (await ReceiveAsync(consumer, 1))
        {
        }
        await rig.AppendAsync("one");
        await rig.AppendAsync("two");
        // A turn knows the records that were there when it began.
        await TurnAsync(rig);
        using var gate = new ManualResetEventSlim();
        rig.Partition.Cursors.Post(() => gate.Wait(Patience));
        var receiving = consumer.ReceiveAsync(10, TimeSpan.Zero);
        gate.Set();
        using (var received = await receiving.WaitAsync(Patience))
            Assert.Equal(["one", "two"], received?.Records.Select(Text));

        var other = await AttachAsync(rig);
        await rig.AppendAsync("three");
        await TurnAsync(rig);
        using var second = new ManualResetEventSlim();
        rig.Partition.Cursors.Post(() => second.Wait(Patience));
        var acquisition = other.Acquire(10);
        acquisition.GiveUp();
        second.Set();
        Assert.Single((await acquisition.Completion.WaitAsync(Patience))!.Records);
    }

    [Fact]
    public async Task Receive_that_ends_in_a_turn_which_does_not_know_the_newest_record_takes_it_in_the_next()
    {
        await using var rig = await PartitionRig.StartAsync(Small);
        await BeginAsync(rig);
        await rig.AppendAsync("zero");
        var consumer = await AttachAsync(rig);
        // From then on records are reserved.
        using (await ReceiveAsync(consumer, 1))
        {
        }
        using var first = new ManualResetEventSlim();
        using var isHeld = new ManualResetEventSlim();
        using var second = new ManualResetEventSlim();
        rig.Partition.Cursors.Post(() => first.Wait(Patience));
        rig.Partition.Cursors.Post(() =>
        {
            isHeld.Set();
            second.Wait(Patience);
        });
        var acquisition = consumer.Acquire(10);
        acquisition.GiveUp();
        first.Set();
        Assert.True(isHeld.Wait(Patience));
        await rig.AppendAsync("one");
        second.Set();
        Assert.Single((await acquisition.Completion.WaitAsync(Patience))!.Records);
    }

    [Fact]
    public async Task Control_batches_wake_no_reader_and_are_returned_to_it()
    {
        await using var rig = await PartitionRig.StartAsync(Small);
        await BeginAsync(rig);
        await rig.AppendAsync("one");
        var consumer = await AttachAsync(rig);
        using var received = await ReceiveAsync(consumer, 1);
        var request = new FetchRequest(PartitionRig.Name, rig.Partition.HighWatermark) { MaxWait = Patience };
        var read = rig.Partition.ReadAsync(request).AsTask();
        Assert.Equal(CursorOutcome.Done, await SettleAsync(consumer, received, 0, 1));
        Assert.False(read.IsCompleted);
        await rig.AppendAsync("two");
        using var result = await read.WaitAsync(Patience);
        Assert.Equal(ErrorCode.None, result.Error);
        Assert.True(OrleansMq.Records.RecordBatchHeader.Read(result.Records.Span).IsControl);
    }

    [Fact]
    public async Task Returned_record_counts_its_failures_and_a_lock_that_ends_is_one()
    {
        await using var rig = await PartitionRig.StartAsync(Small);
        await BeginAsync(rig, Configuration with { LimitedCount = LimitedCount.Failures, MaxDeliveries = 10 });
        await rig.AppendAsync("one");
        var consumer = await AttachAsync(rig, new AttachOptions { LockDuration = TimeSpan.FromSeconds(30) });
        LockToken first;
        using (var received = await ReceiveAsync(consumer, 1))
        {
            first = received.Lock;
            Assert.Equal(CursorOutcome.Done,
                (await consumer.ReleaseAsync(first, OffsetRange.Of(received.Records[0].Record.Offset), isFailure: true)).Outcome);
        }
        using (var received = await ReceiveAsync(consumer, 1))
        {
            Assert.Equal((new DeliveryCounts(2, 1), true), (received.Records[0].Counts, received.Records[0].IsRedelivered));
            // The record is held by another lock.
            Assert.Equal(CursorOutcome.InvalidLock,
                (await consumer.SettleAsync(first, OffsetRange.Of(received.Records[0].Record.Offset))).Outcome);
        }
        var other = (await AttachAsync(rig)).ReceiveAsync(1, TimeSpan.FromHours(1));
        await PassUntilAsync(rig, () => other.IsCompleted);
        using var last = await other;
        Assert.Equal(new DeliveryCounts(3, 2), last!.Records[0].Counts);
    }

    [Fact]
    public async Task Prefetch_bounds_what_a_consumer_holds_and_a_detached_consumers_records_go_to_the_next()
    {
        await using var rig = await PartitionRig.StartAsync(Small);
        await BeginAsync(rig);
        await rig.AppendManyAsync(10);
        var first = await AttachAsync(rig, new AttachOptions { Prefetch = 3 });
        var second = await AttachAsync(rig, new AttachOptions { Prefetch = 100, Priority = -1 });
        using (var held = await ReceiveAsync(first, 0))
            Assert.Equal([0, 1, 2], held.Records.Select(one => one.Record.Offset - First(rig)));
        using (var rest = await ReceiveAsync(second, 0))
            Assert.Equal([3, 4, 5, 6, 7, 8, 9], rest.Records.Select(one => one.Record.Offset - First(rig)));
        first.Detach(isFailure: false);
        using var returned = await ReceiveAsync(second, 0);
        Assert.Equal([(0L, 2), (1L, 2), (2L, 2)], returned.Records.Select(one => (one.Record.Offset - First(rig), one.Counts.Deliveries)));
        Assert.Equal(ErrorCode.NotLeaderOrFollower,
            (await Assert.ThrowsAsync<BrokerException>(() => first.ReceiveAsync(1, TimeSpan.Zero))).Code);
    }

    [Fact]
    public async Task Record_waits_for_the_earlier_one_of_its_key()
    {
        await using var rig = await PartitionRig.StartAsync(Small);
        await BeginAsync(rig, Configuration with { IsOrderedByKey = true });
        await rig.AppendAsync("a", "a", "b");
        var consumer = await AttachAsync(rig);
        using var first = await ReceiveAsync(consumer, 10);
        Assert.Equal(["a", "b"], first.Records.Select(Text));
        Assert.Null(await consumer.ReceiveAsync(10, TimeSpan.Zero));
        Assert.Equal(CursorOutcome.Done, await SettleAsync(consumer, first, 0, 1));
        using var second = await ReceiveAsync(consumer, 10);
        Assert.Equal(First(rig) + 1, Assert.Single(second.Records).Record.Offset);
    }

    [Fact]
    public async Task Rejected_record_goes_to_another_partition_once_although_the_target_fails_at_first()
    {
        await using var rig = await PartitionRig.StartAsync(Small);
        var target = new TargetPartition(rig.Store.GetOrCreate(new TopicPartition("t", 1), PartitionRig.TopicId, Small)) { Failures = 2 };
        rig.Partition.Ports.DeadLetters = target;
        await BeginAsync(rig, Configuration with { DeadLetterTarget = Target });
        await rig.AppendAsync("good", "bad", "ugly");
        var consumer = await AttachAsync(rig);
        using (var received = await ReceiveAsync(consumer, 3))
        {
            var offset = received.Records[1].Record.Offset;
            Assert.Equal(CursorOutcome.Done,
                (await consumer.RejectAsync(received.Lock, new OffsetRange(offset, offset + 1))).Outcome);
            Assert.Equal(CursorOutcome.Done, await SettleAsync(consumer, received, 0, 1));
        }
        await PassUntilAsync(rig, () => State(rig).Total(SettlementCause.DeadLettered) == 2);
        Assert.Equal(["bad", "ugly"], await target.ReadAsync());
        Assert.Equal((0, 0L), (State(rig).Intents.Count, State(rig).Exceptions));
        Assert.Null(await consumer.ReceiveAsync(1, TimeSpan.Zero));
    }

    [Fact]
    public async Task Dead_letter_that_was_decided_is_published_after_a_kill()
    {
        await using var rig = await PartitionRig.StartAsync(Small);
        await BeginAsync(rig, Configuration with { DeadLetterTarget = Target });
        await rig.AppendAsync("bad");
        var consumer = await AttachAsync(rig);
        using (var received = await ReceiveAsync(consumer, 1))
            Assert.Equal(CursorOutcome.Done,
                (await consumer.RejectAsync(received.Lock, OffsetRange.Of(received.Records[0].Record.Offset))).Outcome);
        // Nothing publishes it yet, so its record stays.
        var deletion = rig.Partition.DeleteRecordsAsync(rig.Partition.HighWatermark).AsTask();
        await PassUntilAsync(rig, () => deletion.IsCompleted);
        Assert.Equal(ErrorCode.RequestTimedOut, (await Assert.ThrowsAsync<BrokerException>(() => deletion)).Code);
        await rig.KillAsync();
        var target = new TargetPartition(rig.Store.GetOrCreate(new TopicPartition("t", 1), PartitionRig.TopicId, Small));
        rig.Partition.Ports.DeadLetters = target;
        await TurnAsync(rig);
        await PassUntilAsync(rig, () => State(rig).Total(SettlementCause.DeadLettered) == 1);
        Assert.Equal(["bad"], await target.ReadAsync());
    }

    [Fact]
    public async Task Deleted_records_leave_a_fresh_statement_of_every_cursor()
    {
        await using var rig = await PartitionRig.StartAsync(Small);
        await BeginAsync(rig);
        await BeginAsync(rig, Configuration with { Name = "other" });
        await rig.AppendManyAsync(50);
        var consumer = await AttachAsync(rig);
        using (var received = await ReceiveAsync(consumer, 40))
            Assert.Equal(CursorOutcome.Done, await SettleAsync(consumer, received, 0, 40));
        var end = rig.Partition.HighWatermark;
        Assert.Equal(end, await rig.Partition.DeleteRecordsAsync(end));
        await AssertStatesAsync(rig, ["c", "other"]);
        // What was deleted is not delivered, what comes is.
        await rig.AppendAsync("new");
        foreach (var name in (string[])["c", "other"])
        {
            using var received = await ReceiveAsync(await AttachAsync(rig, name: name), 100);
            Assert.Equal("new", Text(Assert.Single(received.Records)));
        }
    }

    [Fact]
    public async Task Retention_waits_for_a_fresh_statement()
    {
        await using var rig = await PartitionRig.StartAsync(Small with { RetentionBytes = 4_000 });
        await BeginAsync(rig);
        var statement = State(rig).StatementOffset;
        await rig.AppendManyAsync(200);
        rig.Partition.Maintain(rig.Clock.Now);
        Assert.InRange(rig.Partition.LogStartOffset, 0, statement);
        await PassUntilAsync(rig, () => State(rig).StatementOffset > statement);
        await TurnAsync(rig);
        rig.Partition.Maintain(rig.Clock.Now);
        Assert.InRange(rig.Partition.LogStartOffset, statement + 1, State(rig).StatementOffset);
        await AssertStatesAsync(rig, ["c"]);
    }

    [Fact]
    public async Task Removed_cursor_is_gone_after_a_kill_and_its_consumers_end()
    {
        await using var rig = await PartitionRig.StartAsync(Small);
        var incarnation = await BeginAsync(rig);
        var consumer = await AttachAsync(rig);
        var waiting = consumer.ReceiveAsync(1, Patience);
        Assert.Equal(CursorOutcome.NoCursor, (await rig.Partition.Cursors.RemoveAsync("c", Guid.NewGuid())).Outcome);
        Assert.Equal(CursorOutcome.Done, (await rig.Partition.Cursors.RemoveAsync("c", incarnation)).Outcome);
        await Assert.ThrowsAsync<BrokerException>(() => waiting);
        await rig.KillAsync();
        Assert.Equal(ErrorCode.GroupIdNotFound, (await Assert.ThrowsAsync<BrokerException>(() => AttachAsync(rig))).Code);
        Assert.Equal(CursorOutcome.NoCursor, (await rig.Partition.Cursors.PurgeAsync("c", 0)).Outcome);
    }

    [Fact]
    public async Task Closed_partition_answers_every_request()
    {
        var rig = await PartitionRig.StartAsync(Small);
        await BeginAsync(rig);
        var consumer = await AttachAsync(rig);
        var (cursors, waiting) = (rig.Partition.Cursors, consumer.ReceiveAsync(1, Patience));
        await rig.DisposeAsync();
        await Assert.ThrowsAsync<BrokerException>(() => waiting);
        Assert.Equal(CursorOutcome.NotLeader, (await cursors.PurgeAsync("c", 0)).Outcome);
        Assert.Equal(CursorOutcome.NotLeader, (await consumer.SettleAsync(default, OffsetRange.Of(0))).Outcome);
    }

    /// <summary>Whatever consumers do and however often the process is killed: what is settled stays settled, and all is
    /// delivered.</summary>
    [Fact]
    public async Task Random_work_with_kills_settles_every_record_once()
    {
        var seed = Seeds.Next();
        var random = new Random(seed);
        await using var rig = await PartitionRig.StartAsync(Small);
        await BeginAsync(rig);
        var (published, settled) = (0, new HashSet<string>());
        for (var round = 0; round < 25 || settled.Count < published; round++)
        {
            Assert.True(round < 2_000, $"{settled.Count} of {published} records were settled; {Seeds.Replay(seed)}");
            for (var i = round < 25 ? random.Next(8) : 0; i > 0; i--)
                Assert.Equal(ErrorCode.None, (await rig.AppendAsync($"{published++}", $"{published++}")).Error);
            var consumer = await AttachAsync(rig, random.Next(2) == 0 ? new AttachOptions { Prefetch = random.Next(1, 20) } : null);
            for (var i = random.Next(4); i >= 0; i--)
            {
                using var received = await consumer.ReceiveAsync(random.Next(1, 20), TimeSpan.Zero);
                foreach (var one in received?.Records ?? [])
                {
                    Assert.DoesNotContain(Text(one), settled);
                    var offset = OffsetRange.Of(one.Record.Offset);
                    if (random.Next(4) == 0)
                        _ = consumer.ReleaseAsync(received!.Lock, offset, random.Next(2) == 0);
                    else if (random.Next(4) > 0 && (await consumer.SettleAsync(received!.Lock, offset)).Outcome == CursorOutcome.Done)
                        Assert.True(settled.Add(Text(one)));
                }
            }
            if (random.Next(4) == 0)
                await rig.KillAsync();
            else if (random.Next(8) == 0)
                await rig.RestartAsync();
            else
                consumer.Detach(random.Next(2) == 0);
        }
        Assert.Equal(State(rig).Total(SettlementCause.Accepted), settled.Count);
    }

    private static async Task<Guid> BeginAsync(PartitionRig rig, CursorConfiguration? configuration = null)
    {
        var incarnation = Guid.NewGuid();
        var begun = await rig.Partition.Cursors.BeginAsync(incarnation, configuration ?? Configuration, 0).WaitAsync(Patience);
        Assert.Equal((CursorOutcome.Done, 0), (begun.Outcome, begun.Offset));
        return incarnation;
    }

    private static Task<CursorAttachment> AttachAsync(PartitionRig rig, AttachOptions? options = null, string name = "c") =>
        rig.Partition.Cursors.AttachAsync(name, options ?? new AttachOptions()).WaitAsync(Patience);

    private static async Task<ReceivedRecords> ReceiveAsync(CursorAttachment consumer, int records) =>
        (await consumer.ReceiveAsync(records, Patience).WaitAsync(Patience))!;

    private static async Task<CursorOutcome> SettleAsync(CursorAttachment consumer, ReceivedRecords received, int first, int count) =>
        (await consumer.SettleAsync(received.Lock, new OffsetRange(received.Records[first].Record.Offset,
            received.Records[first + count - 1].Record.Offset)).WaitAsync(Patience)).Outcome;

    private static string Text(ReceivedRecord one) => Encoding.UTF8.GetString(one.Record.Value!.Value.Span);

    // The first record: the statements of the cursor and its first reservation stand before or among them.
    private static long First(PartitionRig rig) => State(rig).StatementOffset + 1;

    private static CursorState State(PartitionRig rig, string name = "c")
    {
        lock (rig.Partition.Log!.AppendLock)
            return rig.Partition.Log.State.Cursors.Cursors.Values.Single(state => state.Configuration.Name == name).Clone();
    }

    // All that was posted before is done.
    private static Task TurnAsync(PartitionRig rig) => rig.Partition.Cursors.EndAsync();

    private static async Task PassUntilAsync(PartitionRig rig, Func<bool> condition)
    {
        var deadline = DateTime.UtcNow + Patience;
        while (!condition())
        {
            Assert.True(DateTime.UtcNow < deadline, "The condition was not met in time.");
            await TurnAsync(rig);
            rig.Clock.Advance(TimeSpan.FromMilliseconds(250));
            await Task.Yield();
        }
    }

    // The log alone tells all about its cursors, without snapshots.
    private static async Task AssertStatesAsync(PartitionRig rig, string[] names)
    {
        await TurnAsync(rig);
        string[] expected = [.. names.Select(name => Convert.ToHexString(CursorStateFormat.Encode(State(rig, name))))];
        var disk = ((MemoryFileSystem)rig.Files).ProcessKill();
        foreach (var name in disk.ListFiles(PartitionRig.PartitionPath).Where(name => name.EndsWith(LogFiles.Cursors)))
            disk.DeleteFile(Path.Combine(PartitionRig.PartitionPath, name));
        rig.Use(disk);
        await rig.OpenAsync();
        Assert.Equal(expected, names.Select(name => Convert.ToHexString(CursorStateFormat.Encode(State(rig, name)))));
    }

    /// <summary>A target that drops what it has, and fails a few times: before or after it published.</summary>
    private sealed class TargetPartition(Partition partition) : IDeadLetterPort
    {
        private long _last = -1;

        public int Failures { get; set; }

        public Task<DeadLetterTarget> FindTargetAsync(TopicPartition source, string topic, DeadLetterTarget? current,
            CancellationToken cancellationToken) => throw new NotSupportedException();

        public async Task<DeadLetterResult> PublishAsync(DeadLetterSource source, DeadLetterTarget target,
            IReadOnlyList<DeadLetter> letters, CancellationToken cancellationToken)
        {
            Assert.Equal((PartitionRig.Name, Target), (source.Partition, target));
            if (Failures == 2 && Failures-- > 0)
                throw new IOException("The target is away.");
            foreach (var letter in letters.Where(letter => letter.Intent.Sequence > _last))
            {
                _last = letter.Intent.Sequence;
                var value = Encoding.UTF8.GetString(letter.Record.Value!.Value.Span);
                var result = await partition.AppendAsync(PartitionRig.Batch(1_700_000_000_000, value), Acks.All, cancellationToken);
                Assert.Equal(ErrorCode.None, result.Error);
            }
            return Failures-- > 0 ? DeadLetterOutcome.Unknown : DeadLetterOutcome.Published;
        }

        public async Task<List<string>> ReadAsync()
        {
            using var result = await partition.ReadAsync(new FetchRequest(partition.TopicPartition, 0));
            return [.. Shared.TestBatches.Read(result.Records).Select(record => record.Value)];
        }
    }
}
