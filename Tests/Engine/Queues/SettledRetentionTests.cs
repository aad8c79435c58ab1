using OrleansMq.Partitions.Cursors;
using OrleansMq.Queues;
using OrleansMq.Tests.Engine.Partitions;
using OrleansMq.Topics;

namespace OrleansMq.Tests.Engine.Queues;

/// <summary><c>retention.until.settled</c>: the log starts above what all queues have settled, and never above another record.</summary>
public sealed class SettledRetentionTests
{
    private static readonly TopicConfig Config = TopicConfig.Default with
    {
        RetentionUntilSettled = true,
        SegmentBytes = 1_000,
        FileDeleteDelayMs = 0,
        RetentionMs = 60_000,
        RetentionBytes = 2_000,
    };

    [Fact]
    public async Task Records_are_kept_beyond_age_and_size_until_they_are_settled()
    {
        await using var rig = await PartitionRig.StartAsync(Config);
        await rig.BeginCursorAsync();
        await rig.BeginCursorAsync(PartitionCursorsActions.Configuration with { Name = "d" });
        await rig.AppendManyAsync(100);
        rig.Clock.Advance(TimeSpan.FromHours(1));
        await MaintainAsync(rig);
        Assert.Equal(0, rig.Partition.LogStartOffset);
        await SettleAsync(rig, "c", 60);
        await MaintainAsync(rig);
        // The other one needs them.
        Assert.Equal(0, rig.Partition.LogStartOffset);
        await SettleAsync(rig, "d", 50);
        var floor = rig.StateOf("d").Floor;
        Assert.InRange(floor, 50, 60);
        await MaintainUntilAsync(rig, () => rig.Partition.LogStartOffset > floor - 20);
        Assert.InRange(rig.Partition.LogStartOffset, floor - 20, floor);
        await rig.RestartAsync();
        await MaintainAsync(rig);
        Assert.InRange(rig.Partition.LogStartOffset, floor - 20, floor);
        await SettleAsync(rig, "d", 50);
        await MaintainAsync(rig);
        Assert.InRange(rig.StateOf("d").Floor, 100, long.MaxValue);
        Assert.InRange(rig.Partition.LogStartOffset, floor - 20, rig.StateOf("c").Floor);
    }

    [Fact]
    public async Task Settled_segments_go_without_waiting_for_the_next_check()
    {
        await using var rig = await PartitionRig.StartAsync(Config with { RetentionMs = -1, RetentionBytes = -1 });
        await rig.BeginCursorAsync();
        await rig.AppendManyAsync(100);
        await SettleAsync(rig, "c", 100);
        // The maintenance ticks each 200 ms; checks of retention are minutes apart.
        await rig.PassUntilAsync(() => rig.Partition.LogStartOffset > 80);
    }

    [Fact]
    public async Task Without_queues_age_and_size_decide()
    {
        await using var rig = await PartitionRig.StartAsync(Config);
        await rig.AppendManyAsync(100);
        rig.Partition.Maintain(rig.Clock.Now);
        Assert.InRange(rig.Partition.Log!.SizeInBytes, 2_000, 4_000);
        var incarnation = await rig.BeginCursorAsync();
        await rig.AppendManyAsync(100);
        var start = rig.Partition.LogStartOffset;
        await MaintainAsync(rig);
        Assert.Equal(start, rig.Partition.LogStartOffset);
        Assert.Equal(CursorOutcome.Done, (await rig.Partition.Cursors.RemoveAsync("c", incarnation)).Outcome);
        await MaintainUntilAsync(rig, () => rig.Partition.Log!.SizeInBytes is > 2_000 and < 4_000);
    }

    [Fact]
    public async Task Records_that_a_queue_needs_cannot_be_deleted_by_offset()
    {
        await using var rig = await PartitionRig.StartAsync(Config);
        await rig.BeginCursorAsync();
        await rig.AppendManyAsync(20);
        var refused = await Assert.ThrowsAsync<BrokerException>(() => rig.Partition.DeleteRecordsAsync(10, default).AsTask());
        Assert.Equal(ErrorCode.PolicyViolation, refused.Code);
        Assert.Equal(0, rig.Partition.LogStartOffset);
    }

