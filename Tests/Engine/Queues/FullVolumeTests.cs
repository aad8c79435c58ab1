using OrleansMq.Queues;
using OrleansMq.Storage;
using OrleansMq.Tests.Engine.Partitions;
using OrleansMq.Topics;

namespace OrleansMq.Tests.Engine.Queues;

/// <summary>Queues on a volume that producers have filled down to its reserve of 100 MiB.</summary>
public sealed class FullVolumeTests
{
    private const long Reserve = 100L << 20;
    private static readonly TopicConfig Config = TopicConfig.Default with { SegmentBytes = 1_000, FileDeleteDelayMs = 0 };

    [Fact]
    public async Task Consumers_settle_what_fills_the_volume_and_producers_go_on()
    {
        var files = new FaultyFiles(new MemoryFileSystem());
        await using var rig = await StartAsync(files, Config with { RetentionUntilSettled = true });
        await rig.BeginCursorAsync();
        await rig.AppendManyAsync(100);
        SetFree(rig, files, Reserve - 1);
        Assert.Equal(ErrorCode.KafkaStorageError, (await rig.AppendAsync("more")).Error);
        var consumer = await rig.AttachAsync();
        for (var left = 100; left > 0;)
        {
            using var received = await consumer.ReceiveSomeAsync(left);
            left -= received.Records.Count;
            Assert.Equal(CursorOutcome.Done, await consumer.SettleAllAsync(received));
        }
        await rig.PassUntilAsync(() => rig.Partition.LogStartOffset > 80);
        Assert.Equal(ErrorCode.KafkaStorageError, (await rig.AppendAsync("more")).Error);
        SetFree(rig, files, 2 * Reserve);
        Assert.Equal(ErrorCode.None, (await rig.AppendAsync("more")).Error);
    }

    [Fact]
    public async Task Retention_frees_the_volume_where_a_cursor_was_idle()
    {
        var files = new FaultyFiles(new MemoryFileSystem());
        await using var rig = await StartAsync(files, Config);
        await rig.BeginCursorAsync();
        await rig.AppendManyAsync(100);
        SetFree(rig, files, Reserve / 2);
        rig.Partition.UpdateConfig(Config with { RetentionBytes = 2_000 });
        await rig.PassUntilAsync(() =>
        {
            rig.Partition.Maintain(rig.Clock.Now);
            return rig.Partition.Log!.SizeInBytes < 4_000;
        });
        Assert.InRange(rig.Partition.LogStartOffset, 50, 100);
    }

    [Fact]
    public async Task Settlements_wait_below_a_quarter_of_the_reserve_and_go_on_by_themselves()
    {
        var files = new FaultyFiles(new MemoryFileSystem());
        await using var rig = await StartAsync(files, Config);
        await rig.BeginCursorAsync();
        await rig.AppendAsync("one");
        var consumer = await rig.AttachAsync();
        using var received = await consumer.ReceiveSomeAsync(1);
        await rig.WaitUntilIdleAsync();
        var end = rig.Partition.LogEndOffset;
        SetFree(rig, files, (Reserve / 4) - 1);
        var settling = consumer.SettleAllAsync(received);
        await rig.PassUntilAsync(() => rig.Lines.Of(Diagnostics.EngineLogLevel.Warning)
            .Any(line => line.Contains("settlements of queues are refused below 25 MiB", StringComparison.Ordinal)));
        Assert.False(settling.IsCompleted);
        Assert.Equal(end, rig.Partition.LogEndOffset);
        SetFree(rig, files, Reserve / 4);
        await rig.PassUntilAsync(() => settling.IsCompleted);
        Assert.Equal(CursorOutcome.Done, await settling);
    }

    private static Task<PartitionRig> StartAsync(FaultyFiles files, TopicConfig config) =>
        PartitionRig.StartAsync(config, files, options => options with { MinFreeBytes = Reserve });

    // Beyond the time for which the broker takes the former number.
    private static void SetFree(PartitionRig rig, FaultyFiles files, long bytes)
    {
        files.FreeSpace = bytes;
        rig.Clock.Advance(TimeSpan.FromSeconds(2));
    }
}
