using System.Text;
using OrleansMq.Partitions.Cursors;
using OrleansMq.Queues;
using OrleansMq.Tests.Engine.Partitions;

namespace OrleansMq.Tests.Engine.Queues;

/// <summary>What tests do with the cursor <c>c</c> of a partition with files.</summary>
internal static class PartitionCursorsActions
{
    public static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);
    public static readonly CursorConfiguration Configuration = new() { Name = "c" };

    public static async Task<Guid> BeginCursorAsync(this PartitionRig rig, CursorConfiguration? configuration = null)
    {
        var incarnation = Guid.NewGuid();
        var begun = await rig.Partition.Cursors.BeginAsync(incarnation, configuration ?? Configuration, 0).WaitAsync(Patience);
        Assert.Equal(CursorOutcome.Done, begun.Outcome);
        return incarnation;
    }

    public static Task<CursorAttachment> AttachAsync(this PartitionRig rig, AttachOptions? options = null) =>
        rig.Partition.Cursors.AttachAsync("c", options ?? new AttachOptions()).WaitAsync(Patience);

    public static async Task<ReceivedRecords> ReceiveSomeAsync(this CursorAttachment consumer, int records) =>
        (await consumer.ReceiveAsync(records, Patience).WaitAsync(Patience))!;

    public static async Task<CursorOutcome> SettleAllAsync(this CursorAttachment consumer, ReceivedRecords received) =>
        (await consumer.SettleAsync(received.Lock, new OffsetRange(received.Records[0].Record.Offset,
            received.Records[^1].Record.Offset)).WaitAsync(Patience)).Outcome;

    public static string Text(this ReceivedRecord one) => Encoding.UTF8.GetString(one.Record.Value!.Value.Span);

    public static CursorState StateOf(this PartitionRig rig, string name = "c")
    {
        lock (rig.Partition.Log!.AppendLock)
            return rig.Partition.Log.State.Cursors.Cursors.Values.Single(state => state.Configuration.Name == name).Clone();
    }

    /// <summary>The records that consumers hold, when all that was posted before is done.</summary>
    public static Task<int> HeldAsync(this PartitionRig rig) =>
        rig.Partition.Cursors.AskAsync(term => term.Find("c")!.Cursor.Held).WaitAsync(Patience);

    /// <summary>Waits until the cursor has nothing on its way into force.</summary>
    public static Task WaitUntilIdleAsync(this PartitionRig rig) =>
        rig.WaitUntilAsync(() => rig.Partition.Cursors.AskAsync(term => term.Find("c")!.Cursor.IsIdle));

    /// <summary>Waits while the broker's clock stands.</summary>
    public static async Task WaitUntilAsync(this PartitionRig rig, Func<Task<bool>> condition)
    {
        var deadline = DateTime.UtcNow + Patience;
        while (!await condition().WaitAsync(Patience))
        {
            Assert.True(DateTime.UtcNow < deadline, "The condition was not met in time.");
            await rig.Partition.Cursors.EndAsync();
        }
    }

    /// <summary>Lets the broker's time pass.</summary>
    public static async Task PassUntilAsync(this PartitionRig rig, Func<bool> condition)
    {
        var deadline = DateTime.UtcNow + Patience;
        while (!condition())
        {
            Assert.True(DateTime.UtcNow < deadline, "The condition was not met in time.");
            await rig.Partition.Cursors.EndAsync();
            rig.Clock.Advance(TimeSpan.FromMilliseconds(250));
            await Task.Yield();
        }
    }
}