    [Fact]
    public async Task Log_start_never_passes_an_unsettled_record_whatever_consumers_and_restarts_do()
    {
        for (var seed = 0; seed < 6; seed++)
            await RunAsync(seed);
    }

    private static async Task RunAsync(int seed)
    {
        var random = new Random(seed);
        await using var rig = await PartitionRig.StartAsync(Config);
        var names = new[] { "c", "d" };
        var (settled, appended) = (new Dictionary<string, HashSet<long>>(), new List<long>());
        foreach (var name in names)
        {
            await rig.BeginCursorAsync(PartitionCursorsActions.Configuration with { Name = name });
            settled[name] = [];
        }
        for (var step = 0; step < 40; step++)
        {
            for (var count = random.Next(20); count > 0; count--)
                appended.Add((await rig.AppendAsync(new string('x', 100))).BaseOffset);
            var on = names[random.Next(2)];
            var consumer = await rig.Partition.Cursors.AttachAsync(on, new AttachOptions());
            if (appended.Exists(offset => !settled[on].Contains(offset)))
            {
                using var received = await consumer.ReceiveSomeAsync(30);
                foreach (var one in received.Records.Where(_ => random.Next(4) > 0))
                {
                    var answer = await consumer.SettleAsync(received.Lock, OffsetRange.Of(one.Record.Offset));
                    Assert.Equal(CursorOutcome.Done, answer.Outcome);
                    Assert.True(settled[on].Add(one.Record.Offset));
                }
            }
            consumer.Detach(isFailure: false);
            rig.Clock.Advance(TimeSpan.FromSeconds(random.Next(100)));
            await MaintainAsync(rig);
            var needed = appended.Where(offset => names.Any(name => !settled[name].Contains(offset))).DefaultIfEmpty(long.MaxValue).Min();
            Assert.True(rig.Partition.LogStartOffset <= needed, $"Seed {seed}, step {step}: {rig.Partition.LogStartOffset} > {needed}");
            if (random.Next(6) == 0)
                await rig.KillAsync();
            else if (random.Next(8) == 0)
                await rig.RestartAsync();
        }
        foreach (var name in names)
            await SettleAsync(rig, name, appended.Count - settled[name].Count);
        await rig.AppendManyAsync(40);
        foreach (var name in names)
            await SettleAsync(rig, name, 40);
        await MaintainUntilAsync(rig, () => rig.Partition.LogEndOffset - rig.Partition.LogStartOffset < 60);
    }

    private static async Task SettleAsync(PartitionRig rig, string name, int records)
    {
        var consumer = await rig.Partition.Cursors.AttachAsync(name, new AttachOptions());
        for (var left = records; left > 0;)
        {
            using var received = await consumer.ReceiveSomeAsync(left);
            left -= received.Records.Count;
            // At once: their control batches would take a while.
            var answers = received.Records.Select(one => consumer.SettleAsync(received.Lock, OffsetRange.Of(one.Record.Offset))).ToList();
            Assert.All(await Task.WhenAll(answers), answer => Assert.Equal(CursorOutcome.Done, answer.Outcome));
        }
        consumer.Detach(isFailure: false);
        await rig.Partition.Cursors.EndAsync();
    }

    private static async Task MaintainUntilAsync(PartitionRig rig, Func<bool> condition)
    {
        var deadline = DateTime.UtcNow + PartitionCursorsActions.Patience;
        while (!condition())
        {
            Assert.True(DateTime.UtcNow < deadline, "The log's start did not move.");
            await MaintainAsync(rig);
        }
    }

    // A statement that is repeated for the log's start is in force a few turns later.
    private static async Task MaintainAsync(PartitionRig rig)
    {
        for (var i = 0; i < 3; i++)
        {
            await rig.Partition.Cursors.EndAsync();
            rig.Partition.Maintain(rig.Clock.Now);
        }
        await rig.Partition.Cursors.EndAsync();
    }
}
