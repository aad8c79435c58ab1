using OrleansMq.Storage;
using OrleansMq.Topics;

namespace OrleansMq.Tests.Engine.Partitions;

/// <summary>Every operation that changes several files, interrupted before each of its steps by the death of the process or of the machine.
/// The remaining files must open and hold everything durable.</summary>
public sealed class EveryStepTests
{
    private const int Records = 40;
    private static readonly TopicConfig Config = new()
    {
        SegmentBytes = 1000,
        IndexIntervalBytes = 100,
        RetentionBytes = 2000,
        RetentionMs = -1,
        FlushMessages = 1
    };

    public static TheoryData<string, bool, bool> Cases()
    {
        var cases = new TheoryData<string, bool, bool>();
        foreach (var what in (string[])["delete records", "retention", "append and roll", "checkpoint", "close", "create another"])
        {
            cases.Add(what, false, false);
            cases.Add(what, false, true);
            cases.Add(what, true, false);
            cases.Add(what, true, true);
        }
        return cases;
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public async Task Interrupted_operation_leaves_a_partition_that_opens(string what, bool powerCut, bool deleteAtOnce)
    {
        var seed = Seeds.Next();
        var config = Config with { FileDeleteDelayMs = deleteAtOnce ? 0 : 60_000 };
        for (var step = 0; ; step++)
        {
            Assert.True(step < 500, "The operation never completed.");
            var memory = new MemoryFileSystem();
            await using var rig = await PartitionRig.StartAsync(config, memory);
            await rig.AppendManyAsync(Records);
            var before = await rig.ReadAllAsync();
            await rig.Store.DisposeAsync();
            var dying = new StepFiles(memory, step);
            rig.Use(dying);
            await rig.OpenAsync();
            dying.Arm();
            var appended = await DoAsync(rig, what);
            var finished = !dying.HasDied;

            rig.Use(powerCut ? memory.PowerCut(new Random(unchecked(seed + step))) : memory.ProcessKill());
            await rig.OpenAsync();
            var told = $"{what}, step {step}; {Seeds.Replay(seed)}: {rig.Partition.OfflineReason}";
            Assert.True(rig.Partition.OfflineReason is null, told);
            var start = rig.Partition.LogStartOffset;
            var after = await rig.ReadAllAsync(start);
            Assert.True(rig.Partition.LogEndOffset >= Records + appended, told);
            Assert.True(before.Skip((int)start).SequenceEqual(after.Where(r => r.Offset < Records)), told);
            Assert.True(what is "delete records" or "retention" || start == 0, told);
            Assert.Equal(rig.Partition.LogEndOffset, (await rig.AppendAsync("on")).BaseOffset);
            await rig.RestartAsync();
            Assert.True(rig.Partition.OfflineReason is null, told);
            if (finished)
                return;
        }
    }

    /// <summary>Runs the operation; it handles faults on the way. Returns the number of acknowledged records.</summary>
    private static async Task<int> DoAsync(PartitionRig rig, string what)
    {
        var appended = 0;
        try
        {
            switch (what)
            {
                case "delete records":
                    await rig.Partition.DeleteRecordsAsync(30);
                    break;
                case "retention":
                    rig.Partition.Maintain(rig.Clock.Now);
                    break;
                case "append and roll":
                    for (var i = 0; i < 12; i++)
                    {
                        if ((await rig.AppendAsync(new string('n', 100))).Error == ErrorCode.None)
                            appended++;
                    }
                    break;
                case "checkpoint":
                    appended += (await rig.AppendAsync("one")).Error == ErrorCode.None ? 1 : 0;
                    rig.Partition.Checkpoint();
                    break;
                case "close":
                    appended += (await rig.AppendAsync("one")).Error == ErrorCode.None ? 1 : 0;
                    await rig.Store.DisposeAsync();
                    break;
                default:
                    rig.Store.GetOrCreate(new TopicPartition("t", 1), PartitionRig.TopicId, rig.Config);
                    break;
            }
        }
        catch (BrokerException)
        {
            // Refused: the disk is dead.
        }
        return appended;
    }
}
