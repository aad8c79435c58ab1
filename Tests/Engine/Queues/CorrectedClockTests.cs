using OrleansMq.Partitions.Cursors;
using OrleansMq.Queues;
using OrleansMq.Tests.Engine.Partitions;

namespace OrleansMq.Tests.Engine.Queues;

/// <summary>A machine's clock that was set forward while the partition was open, and is corrected: what waits by elapsed time goes
/// on.</summary>
public sealed class CorrectedClockTests
{
    [Fact]
    public async Task Locks_end_and_delays_pass_after_the_clock_is_set_back()
    {
        await using var rig = await PartitionRig.StartAsync();
        await rig.BeginCursorAsync();
        await rig.AppendAsync("locked");
        await rig.AppendAsync("delayed");
        await CorrectAsync(rig);
        var first = await rig.AttachAsync(new AttachOptions { LockDuration = TimeSpan.FromSeconds(1) });
        using (await first.ReceiveSomeAsync(1))
        {
            var second = await rig.AttachAsync();
            using (var delayed = await second.ReceiveSomeAsync(1))
            {
                Assert.Equal(CursorOutcome.Done, (await second.ReleaseAsync(delayed.Lock,
                    OffsetRange.Of(delayed.Records[0].Record.Offset), isFailure: false, TimeSpan.FromSeconds(5))).Outcome);
            }
            foreach (var expected in new[] { "locked", "delayed" })
            {
                var receiving = second.ReceiveAsync(1, TimeSpan.FromHours(1));
                await PassAsync(rig, receiving);
                using var received = await receiving;
                Assert.Equal(expected, Assert.Single(received!.Records).Text());
            }
        }
    }

    [Fact]
    public async Task Refused_append_is_repeated_after_the_clock_is_set_back()
    {
        var files = new FaultyFiles(new OrleansMq.Storage.MemoryFileSystem());
        await using var rig = await PartitionRig.StartAsync(files: files);
        await rig.BeginCursorAsync();
        await rig.AppendAsync("one");
        var consumer = await rig.AttachAsync();
        using var received = await consumer.ReceiveSomeAsync(1);
        await rig.WaitUntilIdleAsync();
        await CorrectAsync(rig);
        files.OnWrite = (path, _, _) => throw new OrleansMq.Storage.DiskFullException(path);
        var settling = consumer.SettleAllAsync(received);
        await rig.WaitUntilAsync(() => Task.FromResult(rig.Lines.Of(Diagnostics.EngineLogLevel.Warning).Count > 0));
        files.OnWrite = null;
        await PassAsync(rig, settling);
        Assert.Equal(CursorOutcome.Done, await settling);
    }

    // A turn sees the wrong time, and the next one the corrected.
    private static async Task CorrectAsync(PartitionRig rig)
    {
        foreach (var ahead in new[] { TimeSpan.FromHours(1), TimeSpan.Zero })
        {
            rig.Clock.Ahead = ahead;
            await rig.Partition.Cursors.EndAsync().WaitAsync(PartitionCursorsActions.Patience);
        }
    }

    // Half an hour at most: less than the clock was ahead.
    private static async Task PassAsync(PartitionRig rig, Task awaited)
    {
        var end = rig.Clock.Now + (long)TimeSpan.FromMinutes(30).TotalMilliseconds;
        await rig.PassUntilAsync(() => awaited.IsCompleted || rig.Clock.Now >= end);
        await awaited.WaitAsync(PartitionCursorsActions.Patience);
    }
}
