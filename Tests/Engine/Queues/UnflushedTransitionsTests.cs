using OrleansMq.Queues;
using OrleansMq.Storage;
using OrleansMq.Tests.Engine.Partitions;
using OrleansMq.Topics;

namespace OrleansMq.Tests.Engine.Queues;

/// <summary>Transitions of a partition with one replica that could not be flushed for the moment.</summary>
public sealed class UnflushedTransitionsTests
{
    [Fact]
    public async Task Cursor_goes_on_after_the_background_flush_without_a_further_append()
    {
        var files = new FaultyFiles(new MemoryFileSystem());
        // No background flush yet: the directory has new entries.
        await using var rig = await PartitionRig.StartAsync(new TopicConfig { SegmentBytes = 2_000 }, files);
        await rig.BeginCursorAsync();
        await rig.AppendManyAsync(20);
        var consumer = await rig.AttachAsync();
        using var first = await consumer.ReceiveSomeAsync(1);
        files.OnFlushDirectory = FaultyFiles.NoHandle;
        rig.Partition.UpdateConfig(rig.Partition.Config with { FlushMessages = 1 });
        Assert.Equal(CursorOutcome.Unknown, await consumer.SettleAllAsync(first));
        Assert.True(rig.Partition.HighWatermark < rig.Partition.LogEndOffset);
        files.OnFlushDirectory = null;
        await rig.PassUntilAsync(() => rig.Partition.HighWatermark == rig.Partition.LogEndOffset);
        using var second = await consumer.ReceiveSomeAsync(1);
        Assert.True(second.Records[0].Record.Offset > first.Records[0].Record.Offset);
        Assert.Equal(CursorOutcome.Done, await consumer.SettleAllAsync(second));
    }
}
