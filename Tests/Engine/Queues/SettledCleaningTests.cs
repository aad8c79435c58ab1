using OrleansMq.Compaction;
using OrleansMq.Log;
using OrleansMq.Partitions;
using OrleansMq.Partitions.Cursors;
using OrleansMq.Queues;
using OrleansMq.Records;
using OrleansMq.Tests.Engine.Partitions;
using OrleansMq.Tests.Engine.Replicas;
using OrleansMq.Topics;

namespace OrleansMq.Tests.Engine.Queues;

/// <summary><c>retention.until.settled</c>: rolled segments lose what all queues have settled, and nothing else.</summary>
public sealed class SettledCleaningTests
{
    private static readonly TopicConfig Config = TopicConfig.Default with
    {
        RetentionUntilSettled = true,
        SegmentBytes = 4_000,
        FileDeleteDelayMs = 0,
    };

    [Fact]
    public async Task Record_that_waits_holds_back_itself_and_not_those_behind_it()
    {
        await using var rig = await StartAsync(Config);
        await rig.BeginCursorAsync();
        var waiting = (await rig.AppendAsync("waits")).BaseOffset;
        await rig.AppendManyAsync(300);
        await SettleAllAsync(rig, "c", offset => offset != waiting);
        var size = rig.Partition.Log!.SizeInBytes;
        Clean(rig);
        Assert.InRange(rig.Partition.Log!.SizeInBytes, 1, size / 2);
        await CheckAsync(rig, waiting);

        // Every state from the log alone, which still has all transitions.
        await rig.PassUntilAsync(() => rig.Partition.HighWatermark == rig.Partition.LogEndOffset);
        var (state, end) = (rig.StateOf(), rig.Partition.LogEndOffset);
        await rig.Store.DisposeAsync();
        foreach (var name in rig.FilesOf(LogFiles.Cursors))
            rig.Files.DeleteFile(Path.Combine(PartitionRig.PartitionPath, name));
        await rig.OpenAsync();
        Assert.Equal(end, rig.Partition.LogEndOffset);
        Assert.Equal(CursorStateFormat.Encode(state), CursorStateFormat.Encode(rig.StateOf()));
        await CheckAsync(rig, waiting);
        Assert.Equal([waiting], await SettleAllAsync(rig, "c", static _ => true));
    }

    [Fact]
    public async Task Part_of_a_batch_goes_and_the_rest_keeps_its_offsets()
    {
        await using var rig = await StartAsync(Config);
        await rig.BeginCursorAsync();
        for (var batch = 0; batch < 60; batch++)
            await rig.AppendAsync([.. Enumerable.Range(0, 20).Select(record => $"{batch * 20 + record}")]);
        var kept = (await rig.ReadAllAsync()).Where(static record => record.Offset % 7 == 0).ToDictionary();
        await SettleAllAsync(rig, "c", offset => !kept.ContainsKey(offset));
        Clean(rig);
        var read = await rig.ReadAllAsync();
        Assert.All(kept, record => Assert.Contains((record.Key, record.Value), read));
        var active = rig.Partition.Log!.Active.BaseOffset;
        Assert.Equal(kept.Keys.Where(offset => offset < active), read.Select(static record => record.Offset)
            .Where(offset => offset < active));
        Assert.Equal(kept.Keys, await SettleAllAsync(rig, "c", static _ => true));
    }

    [Fact]
    public async Task Segments_are_left_alone_where_most_records_are_needed_or_another_queue_needs_them()
    {
        await using var rig = await StartAsync(Config);
        await rig.BeginCursorAsync();
        await rig.BeginCursorAsync(PartitionCursorsActions.Configuration with { Name = "d" });
        await rig.AppendManyAsync(200);
        await SettleAllAsync(rig, "c", static offset => offset % 3 == 0);
        Assert.Equal(0, Clean(rig).SegmentsBefore);
        await SettleAllAsync(rig, "c", static offset => offset % 50 != 0);
        Assert.Equal(0, Clean(rig).SegmentsBefore);
        await SettleAllAsync(rig, "d", static offset => offset % 10 != 0);
        Assert.InRange(Clean(rig).SegmentsBefore, 2, int.MaxValue);
        // What is left is not halved again.
        Assert.Equal(0, Clean(rig).SegmentsBefore);
    }

