using OrleansMq.Tests.Engine.Partitions;

namespace OrleansMq.Tests.Engine.Queues;

/// <summary>What a partition's cursors begin with.</summary>
public sealed class CursorBeginTests
{
    [Fact]
    public async Task Cursor_that_begins_below_the_log_start_delivers_the_first_record_at_once()
    {
        await using var rig = await PartitionRig.StartAsync();
        await rig.AppendAsync([.. Enumerable.Range(0, 5_000).Select(i => $"{i}")]);
        await rig.Partition.DeleteRecordsAsync(-1);
        await rig.BeginCursorAsync();
        await rig.AppendAsync("new");
        var consumer = await rig.AttachAsync();
        using var received = await consumer.ReceiveSomeAsync(10);
        Assert.Equal("new", Assert.Single(received.Records).Text());
        // The first hand-out found it, beside the cursor's own statement.
        Assert.InRange(received.Lock.Number, 1, 2);
    }
}
