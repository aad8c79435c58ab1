using OrleansMq.Queues;
using OrleansMq.Tests.Engine.Partitions;

namespace OrleansMq.Tests.Engine.Queues;

/// <summary>What a partition's cursors begin with.</summary>
public sealed class CursorBeginTests
{
    [Fact]
    public async Task Configuration_that_the_broker_does_not_carry_out_is_refused()
    {
        await using var rig = await PartitionRig.StartAsync();
        var configuration = PartitionCursorsActions.Configuration;
        CursorConfiguration[] refused =
        [
            configuration with { HasTimeToLive = true }, configuration with { HasSchedules = true },
            configuration with { PriorityLevels = 2 }, configuration with { MaxLength = 1 },
        ];
        foreach (var one in refused)
        {
            var begin = await Assert.ThrowsAsync<BrokerException>(() => rig.Partition.Cursors.BeginAsync(Guid.NewGuid(), one, 0));
            Assert.Equal(ErrorCode.InvalidConfig, begin.Code);
        }
        await rig.BeginCursorAsync();
        foreach (var one in refused)
            await Assert.ThrowsAsync<BrokerException>(() => rig.Partition.Cursors.ConfigureAsync(one));
    }

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