    [Fact]
    public async Task Nothing_goes_whose_settlement_is_not_below_the_high_watermark()
    {
        await using var rig = await SparseAsync();
        var (log, calls) = (rig.Partition.Log!, 0);
        var before = await rig.ReadAllAsync();
        var result = Clean(rig, () => calls++ == 0 ? rig.Partition.HighWatermark : rig.Partition.HighWatermark - 1);
        Assert.Equal((3, 0), (calls, result.SegmentsBefore));
        Assert.Equal(before, await rig.ReadAllAsync());
        Assert.Empty(rig.FilesOf(LogFiles.Cleaned));
        Assert.Equal(0, log.CompactedEndOffset);
        // One that stands still has nothing written for it.
        calls = 0;
        Clean(rig, () => ++calls > 0 ? rig.Partition.HighWatermark - 1 : 0);
        Assert.Equal(2, calls);
        Assert.InRange(Clean(rig).SegmentsBefore, 1, int.MaxValue);
        // A log that is cut below the settlements begins again.
        Assert.Equal(log.LogEndOffset, log.CompactedEndOffset);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Nothing_goes_that_a_reset_queue_needs_again_or_the_topic_keeps_without_one(bool isDeleted)
    {
        await using var rig = await SparseAsync();
        var (before, incarnation, calls) = (await rig.ReadAllAsync(), rig.StateOf().Incarnation, 0);
        Clean(rig, () =>
        {
            if (calls++ == 2)
                Assert.Equal(CursorOutcome.Done, (isDeleted ? rig.Partition.Cursors.RemoveAsync("c", incarnation)
                    : rig.Partition.Cursors.ResetAsync("c", Guid.NewGuid(), 0, incarnation))
                    .WaitAsync(PartitionCursorsActions.Patience).GetAwaiter().GetResult().Outcome);
            return rig.Partition.HighWatermark;
        });
        Assert.Equal(3, calls);
        Assert.Equal(before, await rig.ReadAllAsync());
    }

    [Fact]
    public async Task Log_that_is_cut_meanwhile_keeps_its_records()
    {
        await using var rig = await SparseAsync();
        var (log, calls) = (rig.Partition.Log!, 0);
        var before = await rig.ReadAllAsync();
        Clean(rig, () =>
        {
            if (calls++ == 2)
                Cut();
            return rig.Partition.HighWatermark;
        });
        Assert.Equal(3, calls);
        foreach (var (offset, _) in before)
        {
            using var read = log.Read(offset, log.LogEndOffset, 1);
            Assert.Equal(offset, RecordBatchHeader.Read(read!.Memory.Span).BaseOffset);
        }
        Assert.Equal(0, log.CompactedEndOffset);

        void Cut()
        {
            lock (log.RemovalLock)
            {
                lock (log.AppendLock)
                    log.TruncateTo(log.LogEndOffset - 1);
            }
        }
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Nothing_that_a_queue_needs_is_lost_whatever_consumers_cleanings_and_crashes_do(bool isPowerCut)
    {
        var (first, cleaned) = (Random.Shared.Next(1_000_000), 0);
        for (var seed = first; seed < first + 8; seed++)
            cleaned += await RunAsync(seed, isPowerCut);
        Assert.True(cleaned > 0, $"Seeds from {first}: no segment was cleaned.");
    }

    [Fact]
    public async Task Follower_keeps_its_log_until_it_leads_and_then_cleans_it()
    {
        await using var partition = await ReplicatedPartition.StartAsync(Config with { MinInsyncReplicas = 2 },
            options: ReplicatedPartition.Patient with { LeaderLease = TimeSpan.FromMilliseconds(800) });
        await partition.LeadAsync(1);
        await partition.InSyncAsync(3);
        var cursors = partition.ReplicaOf(1).Partition.Cursors;
        var begun = await cursors.BeginAsync(Guid.NewGuid(), PartitionCursorsActions.Configuration, 0)
            .WaitAsync(PartitionCursorsActions.Patience);
        Assert.Equal(CursorOutcome.Done, begun.Outcome);
        for (var i = 0; i < 150; i++)
            await partition.AppendAsync($"{i,-100}");
        var kept = await SettleAsync(cursors, 150, static (offset, count) => count % 30 != 0);
        Assert.Equal(5, kept.Count);
        // The followers learn of the settlements with the next batch.
        await partition.AppendAsync("last");
        await partition.InSyncAsync(3);
        Clean(2);
        Assert.Equal(0, partition.LogOf(2).CompactedEndOffset);
        await partition[1].KillAsync();
        await partition.LeadAsync(2);
        // Not before its lease is the only one.
        var deadline = DateTime.UtcNow + PartitionCursorsActions.Patience;
        for (; partition.LogOf(2).CompactedEndOffset == 0; Clean(2))
        {
            Assert.True(DateTime.UtcNow < deadline, "The leader did not clean.");
            await Task.Delay(10);
        }
        var rest = await SettleAsync(partition.ReplicaOf(2).Partition.Cursors, 6, static (_, _) => true, end: long.MaxValue);
        Assert.Equal(kept, rest[..5]);
        Assert.Equal(6, rest.Count);

        void Clean(int broker)
        {
            var replica = partition.ReplicaOf(broker).Partition;
            replica.Compact(new LogCompactor(new CompactionOptions(), replica.Ports.Log), CancellationToken.None);
        }
    }

    // Without the broker's own schedule.
    private static Task<PartitionRig> StartAsync(TopicConfig config) => PartitionRig.StartAsync(config,
        options: options => options with { CompactionCheckInterval = TimeSpan.FromDays(1000) });

    // Most records are settled; what is left is the first.
    private static async Task<PartitionRig> SparseAsync()
    {
        var rig = await StartAsync(Config);
        await rig.BeginCursorAsync();
        var waiting = (await rig.AppendAsync("waits")).BaseOffset;
        await rig.AppendManyAsync(100);
        await SettleAllAsync(rig, "c", offset => offset != waiting);
        return rig;
    }

    private static async Task<int> RunAsync(int seed, bool isPowerCut)
    {
        var random = new Random(seed);
        await using var rig = await StartAsync(Config with { FlushMessages = isPowerCut ? 1 : Config.FlushMessages });
        var names = new[] { "c", "d" };
        var (needed, cleaned) = (new Dictionary<string, SortedSet<long>>(), 0);
        foreach (var name in names)
        {
            await rig.BeginCursorAsync(PartitionCursorsActions.Configuration with { Name = name });
            needed[name] = [];
        }
        for (var step = 0; step < 30; step++)
        {
            for (var count = random.Next(30); count > 0; count--)
            {
                var values = Enumerable.Range(0, random.Next(1, 6)).Select(_ => new string('x', random.Next(100))).ToArray();
                var offset = (await rig.AppendAsync(values)).BaseOffset;
                foreach (var name in names)
                    needed[name].UnionWith(Enumerable.Range(0, values.Length).Select(index => offset + index));
            }
            var on = names[random.Next(2)];
            var share = random.Next(50, 100);
            if (needed[on].Count > 0)
            {
                var left = await SettleAllAsync(rig, on, _ => random.Next(100) < share, limit: random.Next(1, 100));
                needed[on].ExceptWith(left);
            }
            rig.Clock.Advance(TimeSpan.FromSeconds(random.Next(100)));
            if (random.Next(3) == 0)
                rig.Partition.Maintain(rig.Clock.Now);
            if (random.Next(3) == 0)
                rig.Partition.Compact(new LogCompactor(new CompactionOptions(), rig.Partition.Ports.Log), CancellationToken.None);
            cleaned += rig.Partition.Log!.CompactedEndOffset > 0 ? 1 : 0;
            if (random.Next(5) == 0)
                await (isPowerCut ? rig.CutPowerAsync(seed + step) : rig.KillAsync());
            else if (random.Next(8) == 0)
                await rig.RestartAsync();
            var there = (await rig.ReadAllAsync(rig.Partition.LogStartOffset)).Select(static record => record.Offset).ToHashSet();
            var lost = names.SelectMany(name => needed[name]).Where(offset => !there.Contains(offset)).ToList();
            Assert.True(lost.Count == 0, $"Seed {seed}, step {step}: lost {string.Join(' ', lost)}");
        }
        foreach (var name in names)
            Assert.Equal(needed[name], (await SettleAllAsync(rig, name, static _ => true)).Order());
        return cleaned;
    }

    private static async Task CheckAsync(PartitionRig rig, long waiting)
    {
        var active = rig.Partition.Log!.Active.BaseOffset;
        Assert.Equal([waiting], (await rig.ReadAllAsync()).Select(static record => record.Offset).Where(offset => offset < active));
    }

    private static CompactionResult Clean(PartitionRig rig, Func<long>? highWatermark = null) =>
        Clean(rig.Partition, highWatermark ?? (() => rig.Partition.HighWatermark));

    private static CompactionResult Clean(Partition partition, Func<long> highWatermark) =>
        new LogCompactor(new CompactionOptions(), partition.Ports.Log).RemoveSettled(partition.Log!, highWatermark,
            static () => true, CancellationToken.None);

    /// <summary>Receives all that a queue has, and settles part of it. Returns the settled offsets in order.</summary>
    private static async Task<List<long>> SettleAllAsync(PartitionRig rig, string name, Func<long, bool> settles, int limit = int.MaxValue)
    {
        var state = rig.StateOf(name);
        var waiting = (await rig.ReadAllAsync(Math.Max(rig.Partition.LogStartOffset, state.Floor)))
            .Count(record => !state.IsSettled(record.Offset));
        var settled = new List<long>();
        await SettleAsync(rig.Partition.Cursors, Math.Min(waiting, limit), (offset, _) =>
        {
            if (!settles(offset))
                return false;
            settled.Add(offset);
            return true;
        }, name, rig: rig);
        // What the cursor appended as it ended is in force, so that the state is the log's.
        await rig.PassUntilAsync(() => rig.Partition.HighWatermark == rig.Partition.LogEndOffset);
        return settled;
    }

    // Returns what it did not settle; with an end, what it did.
    private static async Task<List<long>> SettleAsync(PartitionCursors cursors, int records, Func<long, int, bool> settles,
        string name = "c", long? end = null, PartitionRig? rig = null)
    {
        var consumer = await cursors.AttachAsync(name, new AttachOptions()).WaitAsync(PartitionCursorsActions.Patience);
        var (settled, left) = (new List<long>(), new List<long>());
        for (var received = 0; received < records;)
        {
            using var some = (await consumer.ReceiveAsync(records - received, PartitionCursorsActions.Patience)
                .WaitAsync(PartitionCursorsActions.Patience))!;
            var answers = new List<Task<Answer>>();
            foreach (var one in some.Records)
            {
                var isSettled = settles(one.Record.Offset, received++);
                (isSettled ? settled : left).Add(one.Record.Offset);
                if (isSettled)
                    answers.Add(consumer.SettleAsync(some.Lock, OffsetRange.Of(one.Record.Offset)));
            }
            var all = Task.WhenAll(answers);
            // A flush that was due waits for the broker's time.
            if (rig is not null)
                await rig.PassUntilAsync(() => all.IsCompleted);
            Assert.All(await all.WaitAsync(PartitionCursorsActions.Patience), answer => Assert.Equal(CursorOutcome.Done, answer.Outcome));
        }
        consumer.Detach(isFailure: false);
        await cursors.EndAsync();
        return end is null ? left : settled;
    }
}
