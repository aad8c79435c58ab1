using OrleansMq.Queues;
using OrleansMq.Tests.Engine.Partitions;

namespace OrleansMq.Tests.Engine.Queues;

/// <summary>Cursors that are created while the one of their name is removed.</summary>
public sealed class RemovedCursorsTests
{
    [Fact]
    public async Task Cursor_that_begins_as_soon_as_its_predecessor_is_removed_exists_beside_later_ones()
    {
        await using var rig = await PartitionRig.StartAsync();
        var incarnation = await rig.BeginCursorAsync();
        for (var round = 0; round < 50; round++)
        {
            var removal = rig.Partition.Cursors.RemoveAsync("c", incarnation);
            incarnation = Guid.NewGuid();
            Answer begun;
            do
            {
                begun = await rig.Partition.Cursors.BeginAsync(incarnation, PartitionCursorsActions.Configuration, CursorState.Latest)
                    .WaitAsync(PartitionCursorsActions.Patience);
            }
            while (begun.Outcome == CursorOutcome.NotReady);
            Assert.Equal((CursorOutcome.Done, CursorOutcome.Done), (begun.Outcome, (await removal).Outcome));
            (await rig.AttachAsync()).Detach(isFailure: false);
            await rig.BeginCursorAsync(new CursorConfiguration { Name = $"other{round}" });
            Assert.Equal(incarnation, rig.StateOf().Incarnation);
        }
        await rig.KillAsync();
        Assert.Equal(incarnation, rig.StateOf().Incarnation);
        lock (rig.Partition.Log!.AppendLock)
            Assert.Equal(51, rig.Partition.Log.State.Cursors.Cursors.Count);
    }

    [Fact]
    public async Task Consumer_of_a_removed_cursor_has_ended_when_the_removal_is_answered()
    {
        await using var rig = await PartitionRig.StartAsync();
        var incarnation = await rig.BeginCursorAsync();
        var consumer = await rig.AttachAsync();
        Assert.Equal(CursorOutcome.Done, (await rig.Partition.Cursors.RemoveAsync("c", incarnation)).Outcome);
        await rig.BeginCursorAsync();
        await rig.AppendAsync("one");
        await Assert.ThrowsAsync<BrokerException>(() => consumer.ReceiveAsync(1, PartitionCursorsActions.Patience));
        Assert.Equal(0, await rig.HeldAsync());
    }
}
